//! How many steps or epochs the time limit allows.

use crate::format;
use std::time::Duration;

/// Share of the time left that steps may take; the rest is for measuring and for steps that take longer.
const SHARE: f64 = 0.92;
/// More times through a text are hardly worth their time: it is known by heart.
const MOST_EPOCHS: u64 = 30;

/// The steps for which the time left suffices, and that in a sentence. `epoch` is the steps of once through the text.
pub(super) fn steps(seconds: f64, epoch: u64, left: Option<Duration>) -> (u64, String) {
    let most = MOST_EPOCHS.saturating_mul(epoch);
    let fitting = left.map_or(f64::INFINITY, |left| SHARE * left.as_secs_f64() / seconds.max(1e-9));
    let steps = (fitting.min(most as f64) as u64).max(1);
    let text = format!(
        "{} steps of about {}, which read the text {:.1} times",
        format::count(steps),
        format::duration(seconds),
        steps as f64 / epoch as f64
    );
    (steps, text)
}

/// The epochs of each of so many trainings for which the time left suffices, `most` at most, and that in a sentence.
pub(super) fn epochs(seconds: f64, trainings: f64, most: u64, left: Option<Duration>) -> (u64, String) {
    let fitting = left.map_or(f64::INFINITY, |left| SHARE * left.as_secs_f64() / (trainings * seconds).max(1e-9));
    let epochs = (fitting.min(most as f64) as u64).max(1);
    let epoch = format::duration(seconds);
    let often = if trainings > 1.0 { format!("{trainings} trainings of ") } else { String::new() };
    (epochs, format!("{often}{epochs} epochs of about {epoch}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_buys_steps_until_the_text_is_known_by_heart() {
        assert_eq!(steps(0.1, 500, Some(Duration::from_secs(100))).0, 920);
        assert_eq!(steps(0.1, 500, Some(Duration::from_secs(10_000))).0, 15_000);
        assert_eq!(steps(0.1, 500, None).0, 15_000);
        assert_eq!(epochs(2.0, 11.0, 8, Some(Duration::from_secs(100))).0, 4);
        assert_eq!(epochs(2.0, 11.0, 8, None).0, 8);
        let (one, text) = steps(200.0, 500, Some(Duration::ZERO));
        assert_eq!((one, text.as_str()), (1, "1 steps of about 3 min 20 s, which read the text 0.0 times"));
    }
}
