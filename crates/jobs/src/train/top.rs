//! The top blocks of a network, trained on what the layers below make of the photos, which is computed once.
//!
//! The cut is below the last halving of the resolution: what is above holds most of the weights and about a third of the work, and what
//! is kept of a photo is small (40 kB for EfficientNet-Lite0). Epochs go round a few views, since each view costs a pass through the lower part.

use super::Run;
use super::network::Stages;
use crate::event::{Events, Phase};
use crate::features::{Extracted, Extractor};
use crate::finetune::{Feed, Kept, Lower, Recipe, Task};
use crate::frozen::Frozen;
use crate::{Error, Result, format};
use percept_graph::rewrite::{bottlenecks, cut};
use percept_graph::{Graph, Params, ValueId};

/// Photos on which the time of a step is measured.
const MEASURED: usize = 32;
/// What is kept on disk takes no more bytes than this.
const MOST_BYTES: f64 = 2e9;

/// A network cut in two.
pub(super) struct Top {
    below: Frozen,
    above: Graph,
    params: Params,
    /// Shape of what is between them, of one photo.
    shape: Vec<usize>,
}

impl Top {
    pub(super) fn new(stages: &Stages<'_>, run: &Run<'_>, up_to: &str) -> Result<Self> {
        let (graph, params) = (&stages.graph, &stages.params);
        let value = graph.find(up_to)?;
        if !bottlenecks(graph).contains(&value) {
            let name = &graph.name;
            return Err(Error::Setting(format!("{name} cannot be cut at {up_to}: not everything passes through it")));
        }
        let above = cut(graph, &[value], graph.outputs())?;
        let params = above.parameters().map(|value| (value.name.clone(), params[&value.name].clone())).collect();
        let shape =
            graph.value(value).ty.shape.iter().skip(1).map(|dim| dim.as_const().and_then(|n| usize::try_from(n).ok()));
        let unknown = || Error::Setting(format!("the shape of {up_to} is not known"));
        let shape = shape.collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
        let below = Frozen::below(run.origin.clone(), graph, &stages.params, value)?;
        Ok(Self { below, above, params, shape })
    }

    /// What the lower part makes of some photos, all of which can be decoded, and of views of them.
    pub(super) fn look(&self, run: &Run<'_>, photos: &[usize], views: u32, events: Events<'_>) -> Result<Extracted> {
        let rows = photos.len() as u64 * u64::from(1 + views);
        let mut phase = Phase::start(events, "Looking with the lower layers", Some(rows), "views");
        let augment = run.config.augment.clone();
        let mut extractor = Extractor::new(&self.below, &augment, run.config.seed, run.settings)?;
        let kept = extractor.extract(&run.data, photos, views, &mut phase)?;
        phase.finish(format!("{} of {} photos", format::count(rows), format::count(photos.len() as u64)));
        match kept.skipped.first() {
            Some(skipped) => Err(Error::Setting(format!("{}: {}", skipped.path.display(), skipped.reason))),
            None => Ok(kept),
        }
    }

    pub(super) fn task<'t>(
        &'t self,
        stages: &'t Stages<'_>,
        run: &'t Run<'_>,
        kept: &'t Extracted,
        views: u32,
    ) -> Task<'t> {
        Task {
            name: "Training the top blocks",
            curves: "top_blocks",
            graph: &self.above,
            params: &self.params,
            feed: Feed::Kept(Kept::new(&kept.file, &kept.photos, views, &self.shape)),
            ..stages.task(run)
        }
    }
}

/// The last value below the last halving of the resolution, or, if a block that halves it begins by widening, the one before that
/// block; nothing if there is no such place.
fn below_last_halving(graph: &Graph) -> Option<ValueId> {
    let shape = |id: ValueId| match &graph.value(id).ty.shape[..] {
        [_, channels, height, width] => Some((id, channels.as_const()?, (height.as_const()?, width.as_const()?))),
        _ => None,
    };
    let values: Vec<_> = bottlenecks(graph).into_iter().rev().filter_map(shape).collect();
    let top = values.iter().map(|&(.., sides)| sides).find(|sides| *sides != (1, 1))?;
    let &(last, width, sides) = values.iter().find(|(.., sides)| sides.0 > top.0)?;
    let narrower = values.iter().find(|value| value.2 == sides && value.1 < width);
    Some(narrower.map_or(last, |value| value.0))
}

/// What training the top blocks costs.
pub(super) struct Costs {
    /// The value below them.
    pub(super) up_to: String,
    /// Seconds in which the lower part looks at all photos.
    pub(super) plain: f64,
    /// Seconds in which it looks at one view of each.
    pub(super) view: f64,
    /// Seconds for which a step takes a photo.
    pub(super) photo: f64,
    /// How many views of each photo there is room for.
    pub(super) most: u32,
}

/// Measures it; nothing if the network has no such blocks.
pub(super) fn costs(run: &Run<'_>, stages: &Stages<'_>) -> Result<Option<Costs>> {
    let Some(value) = below_last_halving(&stages.graph) else { return Ok(None) };
    let up_to = stages.graph.value(value).name.clone();
    let top = Top::new(stages, run, &up_to)?;
    let apart = stages.photos.len().div_ceil(MEASURED).max(1);
    let sample: Vec<usize> = stages.photos.iter().copied().step_by(apart).collect();
    let augment = run.config.augment.clone();
    let mut extractor = Extractor::new(&top.below, &augment, run.config.seed, run.settings)?;
    let (plain, view) = extractor.measure(&run.data, &sample)?;
    let kept = top.look(run, &sample, 1, &mut |_| ())?;
    let recipe = Recipe { frozen: Some(Lower { up_to: up_to.clone(), views: 1 }), ..Recipe::default() };
    let task = Task { photos: &sample, ..top.task(stages, run, &kept, 1) };
    let photo = task.measure(&recipe)? / task.batch(&recipe) as f64;
    let photos = (stages.photos.len() + stages.held_out.len()) as f64;
    let bytes = 2.0 * photos * top.below.width as f64;
    let most = ((MOST_BYTES / bytes) as u32).saturating_sub(1);
    Ok(Some(Costs { up_to, plain: photos * plain, view: photos * view, photo, most }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_models::Network;

    #[test]
    fn networks_are_cut_where_the_resolution_halves_last() {
        let build = |name| Network::find(name).unwrap().build(224, 5).unwrap();
        let graphs = [
            (build("resnet18"), [256, 14, 14]),
            (build("mobilenetv2"), [96, 14, 14]),
            (build("efficientnet-lite0"), [112, 14, 14]),
        ];
        for (graph, expected) in graphs {
            let value = graph.value(below_last_halving(&graph).unwrap());
            let shape: Vec<_> = value.ty.shape[1..].iter().map(|dim| dim.as_const().unwrap()).collect();
            assert_eq!(shape, expected, "{} at {}", graph.name, value.name);
        }
    }
}
