//! The learning rate that is found by trying all.

use super::{Learner, Lesson};
use crate::event::{Events, Phase};
use crate::folder::RunFolder;
use crate::{Error, Result};
use percept_learn::optim::find_rate;

/// What a run keeps of the search.
pub(crate) const RATES: &str = "rates.json";
/// The lowest and the highest rate that is tried, and steps from one to the other.
const TRIED: (f64, f64, usize) = (1e-6, 1.0, 120);

/// Finds a learning rate with a network that is then of no more use, unless it is decided. The search is kept in the run's folder, for the report.
pub(crate) fn decide_rate<L: Lesson>(
    rate: &mut Option<f64>,
    usual: f64,
    folder: &RunFolder,
    begin: impl FnOnce() -> Result<(L, Learner)>,
    events: Events<'_>,
) -> Result<()> {
    if rate.is_some() {
        return Ok(());
    }
    let (mut lesson, mut learner) = begin()?;
    let (lowest, highest, steps) = TRIED;
    let mut phase = Phase::start(events, "Finding the learning rate", Some(steps as u64), "steps");
    let curve = find_rate(lowest, highest, steps, |rate| {
        let loss = lesson.step(&mut learner, rate)?;
        phase.progress(learner.taken());
        Ok::<f64, Error>(loss.into())
    })?;
    folder.write_json(RATES, &curve)?;
    let found = curve.suggestion.unwrap_or(usual);
    phase.finish(match curve.suggestion {
        Some(_) => format!("{found:.1e}"),
        None => format!("no learning rate lowers the loss; {found:.1e}, as usual"),
    });
    *rate = Some(found);
    Ok(())
}
