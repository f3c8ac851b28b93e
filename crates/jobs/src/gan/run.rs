//! A run under way: steps, a film of what the generator draws from the same noise, checkpoints.

use super::pictures::Pictures;
use super::players::Players;
use super::sample::{Generator, columns};
use super::{Metrics, Options, Point};
use crate::event::{Events, Phase};
use crate::{Error, Result, format};
use percept_engine::Settings;
use percept_graph::write_file;
use percept_photos::sheet;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";
/// Pictures on the sheet of samples, and those of them that are on the film.
const SAMPLES: (usize, usize) = (64, 16);
/// Rows of the film.
const ROWS: u64 = 10;
/// How often a checkpoint is written, beside those with a row of the film.
const EVERY: Duration = Duration::from_secs(30);
/// Steps that are timed, after one that also plans.
const MEASURED: u64 = 4;
/// Share of the time left that the steps are to take.
const SHARE: f64 = 0.95;

/// What a checkpoint says beside lists of numbers.
#[derive(Default, Serialize, Deserialize)]
struct About {
    /// The steps that were planned.
    steps: u64,
    seconds: f64,
    /// Of the pictures.
    fingerprint: String,
    curve: Vec<Point>,
    /// Sums of both losses since its last point, and how many they are of.
    sums: ([f64; 2], u32),
}

pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    pub(super) folder: &'a Path,
    pub(super) pictures: Pictures,
    pub(super) players: Players,
    pub(super) settings: &'a Settings,
    pub(super) began: Instant,
}

impl Run<'_> {
    /// Trains from the start or the last checkpoint, and leaves all that a finished run has.
    pub(super) fn train(mut self, events: Events<'_>) -> Result<Metrics> {
        let checkpoint = self.folder.join(CHECKPOINT);
        let fingerprint = self.pictures.fingerprint();
        let (mut about, mut film) = match self.players.load::<About>(&checkpoint)? {
            Some((about, _)) if about.fingerprint != fingerprint => {
                let text =
                    format!("{} has changed since the run began: begin a new one", self.options.photos.display());
                return Err(Error::Setting(text));
            }
            Some(found) => found,
            None => {
                let steps = self.plan(&mut *events)?;
                (About { steps, fingerprint, ..About::default() }, Vec::new())
            }
        };
        let before = about.seconds;
        let (began, mut saved) = (Instant::now(), Instant::now());
        let mut phase = Phase::start(events, "Training", Some(about.steps), "steps");
        while self.players.taken() < about.steps {
            let losses = self.players.step(&self.pictures)?.map(f64::from);
            let step = self.players.taken();
            let (sums, count) = about.sums;
            about.sums = ([0, 1].map(|i| sums[i] + losses[i]), count + 1);
            phase.progress(step);
            phase.metric("gan/discriminator", step, losses[0]);
            phase.metric("gan/generator", step, losses[1]);
            let row = is_row(step, about.steps);
            if row {
                let (sums, count) = std::mem::take(&mut about.sums);
                let [discriminator, generator] = sums.map(|sum| sum / f64::from(count));
                about.curve.push(Point { step, discriminator, generator });
            }
            if row || saved.elapsed() >= EVERY {
                about.seconds = before + began.elapsed().as_secs_f64();
                self.show(&mut film, row)?;
                self.players.save(&checkpoint, &about, &film)?;
                saved = Instant::now();
            }
            if let Some(Point { discriminator, generator, .. }) = about.curve.last().filter(|_| row) {
                let step = format::count(step);
                phase.note(format!(
                    "step {step}: losses {discriminator:.3} (discriminator), {generator:.3} (generator)"
                ));
            }
        }
        phase.finish(format!("{} steps", format::count(about.steps)));
        self.finish(about)
    }

    /// Takes the first steps, and says how many fit into the time.
    fn plan(&mut self, events: Events<'_>) -> Result<u64> {
        if let Some(steps) = self.options.steps {
            return Ok(steps);
        }
        let phase = Phase::start(&mut *events, "Measuring", None, "steps");
        self.players.step(&self.pictures)?;
        let start = Instant::now();
        for _ in 0..MEASURED {
            self.players.step(&self.pictures)?;
        }
        let seconds = start.elapsed().as_secs_f64() / MEASURED as f64;
        phase.finish(format!("{} a step", format::duration(seconds)));
        let limit = Duration::from_secs(self.options.time_limit);
        let left = SHARE * limit.saturating_sub(self.began.elapsed()).as_secs_f64();
        // One more at least, after which there is something to see.
        let steps = self.players.taken() + ((left / seconds) as u64).max(1);
        let limit = format::duration(limit.as_secs_f64());
        let passes = steps as f64 * self.options.batch as f64 / self.pictures.len() as f64;
        let text = format!(
            "{} steps fit into the limit of {limit}: each picture is seen about {passes:.1} times",
            format::count(steps)
        );
        events(crate::event::Event::Note { text });
        Ok(steps)
    }

    /// Writes what the generator draws now; as a further row of the film if it is time for one.
    fn show(&self, film: &mut Vec<f32>, row: bool) -> Result<()> {
        let mut generator = self.drawing()?;
        let pictures = generator.draw(self.options.seed, SAMPLES.0)?;
        sheet::save_png(&generator.sheet(&pictures, columns(SAMPLES.0)), &self.folder.join("samples.png"))?;
        if row {
            film.extend_from_slice(&pictures[..SAMPLES.1 * generator.len()]);
            sheet::save_png(&generator.sheet(film, SAMPLES.1), &self.folder.join("film.png"))?;
        }
        Ok(())
    }

    fn drawing(&self) -> Result<Generator> {
        let wrong = || Error::Setting("the generator does not draw pictures".into());
        Generator::new(&self.players.generator()?, self.settings)?.ok_or_else(wrong)
    }

    fn finish(&self, about: About) -> Result<Metrics> {
        let model = self.folder.join("generator.onnx");
        self.players.generator()?.write(&model)?;
        let [discriminator, generator] = self.players.parameters();
        let metrics = Metrics {
            pictures: self.pictures.len(),
            size: self.options.size,
            channels: self.pictures.channels,
            discriminator_parameters: discriminator,
            generator_parameters: generator,
            steps: about.steps,
            batch: self.options.batch,
            seconds: about.seconds,
            losses: about.curve,
        };
        let path = self.folder.join("metrics.json");
        let json = serde_json::to_vec_pretty(&metrics).map_err(|e| Error::Setting(format!("no metrics: {e}")))?;
        write_file(&path, &json).map_err(Error::io("write", &path))?;
        Ok(metrics)
    }
}

/// Whether the film has a row after this step: more often at first, when most happens.
fn is_row(step: u64, steps: u64) -> bool {
    (1..=ROWS).any(|row| (steps * row * row).div_ceil(ROWS * ROWS) == step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_film_ends_with_the_last_step() {
        let rows = |steps| (1..=steps).filter(|&step| is_row(step, steps)).collect::<Vec<_>>();
        assert_eq!(rows(1000), [10, 40, 90, 160, 250, 360, 490, 640, 810, 1000]);
        assert_eq!(rows(3), [1, 2, 3]);
    }
}
