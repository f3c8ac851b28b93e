//! What the report says of a recogniser of sounds, with pictures of what it hears.

use super::mel::Spectrogram;
use super::model::{Model, Sound};
use super::results::Evaluation;
use super::scan::Found;
use super::train::VERB;
use super::{Clip, Config};
use crate::Result;
use crate::event::Timing;
use crate::explain::colour;
use crate::format;
use crate::learner::Point;
use crate::report::Picture;
use crate::report::labels::{self, Mistake, Report, Things};
use image::{Rgb, RgbImage};
use percept_learn::metrics::Metrics;

/// Mistakes that the report shows, and classes of which it shows an example.
const SHOWN: (usize, usize) = (24, 60);
/// Pixels across and down for a number of a spectrogram.
const PIXELS: u32 = 3;

/// What a run knows.
pub(super) struct Told<'a> {
    pub(super) config: &'a Config,
    pub(super) found: &'a Found,
    pub(super) clips: &'a [Clip],
    /// Recordings learned from, and those held apart.
    pub(super) parts: &'a [Vec<usize>; 2],
    pub(super) model: &'a Model,
    pub(super) sound: &'a Sound,
}

impl Told<'_> {
    /// `rows` is what was said of those held apart.
    #[expect(clippy::too_many_arguments)]
    pub(super) fn report(
        &self,
        rows: &[f32],
        metrics: Metrics,
        evaluation: &Evaluation,
        curve: Vec<Point>,
        timings: Vec<Timing>,
        command: &str,
        bytes: u64,
    ) -> Result<Report> {
        let [learned, apart] = self.parts;
        let Found { classes, recordings, skipped } = self.found;
        let mistake = |(i, predicted, probability): (usize, usize, f32)| {
            let recording = &recordings[apart[i]];
            let name = recording.path.file_name().unwrap_or(recording.path.as_os_str());
            Mistake {
                picture: Some(self.picture(apart[i])),
                text: name.to_string_lossy().into_owned(),
                truth: classes[recording.class].clone(),
                predicted: classes[predicted].clone(),
                probability,
            }
        };
        let wrong = labels::mistakes(rows, classes.len(), apart.iter().map(|&i| recordings[i].class));
        let first = |class: usize| learned.iter().find(|&&i| recordings[i].class == class);
        let example = |class| first(class).map(|&i| (self.picture(i), classes[class].clone()));
        let groups = evaluation.speakers.iter().filter(|_| evaluation.speakers.len() > 1);
        let steps = evaluation.steps;
        let epochs = (steps * self.config.batch as u64) as f64 / learned.len() as f64;
        let root = self.config.recordings.canonicalize().unwrap_or_else(|_| self.config.recordings.clone());
        Ok(Report {
            title: root.file_stem().unwrap_or(root.as_os_str()).to_string_lossy().trim_end_matches(".tar").into(),
            verb: VERB,
            things: Things { one: "recording", many: "recordings" },
            task: "audio-classification",
            command: command.into(),
            config: self.config.to_toml()?,
            network: "three convolutions over the bands and frames of a log-mel spectrogram, and the mean over time of what they \
                      find"
                .into(),
            measured_on: match &evaluation.left_out {
                Some(speaker) => format!("They are all of {speaker}, of whom it learned from none; they chose nothing."),
                None => "They are a sixth of every speaker's recordings of every class, held apart; they chose nothing.".into(),
            },
            curve_of: "Some of the recordings held apart were looked at as it learned; that chose nothing.",
            curve,
            rates: None,
            axis: ("epoch", epochs),
            learned: learned.len(),
            bytes,
            tiles: vec![
                (format::count(steps), format!("steps, {epochs:.1} epochs")),
                (format!("{} Hz", format::count(self.sound.mel.rate.into())), "samples in a second".into()),
            ],
            input: format!(
                "log-mel spectrograms (float32), N × 1 × {} × {}, made as percept.sound in the metadata has it",
                self.sound.mel.bands, self.sound.frames
            ),
            labels: classes.clone(),
            metrics,
            groups: groups
                .map(|(name, share)| (name.clone(), share.recordings, share.accuracy, share.accuracy_ci95))
                .collect(),
            examples: (0..classes.len().min(SHOWN.1)).filter_map(example).collect(),
            mistakes: wrong.into_iter().take(SHOWN.0).map(mistake).collect(),
            skipped: skipped.clone(),
            timings,
        })
    }

    /// What the network gets of a recording.
    fn picture(&self, place: usize) -> Picture {
        let spectrogram = self.model.spectrogram(self.clips[place].clone());
        // One that is shorter stands in the middle of silence; of one that is longer its beginning is shown.
        let spare = self.sound.frames.saturating_sub(spectrogram.frames);
        let (bands, frames) = (spectrogram.bands, self.sound.frames);
        let values = spectrogram.cut(-(spare / 2).cast_signed(), frames);
        Picture::new(&drawn(&Spectrogram { bands, frames, values }))
    }
}

/// A spectrogram as a picture: time goes to the right, low frequencies are at the bottom, and bright is loud.
fn drawn(spectrogram: &Spectrogram) -> RgbImage {
    let (bands, frames) = (spectrogram.bands as u32, spectrogram.frames as u32);
    RgbImage::from_fn(PIXELS * frames, PIXELS * bands, |x, y| {
        let band = (bands - 1 - y / PIXELS) as usize;
        let value = spectrogram.values[band * spectrogram.frames + (x / PIXELS) as usize];
        Rgb(colour(((value + 1.0) / 2.0).clamp(0.0, 1.0)).map(|c| c.round() as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_tones_are_at_the_bottom_and_loud_ones_are_bright() {
        let picture = drawn(&Spectrogram { bands: 2, frames: 3, values: vec![-1.0, -1.0, 1.0, -1.0, -1.0, -1.0] });
        assert_eq!(picture.dimensions(), (9, 6));
        let brightness = |x, y| picture.get_pixel(x, y).0.iter().map(|&c| u32::from(c)).sum::<u32>();
        assert!(brightness(8, 5) > 600 && brightness(8, 0) < 20 && brightness(0, 5) < 20);
    }
}
