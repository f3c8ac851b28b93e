//! Near duplicates: the same photo recompressed, resized or slightly cropped, told from another photo of the same scene.
//!
//! A picture is kept as a [`Sketch`], 64 × 64 grey values and 8 × 8 colours. Colours that correlate make a pair worth a look. Then the one
//! sketch is laid over the other, scaled and shifted along both axes, by least squares from coarse to fine (Lucas and Kanade, IJCAI
//! 1981; with a gain and an offset of brightness, as Evangelidis and Psarakis, PAMI 2008). A copy agrees with its original everywhere; two
//! photos from one hand, a moment apart, differ wherever something is nearer or farther, and two packages that differ in their print
//! differ there. So what counts is the block that agrees least. A mirrored picture is another picture. Pictures of fewer than
//! [`LEAST_SIDE`] pixels have too little in them to tell copies from look-alikes.

use image::RgbImage;

use crate::resize;

/// Pixels of the shorter side that a picture needs to be compared.
pub const LEAST_SIDE: u32 = 64;
/// Side of a sketch's grey picture.
const SIDE: usize = 64;
/// Side of its colours.
const COLOURS: usize = 8;
/// Numbers in a sketch's description by colours.
pub const DESCRIPTION: usize = COLOURS * COLOURS * 3;
/// Less contrast than this many grey levels (standard deviation) is nothing to see.
const LEAST_CONTRAST: f32 = 3.0;
/// The sides at which sketches are aligned, and the correlation without which there is no point in going on.
const LEVELS: [(usize, f64); 4] = [(8, 0.7), (16, 0.8), (32, 0.9), (64, 0.95)];
/// How many of them may be the first. What a crop shifts is less than a pixel of the coarsest, from where least squares find the way, but
/// there is little in it: of 30 crops by a tenth at a corner those that begin at 8 pixels missed 3, those that begin at 16 missed 5.
const STARTS: usize = 2;
/// Steps of alignment at each side.
const STEPS: usize = 12;
/// A side of a copy may show this share of the original's at least.
const LEAST_SCALE: f64 = 0.75;
/// Share of the pixels that both must show.
const LEAST_OVERLAP: f64 = 0.5;
/// Side of the blocks whose agreement is looked at.
const BLOCK: usize = 8;
/// The largest difference of a block of copies (root mean square, in standard deviations of the picture). On shop photos, of 120 copies
/// that were made for it none differed by more than 0.12, of other photos one pair by 0.125 and the next by 0.24.
const LARGEST_DIFFERENCE: f64 = 0.17;

/// What near duplicates are found by: 4.3 kB for a picture of any size.
#[derive(Clone)]
pub struct Sketch {
    size: (u32, u32),
    contrast: f32,
    grey: Vec<u8>,
    colours: [u8; DESCRIPTION],
}

impl Sketch {
    /// The sketch of a picture.
    pub fn of(picture: &RgbImage) -> Self {
        let small = resize::squeeze(picture, SIDE as u32);
        let luma =
            |[r, g, b]: [u8; 3]| ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8;
        let grey: Vec<u8> = small.pixels().map(|pixel| luma(pixel.0)).collect();
        let colours = resize::squeeze(&small, COLOURS as u32).into_raw();
        let colours = std::array::from_fn(|i| colours.get(i).copied().unwrap_or(0));
        let contrast = Grey::new(&grey, SIDE).deviation() as f32;
        Self { size: picture.dimensions(), contrast, grey, colours }
    }

    /// Width and height of the picture in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Whether there is nothing to see: one colour, or nearly so.
    pub fn is_blank(&self) -> bool {
        self.contrast < LEAST_CONTRAST
    }

    /// Whether the picture has enough in it to be compared.
    pub fn is_comparable(&self) -> bool {
        !self.is_blank() && self.size.0.min(self.size.1) >= LEAST_SIDE
    }

    /// Its colours, centred and of length 1: the product of two is their correlation. Zeros if they are all the same.
    pub fn description(&self) -> [f32; DESCRIPTION] {
        let mean = self.colours.iter().map(|&x| f32::from(x)).sum::<f32>() / DESCRIPTION as f32;
        let length = self.colours.iter().map(|&x| (f32::from(x) - mean).powi(2)).sum::<f32>().sqrt();
        self.colours.map(|x| if length > 0.0 { (f32::from(x) - mean) / length } else { 0.0 })
    }

