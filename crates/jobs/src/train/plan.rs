//! What the time limit allows: how many views, and how many epochs of the whole network.

use super::top::Costs;
use crate::event::{Event, Events};
use crate::features::Extractor;
use crate::finetune::{Lower, Recipe};
use crate::{Result, format};
use percept_photos::scan::DataSet;
use std::time::{Duration, Instant};

/// More views than these are hardly worth their time.
pub(super) const MOST: u32 = 20;
/// Share of the time limit that views may take; the rest is for fitting and measuring.
const SHARE: f64 = 0.6;

/// Fewer epochs of a whole pretrained network are no better than a classifier on top of it: on shop photos of 81 products, three named
/// 76 % of photos from other shops and eight 84 %, where the classifier on top names about 75 %.
const LEAST_EPOCHS: u32 = 4;
/// The top blocks learn so often from a view of a photo.
const EPOCHS_PER_VIEW: u32 = 2;
/// More views than these are hardly worth their time: four named 83.8 % of the photos from other shops, eight 87.8 %.
const MOST_VIEWS: u32 = 8;
/// With fewer views they learn the photos by heart.
const LEAST_VIEWS: u32 = 2;
/// Share of the time left that training a network may take.
const NETWORK_SHARE: f64 = 0.85;

/// What an epoch costs.
#[derive(Clone, Copy)]
pub(super) struct Epochs {
    /// Seconds, with a look at the photos held out.
    pub(super) seconds: f64,
    /// Seconds of one on all photos; absent if those held out stay unseen.
    pub(super) on_all: Option<f64>,
}

/// What training the top blocks costs.
pub(super) struct Top {
    pub(super) costs: Costs,
    pub(super) epoch: Epochs,
}

/// The trainings for which `left` suffices, whether the last that is kept can be repeated on all photos, and that in sentences.
///
/// The top blocks come first: on the same shop photos they reach what the whole network does, in half of its time. The whole network
/// follows where there is time for it too, since photos that are unlike those of the pretraining need it; it goes on from there at half
/// the rate. Without a limit it may take twice as many epochs, and stops when four of them brought nothing.
pub(super) fn stages(
    recipe: Recipe,
    scratch: bool,
    whole: Epochs,
    top: Option<Top>,
    left: Option<Duration>,
) -> (Vec<Recipe>, bool, Vec<String>) {
    let mut budget = left.map_or(f64::INFINITY, |left| NETWORK_SHARE * left.as_secs_f64());
    let (mut recipes, mut refit, mut texts) = (Vec::new(), false, Vec::new());
    if let Some(Top { costs, epoch }) = top {
        let per_view = costs.view + f64::from(EPOCHS_PER_VIEW) * epoch.seconds;
        let most = costs.most.min(MOST_VIEWS);
        let views = ((budget - costs.plain) / per_view).floor().clamp(0.0, f64::from(most)) as u32;
        if views >= LEAST_VIEWS {
            let epochs = views * EPOCHS_PER_VIEW;
            budget -= costs.plain + f64::from(views) * per_view;
            refit = epoch.on_all.is_some_and(|seconds| f64::from(epochs) * seconds <= budget);
            let took = format::duration(epoch.seconds);
            texts.push(format!("Top blocks: {epochs} epochs of about {took}, on {views} views of each photo"));
            recipes.push(Recipe { epochs, frozen: Some(Lower { up_to: costs.up_to, views }), ..recipe.clone() });
        } else {
            texts.push("Top blocks: left out, there is no time for two views of each photo".into());
        }
    }
    let took = format::duration(whole.seconds);
    let (most, patience) = if left.is_some() { (recipe.epochs, 0) } else { (2 * recipe.epochs, 4) };
    let fitting = |seconds: f64| (budget / seconds.max(1e-9)).floor().min(f64::from(most)) as u32;
    let with_refit = whole.on_all.map(|on_all| fitting(whole.seconds + on_all));
    // What comes first has priority over a whole network, whose repetition would have to take the place of its own.
    let epochs = if refit { with_refit.unwrap_or(0) } else { fitting(whole.seconds) };
    if scratch && epochs == 0 {
        texts.push(format!("An epoch takes about {took}: the time limit will not be kept"));
    }
    // Without it there would be no model.
    let epochs = if scratch { epochs.max(1) } else { epochs };
    if !scratch && epochs < LEAST_EPOCHS {
        texts.push(format!("Whole network: left out, there is no time for {LEAST_EPOCHS} epochs of about {took}"));
    } else {
        refit |= with_refit.is_some_and(|fitting| fitting >= epochs);
        let learning_rate = recipe.learning_rate * if recipes.is_empty() { 1.0 } else { 0.5 };
        let until = if left.is_some() { "" } else { "at most " };
        texts.push(format!("Whole network: {until}{epochs} epochs of about {took}"));
        recipes.push(Recipe { epochs, patience, learning_rate, ..recipe });
    }
    if refit {
        texts.push("Then once more on all photos, those held out among them".into());
    }
    (recipes, refit, texts)
}

