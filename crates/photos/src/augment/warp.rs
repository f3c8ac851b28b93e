//! Geometry, colour and resampling in one pass over the pixels of the view.
//!
//! The whole geometry is one homography from the view to the picture, the whole colour change one affine map of RGB. Each pixel of the
//! view is sampled bilinearly and coloured while its row is in the first-level cache. A pixel of the picture is kept as three 21-bit
//! lanes of a `u64`, so that three integer multiplications interpolate all its channels, exactly, on any instruction set and without
//! `unsafe`; the arithmetic of coordinates and colours runs over whole rows, in loops that the compiler turns into SIMD. Where a view
//! shows its picture much reduced, it is sampled from a picture halved beforehand, so that fine patterns do not alias.

use image::RgbImage;

use super::{View, to_byte};

const LANE: u32 = 21;
/// Bits of the fraction of a source coordinate. Twice these and the 8 of a channel must leave a lane room: 8 + 2 × 6 ≤ 21.
const FRACTION: u32 = 6;
/// Mask of the fraction.
const PART: u32 = (1 << FRACTION) - 1;
/// The most columns or rows of a picture that are looked at, which is the most that a JPEG file can have: the index of any pixel then fits
/// a `u32`, and a coordinate with its fraction the mantissa of an `f32`.
const MAX_SIDE: usize = 65_535;

/// A decoded picture made ready for sampling: do this once, then take all its views.
pub struct Source {
    levels: Vec<Level>,
}

/// The picture reduced by a power of two.
struct Level {
    width: usize,
    height: usize,
    /// Rows of `width + 1` pixels, `height + 1` of them: the last column and row are repeated, so that a neighbour always exists.
    pixels: Vec<u64>,
}

impl Source {
    /// Prepares `picture` for views of `size` × `size` pixels. An empty picture counts as one black pixel.
    pub fn new(picture: &RgbImage, size: u32) -> Self {
        let mut levels = vec![Level::new(picture)];
        // Views are at most about as large as the largest square of the picture; the level below is wanted from √2 of its scale.
        while let Some(last) = levels.last()
            && last.width.min(last.height) as f32 > 1.4 * size.max(1) as f32
        {
            let half = last.half();
            levels.push(half);
        }
        Self { levels }
    }

    fn size(&self) -> (f64, f64) {
        (self.levels[0].width as f64, self.levels[0].height as f64)
    }
}

impl Level {
    fn new(picture: &RgbImage) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if width == 0 || height == 0 {
            return Self { width: 1, height: 1, pixels: vec![0; 4] };
        }
        let pack = |p: &[u8]| u64::from(p[0]) | u64::from(p[1]) << LANE | u64::from(p[2]) << (2 * LANE);
        let (columns, rows) = (width.min(MAX_SIDE), height.min(MAX_SIDE));
        Self::from_rows(columns, rows, |y, line| {
            let row = &picture.as_raw()[3 * width * y..][..3 * columns];
            line.extend(row.chunks_exact(3).map(pack));
        })
    }

    /// Builds a level from a function that appends the pixels of a row.
    fn from_rows(width: usize, height: usize, mut row: impl FnMut(usize, &mut Vec<u64>)) -> Self {
        let mut pixels = Vec::with_capacity((width + 1) * (height + 1));
        for y in 0..height {
            row(y, &mut pixels);
            pixels.extend(pixels.last().copied());
        }
        pixels.extend_from_within(pixels.len() - (width + 1)..);
        Self { width, height, pixels }
    }

    /// Averages blocks of 2 × 2 pixels.
    fn half(&self) -> Self {
        const TWO: u64 = 2 | 2 << LANE | 2 << (2 * LANE);
        const BYTES: u64 = 255 | 255 << LANE | 255 << (2 * LANE);
        let stride = self.width + 1;
        Self::from_rows(self.width / 2, self.height / 2, |y, line| {
            let top = &self.pixels[2 * y * stride..][..stride];
            let bottom = &self.pixels[(2 * y + 1) * stride..][..stride];
            line.extend(
                top.chunks_exact(2)
                    .zip(bottom.chunks_exact(2))
                    .take(self.width / 2)
                    .map(|(t, b)| (t[0] + t[1] + b[0] + b[1] + TWO) >> 2 & BYTES),
            );
        })
    }
}

