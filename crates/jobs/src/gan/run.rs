//! A run under way: steps, a film of what the generator draws from the same noise, checkpoints.

use super::pictures::Pictures;
use super::players::Players;
use super::sample::Generator;
use super::{Metrics, Options, Point};
use crate::budget::Saved;
use crate::event::{Event, Events, Phase};
use crate::folder::RunFolder;
use crate::report::gan::{Png, Report};
use crate::{Error, Result, budget, config, format};
use percept_engine::Settings;
use percept_photos::sheet;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

const CHECKPOINT: &str = "checkpoint.safetensors";
/// Pictures in a row of the film if there are no classes.
const COLUMNS: usize = 16;
/// Rows of the film, and points of the curve: the rows are at some of these.
const ROWS: u64 = 10;
const POINTS: u64 = ROWS * ROWS;
/// Steps that are timed, after one that also plans.
const MEASURED: u64 = 4;

/// What a checkpoint says beside lists of numbers.
#[derive(Default, Serialize, Deserialize)]
struct About {
    seconds: f64,
    curve: Vec<Point>,
    /// Sums of both losses since its last point, and how many they are of.
    sums: ([f64; 2], u32),
}

pub(super) struct Run<'a> {
    pub(super) options: Options,
    pub(super) folder: &'a RunFolder,
    pub(super) command: &'a str,
    pub(super) pictures: Pictures,
    pub(super) players: Players,
    pub(super) settings: &'a Settings,
    pub(super) began: Instant,
}