    /// Whether `other` is the same photo, perhaps recompressed, resized, or cropped by up to a tenth or so.
    ///
    /// ```
    /// use image::{Rgb, RgbImage, imageops};
    /// use percept_photos::near::Sketch;
    /// let wave = |x: u32, y: u32| (128.0 + 60.0 * (x as f32 / 9.0).sin() + 60.0 * (y as f32 / 7.0).cos()) as u8;
    /// let photo = RgbImage::from_fn(100, 100, |x, y| Rgb([wave(x, y), wave(y, x + 40), (x + y) as u8]));
    /// let cropped = imageops::crop_imm(&photo, 2, 4, 95, 94).to_image();
    /// assert!(Sketch::of(&photo).is_near(&Sketch::of(&cropped)));
    /// assert!(!Sketch::of(&photo).is_near(&Sketch::of(&imageops::flip_horizontal(&photo))));
    /// ```
    pub fn is_near(&self, other: &Self) -> bool {
        self.is_comparable()
            && other.is_comparable()
            && self.difference(other).is_some_and(|difference| difference <= LARGEST_DIFFERENCE)
    }

    /// How much the block differs that agrees least once both are aligned; nothing if they cannot be.
    fn difference(&self, other: &Self) -> Option<f64> {
        let fit = (0..STARTS).find_map(|start| self.aligned(other, &LEVELS[start..]))?;
        Some(fit.worst_block(&Grey::new(&self.grey, SIDE), &Grey::new(&other.grey, SIDE)))
    }

    fn aligned(&self, other: &Self, levels: &[(usize, f64)]) -> Option<Fit> {
        levels.iter().try_fold(Fit::default(), |fit, &(side, least)| {
            let [a, b] = [self, other].map(|sketch| Grey::new(&sketch.grey, SIDE).reduced(SIDE / side));
            let fit = fit.improved(&a, &b)?;
            fit.correlation(&a, &b).filter(|&correlation| correlation >= least).map(|_| fit)
        })
    }
}

/// A square grey picture.
struct Grey {
    side: usize,
    values: Vec<f64>,
}

impl Grey {
    fn new(bytes: &[u8], side: usize) -> Self {
        Self { side, values: bytes.iter().map(|&x| f64::from(x)).collect() }
    }

    /// Each pixel the mean of `factor` × `factor`.
    fn reduced(&self, factor: usize) -> Self {
        let side = self.side / factor;
        let block = |i: usize| {
            let (x, y) = (i % side * factor, i / side * factor);
            let rows = (y..y + factor).flat_map(|y| &self.values[y * self.side + x..][..factor]);
            rows.sum::<f64>() / (factor * factor) as f64
        };
        Self { side, values: (0..side * side).map(block).collect() }
    }

    fn deviation(&self) -> f64 {
        let n = self.values.len().max(1) as f64;
        let mean = self.values.iter().sum::<f64>() / n;
        (self.values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt()
    }

    /// Value and slopes at a place (in pixels from the first's centre), linear between pixels; nothing outside.
    fn at(&self, x: f64, y: f64) -> Option<[f64; 3]> {
        let most = (self.side - 1) as f64;
        if !(0.0..=most).contains(&x) || !(0.0..=most).contains(&y) {
            return None;
        }
        let (left, top) = ((x as usize).min(self.side - 2), (y as usize).min(self.side - 2));
        let (u, v) = (x - left as f64, y - top as f64);
        let value = |x: usize, y: usize| self.values[y * self.side + x];
        let [a, b] = [value(left, top), value(left + 1, top)];
        let [c, d] = [value(left, top + 1), value(left + 1, top + 1)];
        let across = (1.0 - v) * (b - a) + v * (d - c);
        let down = (1.0 - u) * (c - a) + u * (d - b);
        Some([(1.0 - v) * ((1.0 - u) * a + u * b) + v * ((1.0 - u) * c + u * d), across, down])
    }
}

/// How one picture lies over another, with both from −1 to 1 along each axis: `x → scale·x + shift`, and its brightness.
#[derive(Clone, Copy)]
struct Fit {
    scale: [f64; 2],
    shift: [f64; 2],
    gain: f64,
    offset: f64,
}

impl Default for Fit {
    fn default() -> Self {
        Self { scale: [1.0; 2], shift: [0.0; 2], gain: 1.0, offset: 0.0 }
    }
}

impl Fit {
    /// Goes through the pixels of `a` that lie on `b`: position in `a` (−1 to 1), value in `a`, value and slopes in `b`.
    fn pixels<'a>(&'a self, a: &'a Grey, b: &'a Grey) -> impl Iterator<Item = (usize, [f64; 2], f64, [f64; 3])> {
        let half = a.side as f64 / 2.0;
        a.values.iter().enumerate().filter_map(move |(i, &value)| {
            let at = [i % a.side, i / a.side].map(|x| (x as f64 + 0.5) / half - 1.0);
            let [x, y] = [0, 1].map(|axis| (self.scale[axis] * at[axis] + self.shift[axis] + 1.0) * half - 0.5);
            b.at(x, y).map(|sample| (i, at, value, sample))
        })
    }

