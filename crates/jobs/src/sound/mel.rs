//! Log-mel spectrograms: how loud each band of frequencies is at each moment, on scales that are like those of hearing.
//!
//! The mel scale is HTK's, `2595 · log10(1 + f / 700)` (O'Shaughnessy, "Speech Communication", 1987); bands are triangles over the power
//! spectrum, 1 at their centre, whose corners are the centres of their neighbours, evenly spaced in mel. A frame is weighted with a
//! periodic Hann window and padded with zeros to a power of two. Loudness is in powers of ten, relative to the loudest band and frame of
//! the recording: 1 for that, −1 for what is 80 dB weaker or more. So how far away the microphone was makes no difference.

use realfft::{RealFftPlanner, RealToComplex};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use std::sync::Arc;

/// What is not to be heard any more.
pub const SILENCE: f32 = -1.0;
/// Tens of decibels from the loudest to silence.
const RANGE: f32 = 8.0;
/// The least power, a rounding error of samples that are at most 1.
const LEAST_POWER: f32 = 1e-10;

/// How a spectrogram is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Samples in a second.
    pub rate: u32,
    /// Samples in a frame.
    pub window: usize,
    /// Samples from the start of a frame to that of the next.
    pub hop: usize,
    /// Samples of the Fourier transform.
    pub fft: usize,
    /// Bands of frequencies, from 20 Hz to half of the rate.
    pub bands: usize,
}

/// The lowest corner of a band in Hz: below it there is hum, not sound.
const LOWEST: f64 = 20.0;

impl Settings {
    /// Frames of 25 ms, one every 10 ms, with 40 bands.
    pub fn of_rate(rate: u32) -> Self {
        let samples = |ms: u64| ((u64::from(rate) * ms + 500) / 1000) as usize;
        let window = samples(25);
        Self { rate, window, hop: samples(10), fft: window.next_power_of_two(), bands: 40 }
    }

    /// Whether a spectrogram can be made so.
    pub(super) fn is_sound(&self) -> bool {
        let Self { rate, window, hop, fft, bands } = *self;
        (super::read::RATES).contains(&rate)
            && (2..=1 << 16).contains(&fft)
            && fft.is_power_of_two()
            && (2..=fft).contains(&window)
            && (1..=window).contains(&hop)
            && (1..=fft).contains(&bands)
    }
}

/// A spectrogram: `bands` rows of `frames` numbers, low frequencies first.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrogram {
    /// How many bands there are.
    pub bands: usize,
    /// How many frames there are.
    pub frames: usize,
    /// Band by band.
    pub values: Vec<f32>,
}

impl Spectrogram {
    /// Some frames from `start` on, silence where there are none.
    pub(super) fn cut(&self, start: isize, frames: usize) -> Vec<f32> {
        let mut cut = vec![SILENCE; self.bands * frames];
        let to = start.min(0).unsigned_abs().min(frames);
        let from = start.max(0).unsigned_abs().min(self.frames);
        let count = (frames - to).min(self.frames - from);
        for band in 0..self.bands {
            let source = &self.values[band * self.frames..][from..from + count];
            cut[band * frames..][to..to + count].copy_from_slice(source);
        }
        cut
    }
}

/// Makes spectrograms.
pub struct Mel {
    settings: Settings,
    fft: Arc<dyn RealToComplex<f32>>,
    hann: Vec<f32>,
    /// For each band its first bin and weights from there.
    bands: Vec<(usize, Vec<f32>)>,
}

impl Mel {
    /// Prepares for these settings.
    pub fn new(settings: &Settings) -> Self {
        let hann = |i: usize| (0.5 - 0.5 * (2.0 * PI * i as f64 / settings.window as f64).cos()) as f32;
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(settings.fft),
            hann: (0..settings.window).map(hann).collect(),
            bands: bands(settings),
            settings: settings.clone(),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The spectrogram of samples at the settings' rate; samples that fill no frame at the end are left out, too few for one are padded.
    ///
    /// ```
    /// use percept_jobs::sound::mel::{Mel, Settings};
    ///
    /// let mel = Mel::new(&Settings::of_rate(8000));
    /// let tone: Vec<f32> = (0..8000).map(|i| (i as f32 * 0.5).sin()).collect();
    /// let spectrogram = mel.spectrogram(&tone);
    /// assert_eq!((spectrogram.bands, spectrogram.frames), (40, 98));
    /// let loudest = spectrogram.values.iter().copied().fold(f32::MIN, f32::max);
    /// assert_eq!(loudest, 1.0);
    /// ```
    pub fn spectrogram(&self, samples: &[f32]) -> Spectrogram {
        let Settings { window, hop, .. } = self.settings;
        let frames = 1 + samples.len().saturating_sub(window) / hop;
        let mut values = vec![0.0; self.bands.len() * frames];
        let (mut input, mut spectrum) = (self.fft.make_input_vec(), self.fft.make_output_vec());
        let mut scratch = self.fft.make_scratch_vec();
        for frame in 0..frames {
            let samples = &samples[(frame * hop).min(samples.len())..];
            input.fill(0.0);
            for ((x, sample), weight) in input.iter_mut().zip(samples).zip(&self.hann) {
                *x = sample * weight;
            }
            // It fails for buffers of other lengths alone, and these are its own.
            if self.fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch).is_err() {
                continue;
            }
            for (band, (first, weights)) in self.bands.iter().enumerate() {
                let power =
                    spectrum[*first..].iter().zip(weights).map(|(x, weight)| x.norm_sqr() * weight).sum::<f32>();
                values[band * frames + frame] = power.max(LEAST_POWER).log10();
            }
        }
        let loudest = values.iter().copied().fold(f32::MIN, f32::max);
        values.iter_mut().for_each(|x| *x = ((*x - loudest) / (RANGE / 2.0) + 1.0).max(SILENCE));
        Spectrogram { bands: self.bands.len(), frames, values }
    }
}