impl Run<'_> {
    /// Trains from the start or the last checkpoint, and leaves all that a finished run has.
    pub(super) fn train(mut self, events: Events<'_>) -> Result<Metrics> {
        let checkpoint = self.folder.path().join(CHECKPOINT);
        let (mut about, mut film) = self.players.load::<About>(&checkpoint)?.unwrap_or_default();
        let steps = match self.options.steps {
            Some(steps) => steps,
            None => self.plan(&mut *events)?,
        };
        self.options.steps = Some(steps);
        self.folder.record(&self.options, self.command)?;
        let before = about.seconds;
        let (began, mut saved) = (Instant::now(), Saved::now());
        let mut phase = Phase::start(&mut *events, "Training", Some(steps), "steps");
        phase.progress(self.players.taken());
        while self.players.taken() < steps {
            let losses = self.players.step(&self.pictures)?.map(f64::from);
            let step = self.players.taken();
            let (sums, count) = about.sums;
            about.sums = ([0, 1].map(|i| sums[i] + losses[i]), count + 1);
            phase.progress(step);
            phase.metric("gan/discriminator", step, losses[0]);
            phase.metric("gan/generator", step, losses[1]);
            if is_point(step, steps) {
                let (sums, count) = std::mem::take(&mut about.sums);
                let [discriminator, generator] = sums.map(|sum| sum / f64::from(count));
                about.curve.push(Point { step, discriminator, generator });
            }
            about.seconds = before + began.elapsed().as_secs_f64();
            let row = is_row(step, steps);
            let mut save = || {
                self.show(&mut film, row)?;
                self.players.save(&checkpoint, &about, &film)
            };
            if row {
                save()?
            } else {
                saved.tick(save)?
            }
            if let Some(Point { discriminator, generator, .. }) = about.curve.last().filter(|_| row) {
                let step = format::count(step);
                phase.note(format!(
                    "step {step}: losses {discriminator:.3} (discriminator), {generator:.3} (generator)"
                ));
            }
        }
        phase.finish(format!("{} steps", format::count(steps)));
        self.finish(about, steps)
    }

    /// Takes the first steps, and says how many fit into the time.
    fn plan(&mut self, events: Events<'_>) -> Result<u64> {
        let phase = Phase::start(&mut *events, "Measuring", None, "steps");
        self.players.step(&self.pictures)?;
        let start = Instant::now();
        for _ in 0..MEASURED {
            self.players.step(&self.pictures)?;
        }
        let seconds = start.elapsed().as_secs_f64() / MEASURED as f64;
        phase.finish(format!("{} a step", format::duration(seconds)));
        let limit = Duration::from_secs(self.options.time_limit);
        let left = limit.saturating_sub(self.began.elapsed());
        // One more at least, after which there is something to see.
        let steps = self.players.taken() + budget::affordable(seconds, Some(left), [1, u64::from(u32::MAX)]);
        let limit = format::duration(limit.as_secs_f64());
        let passes = steps as f64 * self.options.batch as f64 / self.pictures.len() as f64;
        let text = format!(
            "{} steps fit into the limit of {limit}: each picture is seen about {passes:.1} times",
            format::count(steps)
        );
        events(Event::Note { text });
        Ok(steps)
    }

    /// Writes what the generator draws now; as a further row of the film if it is time for one.
    fn show(&self, film: &mut Vec<f32>, row: bool) -> Result<()> {
        let mut generator = self.drawing()?;
        let (samples, columns) = (generator.usual(), generator.columns(generator.usual()));
        let width = if generator.classes.is_empty() { COLUMNS } else { columns };
        let pictures = generator.draw(self.options.seed, samples.max(width), None)?;
        let sheet = |name, pictures: &[f32], columns| {
            let sheet = sheet::contact_sheet(&generator.pictures(pictures), columns);
            sheet::save_png(&sheet, &self.folder.path().join(name))
        };
        sheet("samples.png", &pictures[..samples * generator.len()], columns)?;
        if row {
            film.extend_from_slice(&pictures[..width * generator.len()]);
            sheet("film.png", film, width)?;
        }
        Ok(())
    }

    fn drawing(&self) -> Result<Generator> {
        let wrong = || Error::Setting("the generator does not draw pictures".into());
        Generator::new(&self.players.generator(&self.pictures.classes)?, self.settings)?.ok_or_else(wrong)
    }

    fn finish(&self, about: About, steps: u64) -> Result<Metrics> {
        let model = self.players.generator(&self.pictures.classes)?.to_bytes()?;
        self.folder.write("generator.onnx", &model)?;
        let [discriminator, generator] = self.players.parameters();
        let metrics = Metrics {
            pictures: self.pictures.len(),
            classes: self.pictures.counts(),
            size: self.options.size,
            channels: self.pictures.channels,
            discriminator_parameters: discriminator,
            generator_parameters: generator,
            steps,
            batch: self.options.batch,
            seconds: about.seconds,
            losses: about.curve,
        };
        self.folder.write_json("metrics.json", &metrics)?;
        let photos = &self.options.photos;
        let [film, samples] = ["film.png", "samples.png"].map(|name| Png::read(&self.folder.path().join(name)));
        let report = Report {
            title: photos.file_name().unwrap_or(photos.as_os_str()).to_string_lossy().into_owned(),
            command: self.command.into(),
            config: config::to_toml(&self.options)?,
            metrics: metrics.clone(),
            noise: self.players.noise(),
            bytes: model.len() as u64,
            film: film?,
            samples: samples?,
            skipped: self.pictures.skipped.clone(),
        };
        self.folder.write("report.html", report.html()?.as_bytes())?;
        self.folder.write("MODEL_CARD.md", report.model_card()?.as_bytes())?;
        Ok(metrics)
    }
}

/// Whether the curve has a point after this step.
fn is_point(step: u64, steps: u64) -> bool {
    (1..=POINTS).any(|point| (steps * point).div_ceil(POINTS) == step)
}

/// Whether the film has a row after this step: more often at first, when most happens.
fn is_row(step: u64, steps: u64) -> bool {
    (1..=ROWS).any(|row| (steps * row * row).div_ceil(POINTS) == step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_film_ends_with_the_last_step() {
        let rows = |steps| (1..=steps).filter(|&step| is_row(step, steps)).collect::<Vec<_>>();
        assert_eq!(rows(1000), [10, 40, 90, 160, 250, 360, 490, 640, 810, 1000]);
        assert_eq!(rows(3), [1, 2, 3]);
        for steps in [1, 7, 99, 1000] {
            assert!((1..=steps).all(|step| is_point(step, steps) || !is_row(step, steps)), "{steps}");
        }
    }
}