    /// The fit after some steps of Gauss and Newton; nothing if it leaves the range of slight changes.
    fn improved(mut self, a: &Grey, b: &Grey) -> Option<Self> {
        let half = a.side as f64 / 2.0;
        for _ in 0..STEPS {
            let (mut normal, mut right) = ([[0.0; 6]; 6], [0.0; 6]);
            for (_, [x, y], value, [sample, across, down]) in self.pixels(a, b) {
                let (across, down) = (self.gain * across * half, self.gain * down * half);
                let row = [across * x, across, down * y, down, sample, 1.0];
                let rest = value - self.gain * sample - self.offset;
                for (i, r) in row.iter().enumerate() {
                    right[i] += r * rest;
                    normal[i].iter_mut().zip(&row).for_each(|(sum, s)| *sum += r * s);
                }
            }
            let step = solve(normal, right)?;
            self.scale[0] += step[0];
            self.shift[0] += step[1];
            self.scale[1] += step[2];
            self.shift[1] += step[3];
            self.gain += step[4];
            self.offset += step[5];
            let slight = self.scale.iter().all(|scale| (LEAST_SCALE..=1.0 / LEAST_SCALE).contains(scale))
                && self.shift.iter().all(|shift| shift.abs() <= 1.0 - LEAST_SCALE);
            if !slight {
                return None;
            }
            if step[..4].iter().all(|step| step.abs() < 1e-4) {
                break;
            }
        }
        Some(self)
    }

    /// The correlation of what both show; nothing if that is too little.
    fn correlation(&self, a: &Grey, b: &Grey) -> Option<f64> {
        let mut sums = [0.0; 6];
        for (_, _, x, [y, ..]) in self.pixels(a, b) {
            let terms = [1.0, x, y, x * x, y * y, x * y];
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        let [n, x, y, xx, yy, xy] = sums;
        let enough = n >= LEAST_OVERLAP * a.values.len() as f64;
        let spread = ((xx - x * x / n) * (yy - y * y / n)).sqrt();
        (enough && spread > 0.0).then(|| (xy - x * y / n) / spread)
    }

    /// The difference of the block that agrees least, in standard deviations of `a`.
    ///
    /// Differences are smoothed first: what is finer than a pixel of the sketch falls differently on the pixels of a copy.
    fn worst_block(&self, a: &Grey, b: &Grey) -> f64 {
        let mut rest = vec![None; a.values.len()];
        for (i, _, value, [sample, ..]) in self.pixels(a, b) {
            rest[i] = Some(value - self.gain * sample - self.offset);
        }
        let rest = smooth(&smooth(&rest, a.side, 1), a.side, a.side);
        let across = a.side / BLOCK;
        let mut blocks = vec![(0.0, 0usize); across * across];
        for (i, rest) in rest.iter().enumerate().filter_map(|(i, rest)| rest.map(|rest| (i, rest))) {
            let (sum, count) = &mut blocks[i / a.side / BLOCK * across + i % a.side / BLOCK];
            *sum += rest * rest;
            *count += 1;
        }
        let whole = blocks.iter().filter(|(_, count)| 2 * count >= BLOCK * BLOCK);
        whole.map(|(sum, count)| (sum / *count as f64).sqrt()).fold(0.0, f64::max) / a.deviation().max(1e-9)
    }
}

/// Weights 1, 2, 1 along the axis whose neighbours are `step` apart; where one of the three is missing, so is the result.
fn smooth(values: &[Option<f64>], side: usize, step: usize) -> Vec<Option<f64>> {
    let inner = |i: usize| (1..side - 1).contains(&(i / step % side));
    let one = |i: usize| {
        let [before, here, after] = [values[i - step]?, values[i]?, values[i + step]?];
        Some((before + 2.0 * here + after) / 4.0)
    };
    (0..values.len()).map(|i| if inner(i) { one(i) } else { None }).collect()
}

/// Solves six linear equations by elimination with pivots; nothing if they are not independent.
fn solve(mut a: [[f64; 6]; 6], mut b: [f64; 6]) -> Option<[f64; 6]> {
    for i in 0..6 {
        let pivot = (i..6).max_by(|&p, &q| a[p][i].abs().total_cmp(&a[q][i].abs()))?;
        a.swap(i, pivot);
        b.swap(i, pivot);
        if a[i][i].abs() < 1e-9 {
            return None;
        }
        for j in i + 1..6 {
            let factor = a[j][i] / a[i][i];
            let above = a[i];
            a[j].iter_mut().zip(above).for_each(|(x, y)| *x -= factor * y);
            b[j] -= factor * b[i];
        }
    }
    for i in (0..6).rev() {
        let known: f64 = (i + 1..6).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    Some(b)
}
