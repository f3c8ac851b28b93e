//! From parsed arguments to jobs, and from what they give back to what is printed.

mod add;
mod bench;
mod check;
mod explain;
mod gan;
mod run;
mod sound;
mod targets;
mod text;

use crate::args::{self, Backbone, Cli, Format, Gan, Sound, Text, Verb};
use crate::interrupt;
use crate::progress::Progress;
use anyhow::{Result, anyhow, bail};
use clap::CommandFactory;
use percept_jobs::augment::Views;
use percept_jobs::calibration::Errors;
use percept_jobs::evaluate::Evaluation;
use percept_jobs::event::Event;
use percept_jobs::format::{bytes, count, duration, percent, percent_range};
use percept_jobs::known::Separation;
use percept_jobs::train::Resumed;
use percept_jobs::{Classifier, Config, Settings, augment, backbone, classifier, demo, evaluate, predict, train};
use run::{command, failed, with_board};
use serde::Serialize;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Does what the command line says.
pub(crate) fn run(cli: Cli) -> Result<()> {
    let mut settings = match &cli.verb {
        Verb::Bench(args::Bench { isa: Some(isa), .. }) => Settings::for_isa(isa)?,
        _ => Settings::detect()?,
    };
    if let Some(threads) = cli.threads {
        settings = settings.with_threads(threads as usize)?;
    }
    let mut progress = Progress::new(cli.quiet);
    let screen = progress.screen();
    let events = &mut |event: Event| progress.show(event);
    match cli.verb {
        Verb::Train(args) => {
            interrupt::watch(args.resume.as_ref().unwrap_or(&args.out), "train", screen)?;
            let board = args.tensorboard.clone();
            with_board(board.as_deref(), events, |events| run_train(args, &settings, events))
        }
        Verb::Gan(Gan::Train(args)) => {
            interrupt::watch(args.resume.as_ref().unwrap_or(&args.out), "gan train", screen)?;
            gan::train(args, &settings, events)
        }
        Verb::Gan(Gan::Sample(args)) => gan::sample(args, &settings),
        Verb::Check(args) => check::run(args, &settings, events),
        Verb::Evaluate(args) => run_evaluate(args, &settings, events),
        Verb::Predict(args) => run_predict(args, &settings),
        Verb::Explain(args) => explain::run(args, &settings),
        Verb::Add(args) => add::run(args, &settings, events),
        Verb::Bench(args) => bench::run(args, &settings, events),
        Verb::Augment(args) => run_augment(args, &settings, events),
        Verb::Demo(args) => run_demo(args, &settings, events),
        Verb::Text(args) => {
            if let Text::Train(args) = &args {
                interrupt::watch(args.resume.as_ref().unwrap_or(&args.out), "text train", screen)?;
            }
            text::run(args, &settings, events)
        }
        Verb::Backbone(args) => run_backbone(args, events),
        Verb::Sound(args) => {
            if let Sound::Train(args) = &args {
                interrupt::watch(args.resume.as_ref().unwrap_or(&args.out), "sound train", screen)?;
            }
            sound::run(args, &settings, events)
        }
        Verb::Completions(args::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "percept", &mut script);
            print(&script)
        }
    }
}

type Events<'a> = &'a mut dyn FnMut(Event);

fn run_train(args: args::Train, settings: &Settings, events: Events<'_>) -> Result<()> {
    if let Some(out) = &args.resume {
        return match train::resume(out, settings, events).map_err(|error| failed(error, out, "train"))? {
            Resumed::Classes(trained) => finish_train(&args.output, &trained),
            Resumed::Targets(trained) => targets::finish(&args.output, &trained),
        };
    }
    let config = match (&args.config, args.photos) {
        (Some(file), _) => Config::read(file)?,
        (None, photos) => {
            let mut config = Config { photos: photos.unwrap_or_default(), ..Config::default() };
            config.targets = args.targets;
            config.backbone = args.backbone;
            config.network = args.network;
            config.unknown = args.unknown;
            config.time_limit = args.time_limit.0;
            config.seed = args.seed;
            config.views = args.views.0;
            config.augment.flip = !args.no_flip;
            config
        }
    };
    if config.targets.is_some() {
        let trained = train::targets::train(config, &args.out, &command(), settings, events);
        return targets::finish(&args.output, &trained.map_err(|error| failed(error, &args.out, "train"))?);
    }
    let trained = train::train(config, &args.out, &command(), settings, events)
        .map_err(|error| failed(error, &args.out, "train"))?;
    finish_train(&args.output, &trained)
}