/// Decides how many views of each photo there is time for within a limit, of which so much is left, and says so.
pub(super) fn views(
    extractor: &mut Extractor<'_>,
    data: &DataSet,
    photos: &[usize],
    [limit, left]: [Duration; 2],
    events: Events<'_>,
) -> Result<u32> {
    let start = Instant::now();
    let (plain, view) = extractor.measure(data, photos)?;
    let budget = SHARE * left.as_secs_f64() - start.elapsed().as_secs_f64();
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

    fn planned(left: Option<u64>) -> (Vec<(u32, Option<u32>)>, bool) {
        let costs = Costs { up_to: "x".into(), plain: 10.0, view: 10.0, photo: 0.005, most: 9 };
        let top = Top { costs, epoch: Epochs { seconds: 10.0, on_all: Some(12.0) } };
        let whole = Epochs { seconds: 50.0, on_all: Some(60.0) };
        let (recipes, refit, texts) = stages(Recipe::default(), false, whole, Some(top), left.map(Duration::from_secs));
        assert!(texts.len() >= recipes.len());
        (recipes.iter().map(|r| (r.epochs, r.frozen.as_ref().map(|lower| lower.views))).collect(), refit)
    }

    #[test]
    fn time_buys_the_top_blocks_then_a_repetition_then_the_whole_network() {
        assert_eq!(planned(Some(60)), (vec![], false));
        assert_eq!(planned(Some(100)), (vec![(4, Some(2))], false));
        assert_eq!(planned(Some(200)), (vec![(10, Some(5))], false));
        assert_eq!(planned(Some(550)), (vec![(16, Some(8))], true));
        assert_eq!(planned(Some(1000)), (vec![(16, Some(8)), (5, None)], true));
        assert_eq!(planned(Some(1800)), (vec![(16, Some(8)), (8, None)], true));
        assert_eq!(planned(None), (vec![(16, Some(8)), (16, None)], true));
    }

    #[test]
    fn a_network_from_zero_takes_what_time_there_is_and_an_epoch_at_least() {
        let epochs = |left: Option<u64>| {
            let recipe = Recipe { epochs: 40, ..Recipe::default() };
            let whole = Epochs { seconds: 10.0, on_all: Some(12.0) };
            let (recipes, refit, texts) = stages(recipe, true, whole, None, left.map(Duration::from_secs));
            assert_eq!(texts.len(), 1 + usize::from(refit) + usize::from(left == Some(5)), "{texts:?}");
            (recipes.iter().map(|recipe| recipe.epochs).collect::<Vec<_>>(), refit)
        };
        assert_eq!(epochs(Some(5)), (vec![1], false));
        assert_eq!(epochs(Some(300)), (vec![25], false));
        assert_eq!(epochs(Some(600)), (vec![40], false));
        assert_eq!(epochs(Some(1800)), (vec![40], true));
        assert_eq!(epochs(None), (vec![80], true));
    }

    #[test]
    fn time_buys_views_up_to_the_most_that_are_worth_it() {
        assert_eq!(affordable(100.0, 0.02, 0.01, 7.1).0, 5);
        assert_eq!(affordable(100.0, 0.02, 0.01, 1e6), (MOST, 22.0));
        assert_eq!(affordable(100.0, 0.02, 0.01, 1.0), (0, 2.0));
    }
}
