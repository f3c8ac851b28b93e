//! Draws a job's events on the terminal: a bar with the time left, and a line for what is done.

use indicatif::{ProgressBar, ProgressStyle};
use percept_jobs::event::Event;
use percept_jobs::format::duration;
use std::time::Duration;

/// What is on the terminal at the moment.
#[derive(Default)]
pub(crate) struct Progress {
    quiet: bool,
    bar: Option<ProgressBar>,
    phase: &'static str,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, ..Self::default() }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: Event) {
        match event {
            Event::Warning { text } => self.line(&format!("warning: {text}")),
            _ if self.quiet => {}
            Event::PhaseStarted { phase, total, unit } => {
                self.phase = phase;
                self.bar = Some(bar(phase, total, unit));
            }
            Event::Progress { done } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(done);
                }
            }
            Event::PhaseFinished { seconds, summary } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                let colon = if summary.is_empty() { "" } else { ": " };
                self.line(&format!("{}{colon}{summary} ({})", self.phase, duration(seconds)));
            }
            Event::Note { text } => self.line(&text),
        }
    }

    /// Prints a line without disturbing the bar.
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}

fn bar(phase: &'static str, total: Option<u64>, unit: &'static str) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} [{bar:30}] {human_pos} of {human_len} {prefix}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} … {elapsed}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("━╸ "));
    bar.set_prefix(unit);
    bar.set_message(phase);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
