//! `percept text`: what is said about text, and the text that is written.

use super::{Events, json, print};
use crate::args::{Format, Labels, Text, TextPredict, TextSample, TextTrain};
use anyhow::{Result, anyhow, bail};
use percept_jobs::Settings;
use percept_jobs::format::{count, percent, percent_range};
use percept_jobs::text::{self, Config, Request, Sampler, language, predict, sentences};
use std::io::{ErrorKind, Write};

pub(super) fn run(args: Text, settings: &Settings, events: Events<'_>) -> Result<()> {
    match args {
        Text::Train(args) => train(args, settings, events),
        Text::Sample(args) => sample(args, settings),
        Text::Predict(args) => label(args, settings),
    }
}

fn train(args: TextTrain, settings: &Settings, events: Events<'_>) -> Result<()> {
    let first = match args.labels {
        Labels::Auto => args.folds.is_some() || args.test.is_some() || text::is_labelled(&args.file)?,
        Labels::First => true,
        Labels::None if args.folds.is_some() || args.test.is_some() => bail!("--folds and --test want labels"),
        Labels::None => false,
    };
    match (first, args.epochs, args.steps) {
        (true, _, Some(_)) => bail!("--steps is for texts without labels: give --epochs"),
        (false, Some(_), _) => bail!("--epochs is for sentences with labels: give --steps"),
        _ => {}
    }
    if first { train_sentences(args, settings, events) } else { train_language(args, settings, events) }
}

fn train_sentences(args: TextTrain, settings: &Settings, events: Events<'_>) -> Result<()> {
    let config = sentences::Config {
        text: args.file,
        test: args.test,
        folds: args.folds.map(|folds| folds as usize),
        seed: args.seed,
        time_limit: args.time_limit.0.filter(|_| args.epochs.is_none()),
        epochs: args.epochs,
        ..sentences::Config::default()
    };
    let trained = sentences::train(config, &args.out, settings, events)?;
    if args.output.format == Format::Json {
        return json(&trained.metrics);
    }
    let (metrics, model) = (&trained.metrics, trained.out.join("model.onnx"));
    say!(
        "\nNames {} right of {} sentences that it did not learn from (95 % interval: {}; {})",
        percent(metrics.accuracy),
        count(metrics.sentences as u64),
        percent_range(metrics.accuracy_ci95),
        metrics.measured_on
    );
    say!("  model  {}", model.display());
    say!("Next: percept text predict {} SENTENCE", model.display());
    Ok(())
}

fn label(args: TextPredict, settings: &Settings) -> Result<()> {
    let predictions = predict::predict(&args.model, &args.sentences, settings)?;
    if args.output.format == Format::Json {
        return json(&predictions);
    }
    for prediction in predictions {
        say!("{}", prediction.sentence);
        for answer in &prediction.classes {
            say!("  {:>6}  {}", percent(f64::from(answer.probability)), answer.label);
        }
    }
    Ok(())
}

fn train_language(args: TextTrain, settings: &Settings, events: Events<'_>) -> Result<()> {
    let config = Config {
        text: args.file,
        seed: args.seed,
        time_limit: args.time_limit.0.filter(|_| args.steps.is_none()),
        hidden: args.hidden as usize,
        layers: args.layers as usize,
        steps: args.steps,
        ..Config::default()
    };
    let trained = language::train(config, &args.out, settings, events)?;
    if args.output.format == Format::Json {
        return json(&trained.metrics);
    }
    let (metrics, out) = (&trained.metrics, &trained.out);
    say!(
        "\nExpects text that it has not seen to {:.3} nats for a character ({} characters held out)",
        metrics.nats_per_character,
        count(metrics.characters as u64)
    );
    say!("  model   {}", out.join("model.onnx").display());
    say!("  sample  {}", out.join("sample.txt").display());
    say!("Next: percept text sample {}", out.join("model.onnx").display());
    Ok(())
}

fn sample(args: TextSample, settings: &Settings) -> Result<()> {
    let TextSample { model, prompt, temperature, length, seed } = args;
    let mut sampler = Sampler::open(&model, settings)?;
    let request = Request { prompt, temperature, length, seed };
    let mut written = Ok(());
    let mut begun = false;
    sampler.sample(&request, &mut |c| {
        // The prompt comes first, once it is known to be one.
        let prompt = if std::mem::replace(&mut begun, true) { "" } else { &request.prompt };
        let mut out = std::io::stdout().lock();
        written = out.write_all(format!("{prompt}{c}").as_bytes()).and_then(|()| out.flush());
        written.is_ok()
    })?;
    match written {
        Ok(()) => print(b"\n"),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(anyhow!("cannot write to standard output: {error}")),
    }
}