fn finish_train(output: &args::Output, trained: &train::Trained) -> Result<()> {
    if output.format == Format::Json {
        return json(&trained.evaluation);
    }
    say_trained(&trained.evaluation, &trained.out);
    Ok(())
}

fn say_trained(evaluation: &Evaluation, out: &Path) {
    say!("\nNames {}, on photos that it was not fitted on", verdict(evaluation));
    say!("  model   {}", out.join("model.onnx").display());
    say!("  report  {}", out.join("report.html").display());
    say!("Next: percept predict {} PHOTO", out.join("model.onnx").display());
}

fn open(model: &args::Model, settings: &Settings) -> Result<Classifier> {
    let mut options = classifier::Options { labels: model.labels.clone(), ..Default::default() };
    for (values, option, name) in [(&model.mean, &mut options.mean, "--mean"), (&model.std, &mut options.std, "--std")]
    {
        if values.is_empty() {
            continue;
        }
        match <[f32; 3]>::try_from(&values[..]) {
            Ok(values) if values.iter().all(|v| v.is_finite() && (name == "--mean" || *v > 0.0)) => *option = values,
            _ => bail!("{name} must be three numbers such as 0.5,0.5,0.5"),
        }
    }
    Ok(Classifier::open(&model.model, &options, settings)?)
}

fn run_evaluate(args: args::Evaluate, settings: &Settings, events: Events<'_>) -> Result<()> {
    if let Some(model) = targets::open(&args.model, settings)? {
        return targets::evaluate(model, &args, settings, events);
    }
    if args.targets.is_some() {
        bail!("{} names classes and answers no questions: leave --targets away", args.model.model.display());
    }
    let mut classifier = open(&args.model, settings)?;
    let evaluation = evaluate::evaluate(&mut classifier, &args.photos, args.unknown.as_deref(), settings, events)?;
    if args.output.format == Format::Json {
        return json(&evaluation);
    }
    for skipped in evaluation.skipped.iter().take(20) {
        say!("left out {}: {}", skipped.path.display(), skipped.reason);
    }
    if evaluation.skipped.len() > 20 {
        say!("… and {} more", count(evaluation.skipped.len() as u64 - 20));
    }
    say!("Names {}", verdict(&evaluation));
    let metrics = &evaluation.metrics;
    say!("  among the five most probable  {}", percent(metrics.top5));
    say!("  F1, mean of the classes       {}", percent(metrics.f1_macro));
    say!("  negative log-likelihood       {:.3}", metrics.nll);
    say!("  expected calibration error    {}", percent(metrics.ece));
    say_trusted(&evaluation);
    say!(
        "  time for one picture          {} (median), {} (99th percentile)",
        duration(evaluation.latency_ms_p50 / 1e3),
        duration(evaluation.latency_ms_p99 / 1e3)
    );
    Ok(())
}

/// Whether its probabilities, and its word that a picture is known, can be trusted.
fn say_trusted(evaluation: &Evaluation) {
    if let Some(calibration) = &evaluation.calibration {
        let debiased = |errors: &Errors| errors.debiased.map_or("–".into(), percent);
        let (before, after) = (debiased(&calibration.before), debiased(&calibration.after));
        say!("  the same, debiased            {after} ({before} without the temperature)");
    }
    let Some(known) = &evaluation.known else { return };
    let Separation { known_rejected, unknown, unknown_accepted, auroc, .. } = &known.separation;
    let share = |share: &Option<f64>| percent(share.unwrap_or(f64::NAN));
    say!("  taken for none of these       {} of the photos of its classes", share(known_rejected));
    if let Some(auroc) = auroc {
        let others = count(*unknown as u64);
        say!("  taken for one of its classes  {} of {others} others (AUROC {auroc:.3})", share(unknown_accepted));
    }
}