fn bands(settings: &Settings) -> Vec<(usize, Vec<f32>)> {
    let mel = |f: f64| 2595.0 * (1.0 + f / 700.0).log10();
    let hertz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let (low, high) = (mel(LOWEST), mel(f64::from(settings.rate) / 2.0));
    let corner = |i: usize| hertz(low + (high - low) * i as f64 / (settings.bands + 1) as f64);
    let bin = |k: usize| k as f64 * f64::from(settings.rate) / settings.fft as f64;
    let of = |band: usize| {
        let [from, centre, to] = [corner(band), corner(band + 1), corner(band + 2)];
        let weight = |k: usize| ((bin(k) - from) / (centre - from)).min((to - bin(k)) / (to - centre)).max(0.0) as f32;
        let weights: Vec<f32> = (0..=settings.fft / 2).map(weight).collect();
        let first = weights.iter().position(|&w| w > 0.0).unwrap_or(0);
        let end = weights.iter().rposition(|&w| w > 0.0).map_or(first, |last| last + 1);
        (first, weights[first..end].to_vec())
    };
    (0..settings.bands).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        rate: u32,
        samples: Vec<i32>,
        frames: usize,
        values: Vec<f32>,
    }

    #[test]
    fn spectrograms_are_those_of_numpy() {
        let cases: Vec<Golden> = serde_json::from_str(include_str!("../../tests/golden/mel.json")).unwrap();
        assert_eq!(cases.len(), 2);
        for Golden { rate, samples, frames, values } in cases {
            let samples: Vec<f32> = samples.iter().map(|&x| x as f32 / 32768.0).collect();
            let found = Mel::new(&Settings::of_rate(rate)).spectrogram(&samples);
            assert_eq!((found.frames, found.values.len()), (frames, values.len()));
            for (i, (x, y)) in found.values.iter().zip(&values).enumerate() {
                assert!((x - y).abs() < 2e-4, "{rate} Hz, place {i}: {x}, not {y}");
            }
        }
    }

    #[test]
    fn every_band_hears_something_at_every_usual_rate() {
        for rate in [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000] {
            let settings = Settings::of_rate(rate);
            assert!(settings.is_sound());
            assert!(bands(&settings).iter().all(|(_, weights)| weights.iter().sum::<f32>() > 0.1), "{rate}");
        }
    }

    #[test]
    fn loudness_makes_no_difference_and_too_few_samples_are_one_frame() {
        let mel = Mel::new(&Settings::of_rate(8000));
        let tone = |gain: f32| -> Vec<f32> { (0..900).map(|i| gain * (i as f32 * 0.3).sin()).collect() };
        let (loud, soft) = (mel.spectrogram(&tone(1.0)), mel.spectrogram(&tone(0.125)));
        assert!(loud.values.iter().zip(&soft.values).all(|(a, b)| (a - b).abs() < 1e-3));
        assert_eq!((mel.spectrogram(&[]).frames, mel.spectrogram(&[0.5; 100]).frames), (1, 1));
    }

    #[test]
    fn cuts_beyond_the_ends_are_silence() {
        let spectrogram = Spectrogram { bands: 2, frames: 2, values: vec![0.1, 0.2, 0.3, 0.4] };
        assert_eq!(spectrogram.cut(-1, 4), [-1.0, 0.1, 0.2, -1.0, -1.0, 0.3, 0.4, -1.0]);
        assert_eq!(spectrogram.cut(1, 1), [0.2, 0.4]);
        assert_eq!(spectrogram.cut(5, 1), [-1.0, -1.0]);
    }
}
