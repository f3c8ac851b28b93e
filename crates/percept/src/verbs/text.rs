//! `percept text`: what is said about text, and the text that is written.

use super::{Events, command, failed, json, print, with_board};
use crate::args::{Format, Labels, Output, Text, TextPredict, TextSample, TextTrain};
use anyhow::{Result, anyhow, bail};
use percept_jobs::Settings;
use percept_jobs::format::{count, percent, percent_range};
use percept_jobs::text::{self, Config, Plan, Request, Sampler, Source, Trained, language, predict, sentences};
use std::io::{ErrorKind, Write};

pub(super) fn run(args: Text, settings: &Settings, events: Events<'_>) -> Result<()> {
    match args {
        Text::Train(args) => {
            let board = args.tensorboard.clone();
            with_board(board.as_deref(), events, |events| train(args, settings, events))
        }
        Text::Sample(args) => sample(args, settings),
        Text::Predict(args) => label(args, settings),
    }
}

fn train(args: TextTrain, settings: &Settings, events: Events<'_>) -> Result<()> {
    let out = args.resume.as_ref().unwrap_or(&args.out);
    let trained = match &args.resume {
        Some(run) => text::resume(run, settings, events),
        None => {
            let (plan, source) = planned(&args)?;
            text::train(plan, &source, out, &command(), settings, events)
        }
    };
    match trained.map_err(|error| failed(error, out, "text train"))? {
        Trained::Characters(trained) => finish_language(&args.output, &trained),
        Trained::Sentences(trained) => finish_sentences(&args.output, &trained),
    }
}

/// What is to be learned, and the text.
fn planned(args: &TextTrain) -> Result<(Plan, Source)> {
    if let Some(file) = &args.config {
        let plan = Plan::read(file)?;
        let source = Source::open(plan.text())?;
        return Ok((plan, source));
    }
    let text = args.file.clone().unwrap_or_default();
    let source = Source::open(&text)?;
    let measured = args.folds.is_some() || args.test.is_some();
    let first = match args.labels {
        Labels::Auto => measured || source.is_labelled(),
        Labels::First => true,
        Labels::None if measured => bail!("--folds and --test want labels"),
        Labels::None => false,
    };
    let seed = args.seed;
    let mut plan = match (first, args.epochs, args.steps) {
        (true, _, Some(_)) => bail!("--steps is for texts without labels: give --epochs"),
        (false, Some(_), _) => bail!("--epochs is for sentences with labels: give --steps"),
        (true, epochs, None) => Plan::Sentences(sentences::Config {
            text,
            test: args.test.clone(),
            folds: args.folds.map(|folds| folds as usize),
            seed,
            time_limit: args.time_limit.0.filter(|_| epochs.is_none()),
            epochs,
            ..sentences::Config::default()
        }),
        (false, None, steps) => Plan::Characters(Config {
            text,
            seed,
            time_limit: args.time_limit.0.filter(|_| steps.is_none()),
            hidden: args.hidden as usize,
            layers: args.layers as usize,
            steps,
            ..Config::default()
        }),
    };
    if args.find_rate {
        match &mut plan {
            Plan::Characters(config) => config.learning_rate = None,
            Plan::Sentences(config) => config.learning_rate = None,
        }
    }
    Ok((plan, source))
}

fn finish_sentences(output: &Output, trained: &sentences::Trained) -> Result<()> {
    if output.format == Format::Json {
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
    say!("  model   {}", model.display());
    say!("  report  {}", trained.out.join("report.html").display());
    say!("Next: percept text predict {} SENTENCE", model.display());
    Ok(())
}

fn finish_language(output: &Output, trained: &language::Trained) -> Result<()> {
    if output.format == Format::Json {
        return json(&trained.metrics);
    }
    let (metrics, out) = (&trained.metrics, &trained.out);
    say!(
        "\nExpects text that it has not seen to {:.3} nats for a character ({} characters held out)",
        metrics.nats_per_character,
        count(metrics.characters as u64)
    );
    for (name, file) in [("model", "model.onnx"), ("report", "report.html"), ("sample", "sample.txt")] {
        say!("  {name:<6}  {}", out.join(file).display());
    }
    say!("Next: percept text sample {}", out.join("model.onnx").display());
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
