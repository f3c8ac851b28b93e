//! Draws a job's events on the terminal: a bar with the time left, and a line for what is done.

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use percept_jobs::event::Event;
use percept_jobs::format::{count, duration};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The bar on the terminal, shared with who must end it.
#[derive(Clone, Default)]
pub(crate) struct Screen(Arc<Mutex<Option<ProgressBar>>>);

impl Screen {
    /// Prints the last line in place of the bar: whoever prints progress from now on waits for ever.
    #[cfg_attr(not(unix), expect(dead_code))]
    pub(crate) fn end(&self, text: Option<&str>) {
        let mut bar = self.bar();
        if let Some(bar) = bar.take() {
            bar.finish_and_clear();
        }
        if let Some(text) = text {
            say!("{text}");
        }
        std::mem::forget(bar);
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line without disturbing the bar.
    fn line(&self, text: &str) {
        match &*self.bar() {
            Some(bar) => bar.suspend(|| say!("{text}")),
            None => say!("{text}"),
        }
    }
}

/// What a job is doing.
#[derive(Default)]
pub(crate) struct Progress {
    quiet: bool,
    screen: Screen,
    phase: &'static str,
    unit: &'static str,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, ..Self::default() }
    }

    /// What it draws on.
    pub(crate) fn screen(&self) -> Screen {
        self.screen.clone()
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: Event) {
        match event {
            Event::Warning { text } => self.screen.line(&format!("warning: {text}")),
            _ if self.quiet => {}
            Event::PhaseStarted { phase, total, unit } => {
                (self.phase, self.unit) = (phase, unit);
                *self.screen.bar() = Some(bar(phase, total, unit));
            }
            Event::Progress { done } => {
                if let Some(bar) = &*self.screen.bar() {
                    bar.set_position(done);
                }
            }
            Event::PhaseFinished { seconds, summary } => {
                if let Some(bar) = self.screen.bar().take() {
                    bar.finish_and_clear();
                }
                let colon = if summary.is_empty() { "" } else { ": " };
                self.screen.line(&format!("{}{colon}{summary} ({})", self.phase, duration(seconds)));
            }
            Event::Metric { name, value, .. } => {
                if let Some(bar) = self.screen.bar().as_ref().filter(|_| name.ends_with("/loss")) {
                    bar.set_prefix(format!("{}, loss {value:.3}", self.unit));
                }
            }
            Event::Note { text } => self.screen.line(&text),
        }
    }
}

fn bar(phase: &'static str, total: Option<u64>, unit: &'static str) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} [{bar:30}] {human_pos} of {human_len} {prefix}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} … {counted}{elapsed}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let counted = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        if state.pos() > 0 {
            let _ = write!(out, "{} {unit}, ", count(state.pos()));
        }
    };
    let style = style.with_key("counted", counted);
    bar.set_style(style.progress_chars("━╸ "));
    bar.set_prefix(unit);
    bar.set_message(phase);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
