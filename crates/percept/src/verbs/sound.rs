//! `percept sound`: what is said about recordings.

use super::{Events, command, failed, json, with_board};
use crate::args::{self, Format};
use anyhow::{Result, bail};
use percept_jobs::Settings;
use percept_jobs::format::{count, percent, percent_range};
use percept_jobs::sound::{self, Config, Model, Share};

pub(super) fn run(args: args::Sound, settings: &Settings, events: Events<'_>) -> Result<()> {
    match args {
        args::Sound::Train(args) => {
            let board = args.tensorboard.clone();
            with_board(board.as_deref(), events, |events| train(args, settings, events))
        }
        args::Sound::Predict(args) => predict(&args, settings),
    }
}

fn train(args: args::SoundTrain, settings: &Settings, events: Events<'_>) -> Result<()> {
    let out = args.resume.as_ref().unwrap_or(&args.out);
    let trained = match (&args.resume, &args.config) {
        (Some(run), _) => sound::resume(run, settings, events),
        (None, Some(file)) => sound::train(Config::read(file)?, out, &command(), settings, events),
        (None, None) => {
            let mut config = Config {
                recordings: args.recordings.unwrap_or_default(),
                seed: args.seed,
                leave_out: args.leave_out,
                time_limit: args.time_limit.0,
                ..Config::default()
            };
            if args.find_rate {
                config.learning_rate = None;
            }
            sound::train(config, out, &command(), settings, events)
        }
    };
    let trained = trained.map_err(|error| failed(error, out, "sound train"))?;
    if args.output.format == Format::Json {
        return json(&trained.evaluation);
    }
    let verdict = |share: &Share| {
        let Share { recordings, accuracy, accuracy_ci95 } = *share;
        let (right, of, range) = (percent(accuracy), count(recordings as u64), percent_range(accuracy_ci95));
        format!("{right} right of {of} recordings (95 % interval: {range})")
    };
    let evaluation = &trained.evaluation;
    let apart = evaluation.left_out.as_ref().map_or_else(
        || "that it did not learn from".to_string(),
        |speaker| format!("of {speaker}, whom it never heard"),
    );
    say!("\nNames {}, {apart}", verdict(&evaluation.all));
    for (speaker, share) in evaluation.speakers.iter().filter(|_| evaluation.speakers.len() > 1) {
        say!("  {speaker:<12}  {}", verdict(share));
    }
    let model = trained.out.join("model.onnx");
    say!("  model   {}", model.display());
    say!("  report  {}", trained.out.join("report.html").display());
    say!("Next: percept sound predict {} RECORDING", model.display());
    Ok(())
}

fn predict(args: &args::SoundPredict, settings: &Settings) -> Result<()> {
    let mut model = Model::open(&args.model, settings)?;
    let (predictions, skipped) = sound::predict(&mut model, &args.recordings, args.top, settings)?;
    for skipped in &skipped {
        say!("error: {}: {}", skipped.path.display(), skipped.reason);
    }
    if args.output.format == Format::Json {
        json(&predictions)?;
    } else {
        for prediction in &predictions {
            say!("{}", prediction.recording);
            for answer in &prediction.classes {
                say!("  {:>6}  {}", percent(f64::from(answer.probability)), answer.label);
            }
        }
    }
    if !skipped.is_empty() {
        bail!("{} of the recordings could not be read", count(skipped.len() as u64));
    }
    Ok(())
}
