//! What happens to only some views, after the warp and in a camera's order: something in the way, blur, noise.

use std::sync::LazyLock;

use super::Occlusion;
use super::random::Random;

/// Paints the rectangle over `pixels`, rows of `size` RGB pixels.
#[inline(always)]
pub(super) fn occlude(pixels: &mut [u8], size: usize, occlusion: &Occlusion) {
    let range = |centre: f32, length: f32| {
        let to_pixel = |at: f32| ((at * size as f32).round() as usize).min(size);
        to_pixel(centre - 0.5 * length)..to_pixel(centre + 0.5 * length)
    };
    let columns = range(occlusion.centre.0, occlusion.width);
    for y in range(occlusion.centre.1, occlusion.height) {
        for x in columns.clone() {
            pixels[3 * (y * size + x)..][..3].copy_from_slice(&occlusion.colour);
        }
    }
}

/// Largest distance in pixels that a blur reaches.
const MAX_REACH: i32 = 15;

/// A blur as a list of shifted copies with weights in 256ths, which add up to 256.
pub(super) struct Blur(Vec<Tap>);

struct Tap {
    x: i32,
    y: i32,
    weight: u16,
}

impl Blur {
    /// The blur of a lens out of focus: a disc of `radius` pixels with a soft edge.
    pub(super) fn defocus(radius: f32) -> Self {
        Self::from_density(radius, |x, y| (radius + 0.5 - x.hypot(y)).clamp(0.0, 1.0))
    }

    /// The blur of a moving camera: a line of `length` pixels at `angle` degrees from the x axis.
    pub(super) fn motion(length: f32, angle: f32) -> Self {
        let (sin, cos) = angle.to_radians().sin_cos();
        let reach = 0.5 * length;
        Self::from_density(reach, |x, y| {
            let (along, across) = (x * cos + y * sin, y * cos - x * sin);
            (reach + 0.5 - along.abs()).clamp(0.0, 1.0) * (1.0 - across.abs()).max(0.0)
        })
    }

    /// Weighs the pixels within `reach` by `density`, which need not add up to anything but must not vanish.
    fn from_density(reach: f32, density: impl Fn(f32, f32) -> f32) -> Self {
        let reach = (reach.ceil() as i32).clamp(0, MAX_REACH);
        let grid = || (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| (x, y)));
        let weigh = |(x, y): (i32, i32)| density(x as f32, y as f32);
        let total: f32 = grid().map(weigh).sum();
        let mut taps = Vec::new();
        let (mut sum, mut given) = (0.0, 0);
        for (x, y) in grid() {
            sum += weigh((x, y));
            // Rounding the running sum, not each weight, keeps the total exact.
            let until = (sum / total * 256.0).round() as u16;
            if until > given {
                taps.push(Tap { x, y, weight: until - given });
                given = until;
            }
        }
        Self(taps)
    }

    /// Blurs `pixels`, rows of `size` RGB pixels; its edges are repeated outwards.
    #[inline(always)]
    pub(super) fn apply(&self, pixels: &mut [u8], size: usize, padded: &mut Vec<u8>, sums: &mut Vec<u16>) {
        let reach = self.0.iter().map(|tap| tap.x.abs().max(tap.y.abs())).max().unwrap_or(0) as usize;
        let stride = 3 * (size + 2 * reach);
        pad(pixels, size, reach, padded);
        for (y, row) in pixels.chunks_exact_mut(3 * size).enumerate() {
            sums.clear();
            sums.resize(3 * size, 128);
            for tap in &self.0 {
                let (dx, dy) = ((reach as i32 + tap.x) as usize, (reach as i32 + tap.y) as usize);
                let shifted = &padded[(y + dy) * stride + 3 * dx..][..3 * size];
                for (sum, &value) in sums.iter_mut().zip(shifted) {
                    *sum = sum.wrapping_add(tap.weight.wrapping_mul(u16::from(value)));
                }
            }
            for (value, &sum) in row.iter_mut().zip(sums.iter()) {
                *value = (sum >> 8) as u8;
            }
        }
    }
}

/// Copies `pixels` into the middle of `padded`, repeating their edges `reach` pixels outwards.
fn pad(pixels: &[u8], size: usize, reach: usize, padded: &mut Vec<u8>) {
    padded.clear();
    for y in 0..size + 2 * reach {
        let row = &pixels[3 * size * y.saturating_sub(reach).min(size - 1)..][..3 * size];
        for _ in 0..reach {
            padded.extend_from_slice(&row[..3]);
        }
        padded.extend_from_slice(row);
        for _ in 0..reach {
            padded.extend_from_slice(&row[3 * size - 3..]);
        }
    }
}