fn verdict(evaluation: &Evaluation) -> String {
    let metrics = &evaluation.metrics;
    format!(
        "{} right of {} photos (95 % interval: {})",
        percent(metrics.accuracy),
        count(metrics.images as u64),
        percent_range(metrics.accuracy_ci95)
    )
}

fn run_predict(args: args::Predict, settings: &Settings) -> Result<()> {
    if let Some(model) = targets::open(&args.model, settings)? {
        return targets::predict(model, &args, settings);
    }
    let mut classifier = open(&args.model, settings)?;
    let mut list = args.output.format == Format::Json;
    let mut predictions = Vec::new();
    let mut found = |prediction: predict::Prediction| {
        if list {
            predictions.push(prediction);
            return;
        }
        let unknown = prediction.known == Some(false);
        say!("{}{}", prediction.picture, if unknown { ": none of these; the nearest" } else { "" });
        for answer in &prediction.classes {
            say!("  {:>6}  {}", percent(f64::from(answer.probability)), answer.label);
        }
    };
    let skipped = predict::predict(&mut classifier, &args.pictures, args.top, settings, &mut found)?;
    for skipped in &skipped {
        say!("error: {}: {}", skipped.path.display(), skipped.reason);
    }
    if std::mem::take(&mut list) {
        json(&predictions)?;
    }
    if !skipped.is_empty() {
        bail!("{} of the pictures could not be read", count(skipped.len() as u64));
    }
    Ok(())
}

fn run_augment(args: args::Augment, settings: &Settings, events: Events<'_>) -> Result<()> {
    let mut views = Views { augment: Config::default().augment, count: args.views, seed: args.seed };
    views.augment.size = args.size;
    views.augment.flip = !args.no_flip;
    if let Some(sheet) = &args.preview {
        return Ok(augment::preview(&args.photos, sheet, &views, events)?);
    }
    for skipped in augment::write(&args.photos, &args.out, &views, settings, events)? {
        say!("left out {}: {}", skipped.path.display(), skipped.reason);
    }
    Ok(())
}

fn run_demo(args: args::Demo, settings: &Settings, events: Events<'_>) -> Result<()> {
    let trained = demo::demo(args.out.as_deref(), settings, events)?;
    if args.output.format == Format::Json {
        return json(&trained.evaluation);
    }
    say_trained(&trained.evaluation, &trained.out);
    Ok(())
}

fn run_backbone(args: Backbone, events: Events<'_>) -> Result<()> {
    match args {
        Backbone::List { output } if output.format == Format::Json => json(&backbone::list()),
        Backbone::List { .. } => {
            for backbone in backbone::list() {
                let here = if backbone.cached { "here" } else { "percept backbone pull" };
                let (size, top1) = (bytes(backbone.bytes), percent(backbone.imagenet_top1));
                say!(
                    "{:<20} {} px  {size:>8}  {top1} of ImageNet  {}  {here}",
                    backbone.name,
                    backbone.input,
                    backbone.licence
                );
            }
            Ok(())
        }
        Backbone::Pull { mut names, from } => {
            if names.is_empty() {
                names = backbone::list().iter().map(|backbone| backbone.name.to_string()).collect();
            }
            for name in names {
                backbone::pull(&name, from.as_deref(), &mut *events)?;
            }
            Ok(())
        }
        Backbone::Export { name, out } => {
            let out = out.unwrap_or_else(|| format!("{name}.onnx").into());
            backbone::export(&name, &out, events)?;
            say!("{}", out.display());
            Ok(())
        }
    }
}

fn json(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    print(&text)
}

/// Writes to standard output; a reader that has gone away is not a failure.
fn print(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| anyhow!("cannot write to standard output: {error}")),
    }
}