/// A homography: where `(u, v, 1)` of the view comes from in the picture, in homogeneous coordinates.
struct Homography([f32; 9]);

impl Homography {
    /// Maps pixel centres of a view of `size` × `size` to pixel centres of a level of the picture, and says which level.
    fn new(view: &View, source: &Source, size: usize) -> (Self, usize) {
        let quad = view.quad(source.size());
        let edge = |a: [f64; 2], b: [f64; 2]| [b[0] - a[0], b[1] - a[1]];
        let cross = |a: [f64; 2], b: [f64; 2]| a[0] * b[1] - a[1] * b[0];
        let area = 0.5 * cross(edge(quad[0], quad[2]), edge(quad[1], quad[3])).abs();
        let scale = area.sqrt() / size as f64;
        let level = (scale.max(1.0).log2().round() as usize).min(source.levels.len() - 1);

        // Heckbert, "Fundamentals of Texture Mapping and Image Warping" (1989), section 2.2.3: unit square to quadrilateral.
        let [p0, p1, p2, p3] = quad;
        let (d1, d2) = (edge(p2, p1), edge(p2, p3));
        let s = [p0[0] - p1[0] + p2[0] - p3[0], p0[1] - p1[1] + p2[1] - p3[1]];
        let g = cross(s, d2) / cross(d1, d2);
        let h = cross(d1, s) / cross(d1, d2);
        let row = |axis: usize| {
            let (a, b) = (p1[axis] - p0[axis] + g * p1[axis], p3[axis] - p0[axis] + h * p3[axis]);
            [a, b, p0[axis]]
        };
        let w = [g, h, 1.0];
        // Source pixel centres lie at +0.5, and a level is a reduction by 2^level.
        let reduce = |m: [f64; 3]| [0, 1, 2].map(|i| m[i] / f64::from(1 << level) - 0.5 * w[i]);
        // View pixel centres lie at (i + 0.5) / size.
        let step = 1.0 / size as f64;
        let matrix =
            [reduce(row(0)), reduce(row(1)), w].map(|m| [m[0] * step, m[1] * step, m[2] + 0.5 * step * (m[0] + m[1])]);
        let mut flat = [0.0; 9];
        for (to, from) in flat.iter_mut().zip(matrix.as_flattened()) {
            *to = *from as f32;
        }
        (Self(flat), level)
    }
}

/// Maps a row of RGB planes with 12 bits of fraction to bytes.
#[inline(always)]
fn recolour((matrix, offset): &([[f32; 3]; 3], [f32; 3]), planes: &[Vec<i32>; 3], bytes: &mut [Vec<u8>; 3]) {
    let [red, green, blue] = planes;
    for ((out, m), &offset) in bytes.iter_mut().zip(matrix).zip(offset) {
        let m = m.map(|c| c / (1 << (2 * FRACTION)) as f32);
        for (((o, &r), &g), &b) in out.iter_mut().zip(red).zip(green).zip(blue) {
            *o = to_byte(m[0] * r as f32 + m[1] * g as f32 + m[2] * b as f32 + offset);
        }
    }
}

/// Buffers for one row, kept between views.
#[derive(Default)]
pub(super) struct Rows {
    x: Vec<u32>,
    y: Vec<u32>,
    planes: [Vec<i32>; 3],
    bytes: [Vec<u8>; 3],
}

