//! The same recording as it could have been: faster or slower, later, noisier, with parts that were not heard.
//!
//! Loudness is not varied, since spectrograms are relative to their loudest part. What is drawn depends on seed, recording and epoch alone.

use super::mel::{Mel, SILENCE, Spectrogram};
use percept_learn::random::mixed;

/// Speed differs by at most this share, and the pitch with it (Ko et al., "Audio augmentation for speech recognition", Interspeech 2015).
const SPEED: f32 = 0.1;
/// Half of the recordings get noise, whose standard deviation is at most this share of the recording's.
const NOISE: f32 = 0.2;
/// So many stripes of bands and of frames are silenced (Park et al., "SpecAugment", Interspeech 2019).
const STRIPES: usize = 2;
/// The widest stripe, as a share of all bands or frames.
const WIDEST: f32 = 0.1;

/// A stream of random numbers.
struct Draw(u64);

impl Draw {
    /// At least 0 and below 1.
    fn unit(&mut self) -> f32 {
        self.0 = mixed(self.0, 1);
        (self.0 >> 40) as f32 / (1u32 << 24) as f32
    }

    /// At least 0 and below `count`, or 0.
    fn below(&mut self, count: usize) -> usize {
        (self.unit() * count as f32) as usize
    }

    /// Nearly normal: the sum of four uniform numbers, with variance 1.
    fn normal(&mut self) -> f32 {
        ((0..4).map(|_| self.unit()).sum::<f32>() - 2.0) * 3f32.sqrt()
    }
}

/// A version of a recording: `bands · frames` numbers.
pub(super) fn version(mel: &Mel, samples: &[f32], frames: usize, key: u64) -> Vec<f32> {
    let mut draw = Draw(key);
    let mut samples = at_speed(samples, 1.0 + SPEED * (2.0 * draw.unit() - 1.0));
    if draw.unit() < 0.5 {
        let power = samples.iter().map(|x| x * x).sum::<f32>() / samples.len().max(1) as f32;
        let deviation = power.sqrt() * NOISE * draw.unit().powi(2);
        samples.iter_mut().for_each(|x| *x += deviation * draw.normal());
    }
    let late = draw.below(mel.settings().hop).min(samples.len() / 2);
    let spectrogram = mel.spectrogram(&samples[late..]);
    let mut picture = placed(&spectrogram, frames, &mut draw);
    let bands = spectrogram.bands;
    for _ in 0..STRIPES {
        let height = draw.below((WIDEST * bands as f32) as usize + 1);
        let first = draw.below(bands - height + 1);
        picture[first * frames..(first + height) * frames].fill(SILENCE);
        let width = draw.below((WIDEST * frames as f32) as usize + 1);
        let first = draw.below(frames - width + 1);
        picture.chunks_exact_mut(frames).for_each(|row| row[first..first + width].fill(SILENCE));
    }
    picture
}

/// Anywhere within the frames, or any part that fills them.
fn placed(spectrogram: &Spectrogram, frames: usize, draw: &mut Draw) -> Vec<f32> {
    let spare = spectrogram.frames.abs_diff(frames);
    let offset = draw.below(spare + 1).cast_signed();
    spectrogram.cut(if spectrogram.frames > frames { offset } else { -offset }, frames)
}

/// Played faster by a factor, by linear interpolation, whose errors are weaker than the noise.
fn at_speed(samples: &[f32], factor: f32) -> Vec<f32> {
    let count = (samples.len() as f32 / factor) as usize;
    let at = |i: usize| {
        let place = i as f64 * f64::from(factor);
        let (k, share) = (place as usize, place.fract() as f32);
        let next = samples.get(k + 1).copied().unwrap_or(0.0);
        samples.get(k).map_or(0.0, |x| x + share * (next - x))
    };
    (0..count.max(1)).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::mel::Settings;

    #[test]
    fn versions_differ_by_their_key_alone() {
        let mel = Mel::new(&Settings::of_rate(8000));
        for count in [1, 10, 500, 4000, 20_000] {
            let samples: Vec<f32> = (0..count).map(|i| (i as f32 * 0.2).sin()).collect();
            let one = version(&mel, &samples, 48, 7);
            assert_eq!(one.len(), 40 * 48);
            assert_eq!(one, version(&mel, &samples, 48, 7));
            assert!(one.iter().all(|x| (-1.0..=1.0).contains(x)));
            assert!(count < 500 || one != version(&mel, &samples, 48, 8));
        }
    }

    #[test]
    fn noise_is_nearly_normal_and_speed_moves_a_ramp() {
        let mut draw = Draw(3);
        let drawn: Vec<f32> = (0..10_000).map(|_| draw.normal()).collect();
        let mean = drawn.iter().sum::<f32>() / 1e4;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 1e4;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let ramp: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let fast = at_speed(&ramp, 1.25);
        assert_eq!((fast.len(), fast[10]), (80, 12.5));
    }
}
