//! `percept gan`: what it says.

use super::{Events, json};
use crate::args::{Format, GanSample, GanTrain};
use anyhow::Result;
use percept_jobs::format::{count, duration};
use percept_jobs::{Settings, gan};

pub(super) fn train(args: GanTrain, settings: &Settings, events: Events<'_>) -> Result<()> {
    let out = args.resume.as_ref().unwrap_or(&args.out);
    let metrics = match &args.resume {
        Some(out) => gan::resume(out, settings, events)?,
        None => {
            let options = gan::Options {
                photos: args.photos.unwrap_or_default(),
                size: args.size,
                batch: args.batch.into(),
                time_limit: args.time_limit.as_secs(),
                steps: args.steps,
                seed: args.seed,
            };
            gan::train(options, out, settings, events)?
        }
    };
    if args.output.format == Format::Json {
        return json(&metrics);
    }
    let (pictures, time) = (count(metrics.pictures as u64), duration(metrics.seconds));
    say!("\nLearned from {pictures} pictures in {} steps ({time})", count(metrics.steps));
    for (name, file) in [("model", "generator.onnx"), ("samples", "samples.png"), ("film", "film.png")] {
        say!("  {name:<8} {}", out.join(file).display());
    }
    say!("Next: percept gan sample {}", out.join("generator.onnx").display());
    Ok(())
}

pub(super) fn sample(args: &GanSample, settings: &Settings) -> Result<()> {
    gan::sample(&args.model, &args.out, args.n.into(), args.seed, settings)?;
    say!("{}", args.out.display());
    Ok(())
}
