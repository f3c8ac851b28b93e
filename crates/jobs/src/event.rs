//! Progress as a stream of typed events.
//!
//! A job knows nothing of terminals: it calls the closure it was given. The command line draws bars from the events, a server can
//! stream them, a test can collect them. Phases follow one another and never nest, so [`Event::Progress`] needs no name of its own.

use serde::Serialize;
use std::time::Instant;

/// What happened in a running job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A phase of the job begins.
    PhaseStarted {
        /// Its name for people, such as `Reading photos`.
        phase: &'static str,
        /// How many units of work it has, if known.
        total: Option<u64>,
        /// What is counted, in the plural, such as `photos`.
        unit: &'static str,
    },
    /// So many units of the current phase are done.
    Progress {
        /// Counted from the start of the phase.
        done: u64,
    },
    /// The current phase is over.
    PhaseFinished {
        /// Wall-clock time since its start.
        seconds: f64,
        /// What came of it, in one short sentence; may be empty.
        summary: String,
    },
    /// A point of a curve.
    Metric {
        /// The curve's name, such as `network/loss`.
        name: String,
        /// Optimiser steps so far.
        step: u64,
        /// The value.
        value: f64,
    },
    /// Something worth knowing.
    Note {
        /// One sentence.
        text: String,
    },
    /// Something that probably needs the user's attention.
    Warning {
        /// One sentence.
        text: String,
    },
}

/// Where a job sends its events.
pub type Events<'a> = &'a mut dyn FnMut(Event);

/// How long one phase took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// Name of the phase.
    pub phase: &'static str,
    /// Wall-clock time.
    pub seconds: f64,
}

/// A phase under way: announces itself, counts, and reports how long it took.
///
/// ```
/// use percept_jobs::event::{Event, Phase};
/// let mut seen = Vec::new();
/// let mut events = |event| seen.push(event);
/// let mut phase = Phase::start(&mut events, "Reading photos", Some(2), "photos");
/// phase.progress(2);
/// let timing = phase.finish("2 photos");
/// assert_eq!(timing.phase, "Reading photos");
/// assert_eq!(seen[1], Event::Progress { done: 2 });
/// ```
pub struct Phase<'a> {
    events: Events<'a>,
    name: &'static str,
    started: Instant,
}

impl<'a> Phase<'a> {
    /// Announces a phase of `total` units of work and starts its clock.
    pub fn start(events: Events<'a>, name: &'static str, total: Option<u64>, unit: &'static str) -> Self {
        events(Event::PhaseStarted { phase: name, total, unit });
        Phase { events, name, started: Instant::now() }
    }

    /// Says that `done` units, counted from the start of the phase, are done.
    pub fn progress(&mut self, done: u64) {
        (self.events)(Event::Progress { done });
    }

    /// Adds a point to a curve.
    pub fn metric(&mut self, name: impl Into<String>, step: u64, value: f64) {
        (self.events)(Event::Metric { name: name.into(), step, value });
    }

    /// Says something worth knowing.
    pub fn note(&mut self, text: impl Into<String>) {
        (self.events)(Event::Note { text: text.into() });
    }

    /// Says something that probably needs the user's attention.
    pub fn warning(&mut self, text: impl Into<String>) {
        (self.events)(Event::Warning { text: text.into() });
    }

    /// Ends the phase with what came of it and returns how long it took.
    pub fn finish(self, summary: impl Into<String>) -> Timing {
        let seconds = self.started.elapsed().as_secs_f64();
        (self.events)(Event::PhaseFinished { seconds, summary: summary.into() });
        Timing { phase: self.name, seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_serialise_as_tagged_objects() {
        let event = Event::PhaseStarted { phase: "Scan", total: None, unit: "files" };
        let json = serde_json::to_string(&event).expect("plain data");
        assert_eq!(json, r#"{"event":"phase_started","phase":"Scan","total":null,"unit":"files"}"#);
    }

    #[test]
    fn a_phase_lends_its_events_back() {
        let mut count = 0;
        let mut sink = |_| count += 1;
        let events: Events = &mut sink;
        let mut first = Phase::start(&mut *events, "One", None, "things");
        first.warning("careful");
        first.finish("");
        Phase::start(events, "Two", Some(1), "things").finish("done");
        assert_eq!(count, 5);
    }
}
