//! What the time limit allows: how many views, and how many epochs of the whole network.

use crate::event::{Event, Events};
use crate::features::Extractor;
use crate::finetune::Recipe;
use crate::{Result, format};
use percept_photos::scan::DataSet;
use std::time::{Duration, Instant};

/// More views than these are hardly worth their time.
pub(super) const MOST: u32 = 20;
/// Share of the time limit that views may take; the rest is for fitting and measuring.
const SHARE: f64 = 0.6;

/// Fewer epochs of a whole pretrained network are no better than a classifier on top of it: on shop photos of 81 products, three gave 76 %
/// and eight 84 %, where the classifier on top gives about 75 %.
pub(super) const LEAST_EPOCHS: u32 = 4;
/// Share of the time left that training a whole network may take.
const NETWORK_SHARE: f64 = 0.85;

/// The training of a whole network for which `left` suffices, at so many seconds an epoch, and that in a sentence.
///
/// Without a limit it may take twice as many epochs, and stops when four of them brought nothing.
pub(super) fn epochs(recipe: Recipe, epoch: f64, left: Option<Duration>, least: u32) -> (Vec<Recipe>, String) {
    let took = format::duration(epoch);
    let Some(left) = left else {
        let recipe = Recipe { epochs: 2 * recipe.epochs, patience: 4, ..recipe };
        let text = format!(
            "Training the whole network until it stops improving, at most {} epochs of about {took}",
            recipe.epochs
        );
        return (vec![recipe], text);
    };
    let fitting = (NETWORK_SHARE * left.as_secs_f64() / epoch.max(1e-9)).floor();
    let epochs = fitting.min(f64::from(recipe.epochs)) as u32;
    match epochs >= least {
        true => (
            vec![Recipe { epochs, ..recipe }],
            format!("{epochs} epochs of the whole network fit into the limit, of about {took} each"),
        ),
        false => (
            Vec::new(),
            format!(
                "Training the whole network is left out: an epoch takes about {took}, and fewer than {least} do not help"
            ),
        ),
    }
}

/// Decides how many views of each photo there is time for, and says so.
pub(super) fn views(
    extractor: &mut Extractor<'_>,
    data: &DataSet,
    photos: &[usize],
    limit: Duration,
    events: Events<'_>,
) -> Result<u32> {
    let start = Instant::now();
    let (plain, view) = extractor.measure(data, photos)?;
    let budget = SHARE * limit.as_secs_f64() - start.elapsed().as_secs_f64();
    let (views, seconds) = affordable(photos.len() as f64, plain, view, budget);
    let count = format::count(photos.len() as u64);
    let (limit, took) = (format::duration(limit.as_secs_f64()), format::duration(seconds));
    if seconds > budget {
        let text = format!("{count} photos alone take about {took}: the time limit of {limit} will not be kept");
        events(Event::Warning { text });
    }
    let text = format!(
        "{views} augmented views of each photo fit into the limit of {limit}; looking at them takes about {took}"
    );
    events(Event::Note { text });
    Ok(views)
}

/// The number of views, and the seconds that they take with the plain photos.
fn affordable(photos: f64, plain: f64, view: f64, budget: f64) -> (u32, f64) {
    let views = ((budget / photos - plain) / view).floor().clamp(0.0, f64::from(MOST));
    (views as u32, photos * (plain + views * view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_buys_views_up_to_the_most_that_are_worth_it() {
        assert_eq!(affordable(100.0, 0.02, 0.01, 7.1).0, 5);
        assert_eq!(affordable(100.0, 0.02, 0.01, 1e6), (MOST, 22.0));
        assert_eq!(affordable(100.0, 0.02, 0.01, 1.0), (0, 2.0));
    }
}