/// Normally distributed numbers, times 4096. Drawing them anew for each of 150,000 values would cost more than all the rest of a view;
/// runs of a table from random places are as good to look at and to learn from.
static NORMAL: LazyLock<Vec<i16>> = LazyLock::new(|| {
    let mut random = Random::new(&[0]);
    let mut normal = || {
        let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * random.unit()).cos()
    };
    (0..1 << 14).map(|_| (normal() * 4096.0) as i16).collect()
});

/// Adds normal noise of standard deviation `sigma` (at most 127 levels) to each value; equal keys give equal noise.
#[inline(always)]
pub(super) fn noise(pixels: &mut [u8], sigma: f32, key: u64) {
    const RUN: usize = 64;
    let mut random = Random::new(&[key]);
    let gain = (sigma.clamp(0.0, 127.0) * 256.0) as i16;
    for run in pixels.chunks_mut(RUN) {
        let start = random.next() as usize % (NORMAL.len() - RUN);
        for (value, &normal) in run.iter_mut().zip(&NORMAL[start..]) {
            let change = ((i32::from(normal) * i32::from(gain)) >> 16) as i16;
            *value = ((i16::from(*value) * 16 + 8 + change) >> 4).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: usize = 32;

    fn blurred(blur: &Blur, pixels: &[u8]) -> Vec<u8> {
        let mut pixels = pixels.to_vec();
        blur.apply(&mut pixels, SIZE, &mut Vec::new(), &mut Vec::new());
        pixels
    }

    /// Mean and standard deviation.
    fn moments(values: &[u8]) -> (f64, f64) {
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
        (mean, (square / values.len() as f64).sqrt())
    }

    proptest! {
        #[test]
        fn blurs_keep_even_ground(radius in 0.0f32..15.0, length in 0.0f32..30.0, angle in 0.0f32..180.0, level: u8) {
            let ground = vec![level; SIZE * SIZE * 3];
            for blur in [Blur::defocus(radius), Blur::motion(length, angle)] {
                prop_assert_eq!(blur.0.iter().map(|tap| tap.weight).sum::<u16>(), 256);
                prop_assert_eq!(blurred(&blur, &ground), ground.clone());
            }
        }
    }

    #[test]
    fn blurs_of_no_length_change_nothing() {
        let pixels: Vec<u8> = (0..SIZE * SIZE * 3).map(|i| (i * 7919 % 256) as u8).collect();
        assert_eq!(blurred(&Blur::defocus(0.0), &pixels), pixels);
        assert_eq!(blurred(&Blur::motion(0.0, 30.0), &pixels), pixels);
    }

    #[test]
    fn a_point_becomes_a_disc_or_a_line() {
        let mut point = vec![0; SIZE * SIZE * 3];
        let at = |x: usize, y: usize| 3 * (y * SIZE + x);
        point[at(16, 16)] = 255;
        let disc = blurred(&Blur::defocus(3.0), &point);
        assert!(disc[at(13, 16)] > 0 && disc[at(16, 19)] > 0 && disc[at(13, 13)] == 0);
        let line = blurred(&Blur::motion(6.0, 0.0), &point);
        assert!(line[at(13, 16)] > 0 && line[at(19, 16)] > 0 && line[at(16, 17)] == 0);
        let steep = blurred(&Blur::motion(6.0, 90.0), &point);
        assert!(steep[at(16, 13)] > 0 && steep[at(16, 19)] > 0 && steep[at(17, 16)] == 0);
    }

    #[test]
    fn noise_has_the_deviation_asked_for() {
        for sigma in [2.0f32, 10.0, 25.0] {
            let mut pixels = vec![128; 3 * 200 * 200];
            noise(&mut pixels, sigma, 5);
            let (mean, deviation) = moments(&pixels);
            assert!((mean - 128.0).abs() < 0.5, "mean {mean}");
            assert!((deviation / f64::from(sigma) - 1.0).abs() < 0.05, "{deviation} for {sigma}");
        }
    }

    #[test]
    fn noise_is_its_key() {
        let noisy = |key| {
            let mut pixels = vec![128; 3000];
            noise(&mut pixels, 10.0, key);
            pixels
        };
        assert_eq!(noisy(1), noisy(1));
        assert_ne!(noisy(1), noisy(2));
    }

    #[test]
    fn an_occlusion_covers_its_rectangle() {
        let mut pixels = vec![9; SIZE * SIZE * 3];
        let occlusion = Occlusion { centre: (0.5, 1.0), width: 0.25, height: 0.5, colour: [1, 2, 3] };
        occlude(&mut pixels, SIZE, &occlusion);
        let covered = pixels.chunks_exact(3).filter(|pixel| *pixel == [1, 2, 3]).count();
        assert_eq!(covered, 8 * 8, "the part of it that is inside");
        assert_eq!(pixels[3 * (24 * SIZE + 12)..][..3], [1, 2, 3]);
        assert_eq!(pixels[3 * (23 * SIZE + 12)..][..3], [9, 9, 9]);
    }
}
