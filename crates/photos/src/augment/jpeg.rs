//! The marks that JPEG leaves (ITU-T T.81, baseline, 4:2:0), without writing a file.
//!
//! All loss of JPEG comes from halving the colour resolution and rounding the coefficients of each block's cosine transform; its entropy
//! coding is exact, so it is left out.

use super::to_byte;

/// Values of 8 × 8 pixels or coefficients.
type Block = [[f32; 8]; 8];

/// Quantisation tables of annex K.1, row by row: luminance and chrominance.
#[rustfmt::skip]
const TABLES: [[u8; 64]; 2] = [
    [
        16, 11, 10, 16,  24,  40,  51,  61,
        12, 12, 14, 19,  26,  58,  60,  55,
        14, 13, 16, 24,  40,  57,  69,  56,
        14, 17, 22, 29,  51,  87,  80,  62,
        18, 22, 37, 56,  68, 109, 103,  77,
        24, 35, 55, 64,  81, 104, 113,  92,
        49, 64, 78, 87, 103, 121, 120, 101,
        72, 92, 95, 98, 112, 100, 103,  99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99,
        18, 21, 26, 66, 99, 99, 99, 99,
        24, 26, 56, 99, 99, 99, 99, 99,
        47, 66, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// Gives `pixels`, rows of `size` RGB pixels, the artefacts of a JPEG file of `quality` (1 to 100, as libjpeg counts).
#[inline(always)]
pub(super) fn artefacts(pixels: &mut [u8], size: usize, quality: u8) {
    let coder = Coder::new(quality);
    for top in (0..size).step_by(16) {
        for left in (0..size).step_by(16) {
            let mut unit = Unit::read(pixels, size, left, top);
            for block in &mut unit.luminance {
                coder.round_trip(block, 0);
            }
            for block in &mut unit.chrominance {
                coder.round_trip(block, 1);
            }
            unit.write(pixels, size, left, top);
        }
    }
}

/// A minimum coded unit: 16 × 16 pixels as four blocks of Y and one each of Cb and Cr, all centred on zero.
struct Unit {
    luminance: [Block; 4],
    chrominance: [Block; 2],
}

impl Unit {
    /// Reads a unit, repeating the last row and column where it reaches over the edge.
    #[inline(always)]
    fn read(pixels: &[u8], size: usize, left: usize, top: usize) -> Self {
        let mut unit = Self { luminance: [[[0.0; 8]; 8]; 4], chrominance: [[[0.0; 8]; 8]; 2] };
        let columns = 16.min(size - left);
        for y in 0..16 {
            let at = 3 * (size * (top + y).min(size - 1) + left);
            let mut row = [[0; 3]; 16];
            row.as_flattened_mut()[..3 * columns].copy_from_slice(&pixels[at..][..3 * columns]);
            let last = row[columns - 1];
            row[columns..].fill(last);
            let mut channels = [[0.0; 16]; 3];
            for (x, pixel) in row.iter().enumerate() {
                for (channel, &value) in channels.iter_mut().zip(pixel) {
                    channel[x] = f32::from(value);
                }
            }
            let [red, green, blue] = channels;
            let mut luminance = [0.0; 16];
            for x in 0..16 {
                luminance[x] = 0.299 * red[x] + 0.587 * green[x] + 0.114 * blue[x];
            }
            for x in 0..8 {
                unit.luminance[y / 8 * 2][y % 8][x] = luminance[x] - 128.0;
                unit.luminance[y / 8 * 2 + 1][y % 8][x] = luminance[x + 8] - 128.0;
            }
            for (block, (channel, scale)) in unit.chrominance.iter_mut().zip([(blue, 0.564), (red, 0.713)]) {
                for (x, sum) in block[y / 2].iter_mut().enumerate() {
                    let [a, b] = [2 * x, 2 * x + 1].map(|x| channel[x] - luminance[x]);
                    *sum += 0.25 * scale * (a + b);
                }
            }
        }
        unit
    }

    #[inline(always)]
    fn write(&self, pixels: &mut [u8], size: usize, left: usize, top: usize) {
        let columns = 16.min(size - left);
        for y in 0..16.min(size - top) {
            let [cb, cr] = [self.chrominance[0][y / 2], self.chrominance[1][y / 2]];
            let mut row = [[0; 3]; 16];
            for (x, pixel) in row.iter_mut().enumerate() {
                let luminance = self.luminance[y / 8 * 2 + x / 8][y % 8][x % 8] + 128.0;
                pixel[0] = to_byte(luminance + 1.402 * cr[x / 2]);
                pixel[1] = to_byte(luminance - 0.344 * cb[x / 2] - 0.714 * cr[x / 2]);
                pixel[2] = to_byte(luminance + 1.772 * cb[x / 2]);
            }
            let at = 3 * (size * (top + y) + left);
            pixels[at..][..3 * columns].copy_from_slice(&row.as_flattened()[..3 * columns]);
        }
    }
}

/// The cosine transform and the quantisation steps of one quality.
struct Coder {
    /// Rows of the 8-point transform split by symmetry: even frequencies see sums, odd ones differences of mirrored samples.
    even: [[f32; 4]; 4],
    odd: [[f32; 4]; 4],
    /// Steps per table, transposed like the coefficients between the two transforms.
    steps: [Block; 2],
}

impl Coder {
    fn new(quality: u8) -> Self {
        let quality = u32::from(quality.clamp(1, 100));
        let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
        let basis = |frequency: usize, sample: usize| {
            let scale = if frequency == 0 { 0.125f32.sqrt() } else { 0.5 };
            scale * ((2 * sample + 1) as f32 * frequency as f32 * std::f32::consts::PI / 16.0).cos()
        };
        let half = |parity: usize| [0, 1, 2, 3].map(|k| [0, 1, 2, 3].map(|n| basis(2 * k + parity, n)));
        let mut steps = [[[0.0; 8]; 8]; 2];
        for (block, table) in steps.iter_mut().zip(TABLES) {
            for (at, step) in table.into_iter().enumerate() {
                block[at % 8][at / 8] = ((u32::from(step) * percent + 50) / 100).clamp(1, 255) as f32;
            }
        }
        Self { even: half(0), odd: half(1), steps }
    }

    /// Transforms a block, rounds its coefficients to their steps and transforms it back.
    #[inline(always)]
    fn round_trip(&self, block: &mut Block, table: usize) {
        // Adding and taking away 1.5 × 2^23 rounds to a whole number in two vector instructions.
        const ROUND: f32 = 12_582_912.0;
        let mut coefficients = self.forward(&transpose(&self.forward(block)));
        for (row, steps) in coefficients.iter_mut().zip(&self.steps[table]) {
            for (c, step) in row.iter_mut().zip(steps) {
                *c = ((*c / step + ROUND) - ROUND) * step;
            }
        }
        *block = self.inverse(&transpose(&self.inverse(&coefficients)));
    }

    /// Transforms the columns, all eight at once.
    #[inline(always)]
    fn forward(&self, block: &Block) -> Block {
        let mut out = [[0.0; 8]; 8];
        for n in 0..4 {
            let (mut sum, mut difference) = (block[n], block[n]);
            for lane in 0..8 {
                sum[lane] += block[7 - n][lane];
                difference[lane] -= block[7 - n][lane];
            }
            for k in 0..4 {
                for lane in 0..8 {
                    out[2 * k][lane] += self.even[k][n] * sum[lane];
                    out[2 * k + 1][lane] += self.odd[k][n] * difference[lane];
                }
            }
        }
        out
    }

    /// Undoes [`Self::forward`].
    #[inline(always)]
    fn inverse(&self, block: &Block) -> Block {
        let mut out = [[0.0; 8]; 8];
        for n in 0..4 {
            let (mut even, mut odd) = ([0.0; 8], [0.0; 8]);
            for k in 0..4 {
                for lane in 0..8 {
                    even[lane] += self.even[k][n] * block[2 * k][lane];
                    odd[lane] += self.odd[k][n] * block[2 * k + 1][lane];
                }
            }
            for lane in 0..8 {
                out[n][lane] = even[lane] + odd[lane];
                out[7 - n][lane] = even[lane] - odd[lane];
            }
        }
        out
    }
}

#[inline(always)]
fn transpose(block: &Block) -> Block {
    let mut out = [[0.0; 8]; 8];
    for (y, row) in block.iter().enumerate() {
        for (x, &value) in row.iter().enumerate() {
            out[x][y] = value;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    /// Shapes with edges, colours and gradients.
    fn picture(size: u32) -> RgbImage {
        RgbImage::from_fn(size, size, |x, y| {
            let disc = (x as f32 - 20.0).hypot(y as f32 - 24.0) < 13.0;
            let stripe = (x + 2 * y) / 7 % 3 == 0;
            Rgb([if disc { 220 } else { 60 + x as u8 }, if stripe { 180 } else { 90 }, 40 + 2 * y as u8])
        })
    }

    fn squared_error<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
        let sum: f64 = a.iter().zip(b).map(|(&a, &b)| (a.into() - b.into()).powi(2)).sum();
        sum / a.len() as f64
    }

    fn coded(picture: &RgbImage, quality: u8) -> Vec<u8> {
        let mut pixels = picture.as_raw().clone();
        artefacts(&mut pixels, picture.width() as usize, quality);
        pixels
    }

    fn luminance(pixels: &RgbImage) -> Vec<f64> {
        let weigh = |&Rgb([r, g, b]): &Rgb<u8>| 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
        pixels.pixels().map(weigh).collect()
    }

    /// Blue and red less luminance, pixel by pixel.
    fn colours(pixels: &RgbImage) -> Vec<f64> {
        let differ = |(Rgb([r, _, b]), y): (&Rgb<u8>, f64)| [f64::from(*b) - y, f64::from(*r) - y];
        pixels.pixels().zip(luminance(pixels)).flat_map(differ).collect()
    }

    fn halved(picture: &RgbImage) -> RgbImage {
        let (width, height) = (picture.width() / 2, picture.height() / 2);
        image::imageops::thumbnail(picture, width, height)
    }

    /// Decodes a file of `tests/golden/jpeg`, which `make.py` wrote there with libjpeg.
    fn golden(name: &str) -> RgbImage {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/jpeg");
        image::open(format!("{folder}/{name}.png")).unwrap().to_rgb8()
    }

    /// The tolerance is for coefficients midway between two steps: libjpeg rounds Y, Cb and Cr before it transforms them.
    #[test]
    fn is_what_a_real_encoder_and_decoder_do() {
        let picture = golden("picture");
        let check = |name: &str, original: &[f64], ours: &[f64], real: &[f64]| {
            let (loss, difference) = (squared_error(original, real), squared_error(ours, real));
            assert!(difference < 0.2 * loss + 0.4, "{name}: {difference} of {loss}");
        };
        for quality in [20, 50, 80] {
            let ours = RgbImage::from_raw(48, 48, coded(&picture, quality)).unwrap();
            let real = golden(&format!("quality{quality}"));
            check("luminance", &luminance(&picture), &luminance(&ours), &luminance(&real));
            let (picture, ours) = (halved(&picture), halved(&ours));
            let real = golden(&format!("quality{quality}-half"));
            check("colours", &colours(&picture), &colours(&ours), &colours(&real));
        }
    }

    #[test]
    fn loses_more_the_lower_the_quality() {
        let picture = picture(64);
        let losses = [95, 75, 50, 20, 5].map(|q| squared_error(picture.as_raw(), &coded(&picture, q)));
        assert!(losses.is_sorted() && losses[0] < losses[4], "{losses:?}");
    }

    #[test]
    fn even_colours_stay_in_units_that_reach_over_the_edge() {
        for size in [1, 7, 16, 19] {
            let picture = RgbImage::from_pixel(size, size, Rgb([90, 160, 30]));
            let coded = coded(&picture, 100);
            assert!(coded.iter().zip(picture.as_raw()).all(|(a, b)| a.abs_diff(*b) <= 2), "{size}");
        }
    }
}
