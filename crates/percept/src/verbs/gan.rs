//! `percept gan`: what it says.

use super::run::{command, failed, quoted, with_board};
use super::{Events, json};
use crate::args::{Format, GanSample, GanTrain};
use anyhow::Result;
use percept_jobs::format::{count, duration};
use percept_jobs::{Settings, gan};

pub(super) fn train(args: GanTrain, settings: &Settings, events: Events<'_>) -> Result<()> {
    let folder = args.tensorboard.clone();
    with_board(folder.as_deref(), events, |events| learn(args, settings, events))
}

fn learn(args: GanTrain, settings: &Settings, events: Events<'_>) -> Result<()> {
    let trained = match (&args.resume, &args.config) {
        (Some(out), _) => gan::resume(out, settings, events),
        (None, Some(file)) => gan::train(gan::Options::read(file)?, &args.out, &command(), settings, events),
        (None, None) => {
            let options = gan::Options {
                photos: args.photos.unwrap_or_default(),
                classes: !args.no_classes,
                size: args.size,
                batch: args.batch.into(),
                time_limit: args.time_limit.as_secs(),
                steps: args.steps,
                seed: args.seed,
            };
            gan::train(options, &args.out, &command(), settings, events)
        }
    };
    let out = args.resume.as_ref().unwrap_or(&args.out);
    let gan::Trained { out, metrics } = trained.map_err(|error| failed(error, out, "gan train"))?;
    if args.output.format == Format::Json {
        return json(&metrics);
    }
    let (pictures, time) = (count(metrics.pictures as u64), duration(metrics.seconds));
    say!("\nLearned from {pictures} pictures in {} steps ({time})", count(metrics.steps));
    for (name, file) in [("model", "generator.onnx"), ("film", "film.png"), ("report", "report.html")] {
        say!("  {name:<8} {}", out.join(file).display());
    }
    match metrics.classes.first() {
        Some((name, _)) => say!("Next: percept gan sample {} --class {}", out.display(), quoted(name)),
        None => say!("Next: percept gan sample {}", out.display()),
    }
    Ok(())
}

pub(super) fn sample(args: GanSample, settings: &Settings) -> Result<()> {
    let GanSample { model, n, class, seed, out } = args;
    let request = gan::Request { model, out, count: n.map(usize::from), class, seed };
    gan::sample(&request, settings)?;
    say!("{}", request.out.display());
    Ok(())
}
