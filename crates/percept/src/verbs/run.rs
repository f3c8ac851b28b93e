//! What the trainings of all verbs have in common.

use super::Events;
use crate::interrupt;
use anyhow::{Result, anyhow};
use percept_jobs::Error;
use percept_jobs::event::Event;
use percept_jobs::tensorboard::Writer;
use std::error::Error as _;
use std::path::Path;

/// Does a job whose curves also go to event files in a folder, if there is one.
pub(super) fn with_board<T>(
    folder: Option<&Path>,
    events: Events<'_>,
    job: impl FnOnce(Events<'_>) -> Result<T>,
) -> Result<T> {
    let mut board = folder.map(Writer::create).transpose()?;
    job(&mut |event: Event| {
        if let (Some(writer), Event::Metric { name, step, value }) = (&mut board, &event)
            && let Err(error) = writer.scalar(name, *step, *value as f32)
        {
            // The model is worth more than its curves.
            events(Event::Warning { text: format!("no more curves are written: {error}") });
            board = None;
        }
        events(event);
    })
}

/// An error of a run of a verb, and how to go on if the system was at fault, such as a full disk.
pub(super) fn failed(error: Error, out: &Path, verb: &str) -> anyhow::Error {
    let system = error.source().is_some_and(|source| source.is::<std::io::Error>());
    match interrupt::unfinished(out).filter(|_| system) {
        Some(run) => anyhow!("{error}: mend that, then go on with `percept {verb} --resume {run}`"),
        None => error.into(),
    }
}

/// The command line, for the report.
pub(super) fn command() -> String {
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| quoted(&arg.to_string_lossy())).collect();
    format!("percept {}", args.join(" "))
}

/// An argument as a shell takes it.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