impl Rows {
    fn resize(&mut self, size: usize) {
        self.x.resize(size, 0);
        self.y.resize(size, 0);
        self.planes.iter_mut().for_each(|plane| plane.resize(size, 0));
        self.bytes.iter_mut().for_each(|plane| plane.resize(size, 0));
    }
}

/// Draws the view's geometry and colour into `out`, rows of `size` RGB pixels.
#[inline(always)]
pub(super) fn warp(source: &Source, view: &View, size: usize, rows: &mut Rows, out: &mut [u8]) {
    let (map, level) = Homography::new(view, source, size);
    let level = &source.levels[level];
    let colour = view.colour_map();
    rows.resize(size);
    for (v, line) in out.chunks_exact_mut(3 * size).enumerate() {
        coordinates(&map, level, v as f32, &mut rows.x, &mut rows.y);
        sample(level, &rows.x, &rows.y, &mut rows.planes);
        recolour(&colour, &rows.planes, &mut rows.bytes);
        let [red, green, blue] = &rows.bytes;
        for (((pixel, &r), &g), &b) in line.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
            pixel.copy_from_slice(&[r, g, b]);
        }
    }
}

/// Finds where the pixels of row `v` come from, in fixed point, mirrored at the picture's edges.
#[inline(always)]
fn coordinates(map: &Homography, level: &Level, v: f32, ats: &mut [u32], parts: &mut [u32]) {
    let stride = level.width as u32 + 1;
    let m = &map.0;
    let (x0, y0, w0) = (m[1] * v + m[2], m[4] * v + m[5], m[7] * v + m[8]);
    let (right, bottom) = ((level.width - 1) as f32, (level.height - 1) as f32);
    for (u, (at, part)) in ats.iter_mut().zip(parts).enumerate() {
        let u = u as u16 as f32;
        let scale = 1.0 / (m[6] * u + w0);
        let x = fixed(mirror((m[0] * u + x0) * scale, right));
        let y = fixed(mirror((m[3] * u + y0) * scale, bottom));
        *at = (y >> FRACTION) * stride + (x >> FRACTION);
        *part = (x & PART) | (y & PART) << 16;
    }
}

/// Mirrors a coordinate at 0 and at `last`; what is further out than one picture sticks to the edge. Never NaN.
#[inline(always)]
fn mirror(at: f32, last: f32) -> f32 {
    let inside = last - (last - at.abs()).abs();
    // Written out because `f32::max` must treat NaN symmetrically, which costs instructions.
    if inside > 0.0 { inside } else { 0.0 }
}

/// Rounds a coordinate in [0, 2^17) to fixed point: adding 2^23 leaves the integer in the mantissa.
#[inline(always)]
fn fixed(at: f32) -> u32 {
    (at * (1 << FRACTION) as f32 + 8_388_608.0).to_bits() & 0x7F_FFFF
}

/// Interpolates the pixels at these coordinates into planes with 12 bits of fraction.
#[inline(always)]
fn sample(level: &Level, ats: &[u32], parts: &[u32], planes: &mut [Vec<i32>; 3]) {
    let stride = level.width + 1;
    // Lanes may borrow from each other in the difference; the sum is exact all the same.
    let blend = |a: u64, b: u64, t: u64| (a << FRACTION).wrapping_add(b.wrapping_sub(a).wrapping_mul(t));
    let lane = |sum: u64, i: u32| (sum >> (i * LANE) & ((1 << LANE) - 1)) as i32;
    let [red, green, blue] = planes;
    for ((((&at, &part), r), g), b) in ats.iter().zip(parts).zip(red).zip(green).zip(blue) {
        let (across, down) = (u64::from(part & PART), u64::from(part >> 16));
        let block = &level.pixels[at as usize..][..stride + 2];
        let top = blend(block[0], block[1], across);
        let bottom = blend(block[stride], block[stride + 1], across);
        let sum = blend(top, bottom, down);
        (*r, *g, *b) = (lane(sum, 0), lane(sum, 1), lane(sum, 2));
    }
}
