//! Another number of samples in a second.

use super::Clip;
use std::f64::consts::PI;

/// Zeros of the sinc function that are kept on either side.
const ZEROS: f64 = 16.0;

impl Clip {
    /// The recording at another rate, by a sinc function under a Hann window (Smith and Gossett, "A flexible sampling-rate conversion
    /// method", ICASSP 1984), which takes away what is above half of the lower rate.
    pub fn at_rate(self, rate: u32) -> Self {
        if self.rate == rate {
            return self;
        }
        let step = f64::from(self.rate) / f64::from(rate);
        let cut = (1.0 / step).min(1.0);
        let reach = ZEROS / cut;
        let count = (self.samples.len() as f64 / step).ceil() as usize;
        let at = |i: usize| {
            let centre = i as f64 * step;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor() as usize).min(self.samples.len() - 1);
            let tap = |k: usize| f64::from(self.samples[k]) * kernel((k as f64 - centre) * cut);
            (cut * (first..=last).map(tap).sum::<f64>()) as f32
        };
        Self { samples: (0..count).map(at).collect(), rate }
    }
}

/// Sinc under the window.
fn kernel(x: f64) -> f64 {
    let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    sinc * (0.5 + 0.5 * (PI * x / ZEROS).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64) -> Clip {
        let sample = |i: u32| (2.0 * PI * hertz * f64::from(i) / f64::from(rate)).sin() as f32;
        Clip { samples: (0..rate / 5).map(sample).collect(), rate }
    }

    #[test]
    fn tones_stay_what_they_are_and_those_too_high_go() {
        for (from, to) in [(44100, 8000), (8000, 16000), (16000, 11025)] {
            let (found, expected) = (tone(from, 440.0).at_rate(to), tone(to, 440.0));
            assert_eq!(found.samples.len(), expected.samples.len());
            let middle = 100..expected.samples.len() - 100;
            let close = middle.clone().all(|i| (found.samples[i] - expected.samples[i]).abs() < 2e-3);
            assert!(close, "{from} to {to}");
        }
        let high = tone(44100, 6000.0).at_rate(8000);
        assert!(high.samples[100..1500].iter().all(|x| x.abs() < 2e-3));
    }
}
