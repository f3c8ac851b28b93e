//! How far a training is: everything that its next step depends on, and the checkpoint that holds it.

use super::{Epoch, Recipe};
use crate::{Error, Result, format};
use percept_graph::Params;
use percept_learn::stopping::EarlyStopping;
use percept_learn::trainer::Weights;
use percept_learn::{checkpoint, optim};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is not an arena.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    recipe: Recipe,
    step: u64,
    /// Sum of the losses of the epoch under way.
    pub(super) losses: f64,
    /// The epochs that are over.
    pub(super) curve: Vec<Epoch>,
}

impl About {
    /// The last epoch in a sentence.
    pub(super) fn line(&self, recipe: &Recipe) -> String {
        let Some(last) = self.curve.last() else { return String::new() };
        let checked = last.accuracy.map(|a| format!(", {} of the photos held out", format::percent(a)));
        let checked = checked.or_else(|| last.nll.map(|nll| format!(", {nll:.3} on the photos held out")));
        format!("Epoch {} of {}: loss {:.3}{}", self.curve.len(), recipe.epochs, last.loss, checked.unwrap_or_default())
    }
}

/// Parameters, then running statistics.
type Arenas = [Vec<f32>; 2];

pub(super) struct State {
    pub(super) about: About,
    pub(super) optim: optim::State,
    /// Which epoch had the lowest negative log-likelihood on the photos held out.
    stopping: EarlyStopping,
    /// The running mean of the weights, if the recipe has one.
    average: Option<Arenas>,
    /// The weights after the best epoch, if the recipe goes back to them.
    best: Option<Arenas>,
}

const AVERAGE: [&str; 2] = ["average.parameters", "average.running"];
const BEST: [&str; 2] = ["best.parameters", "best.running"];

impl State {
    /// The state in the checkpoint, which goes into `weights`; the first state if there is none.
    pub(super) fn open(path: Option<&Path>, recipe: &Recipe, weights: &mut Weights) -> Result<Self> {
        let fresh = Self {
            about: About { recipe: recipe.clone(), step: 0, losses: 0.0, curve: Vec::new() },
            optim: optim::State::new(&recipe.optimizer, weights.parameters.len()),
            stopping: EarlyStopping::new(recipe.patience, 0.0),
            average: (recipe.averaging > 0.0).then(|| [weights.parameters.clone(), weights.running.clone()]),
            best: None,
        };
        let Some(path) = path else { return Ok(fresh) };
        let Some((about, mut lists)) = checkpoint::load::<About>(path)? else { return Ok(fresh) };
        let other = || {
            let file = path.display();
            Error::Setting(format!("{file} belongs to other settings: remove it to begin this stage anew"))
        };
        let mut take = |name: &str, len: usize| lists.remove(name).filter(|list| list.len() == len).ok_or_else(other);
        let lens = [weights.parameters.len(), weights.running.len()];
        let mut arenas =
            |names: [&str; 2]| -> Result<Arenas> { Ok([take(names[0], lens[0])?, take(names[1], lens[1])?]) };
        if about.recipe != *recipe {
            return Err(other());
        }
        let mut stopping = fresh.stopping;
        about.curve.iter().filter_map(|epoch| epoch.nll).for_each(|nll| {
            stopping.observe(nll);
        });
        let average = fresh.average.is_some().then(|| arenas(AVERAGE)).transpose()?;
        let best = (recipe.patience > 0 && stopping.best().is_some()).then(|| arenas(BEST)).transpose()?;
        [weights.parameters, weights.running] = arenas(["parameters", "running"])?;
        let optim = optim::State::from_lists(&recipe.optimizer, lens[0], about.step, &mut lists).ok_or_else(other)?;
        Ok(Self { optim, stopping, about, average, best })
    }

    pub(super) fn save(&mut self, path: Option<&Path>, weights: &Weights) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        self.about.step = self.optim.step;
        let mut lists = self.optim.lists();
        lists.extend([("parameters", &weights.parameters[..]), ("running", &weights.running)]);
        for (names, arenas) in [(AVERAGE, &self.average), (BEST, &self.best)] {
            lists.extend(arenas.iter().flat_map(|arenas| names.into_iter().zip(arenas.iter().map(|list| &list[..]))));
        }
        Ok(checkpoint::save(path, &self.about, &lists)?)
    }

    /// Whether all epochs are over, or the last ones did not help.
    pub(super) fn is_over(&self, recipe: &Recipe) -> bool {
        self.about.curve.len() >= recipe.epochs as usize || self.stopping.is_over()
    }

    /// Moves the mean of the weights.
    pub(super) fn average(&mut self, recipe: &Recipe, weights: &Weights) -> Result<()> {
        for (means, now) in self.average.iter_mut().flatten().zip([&weights.parameters, &weights.running]) {
            optim::average(means, now, recipe.averaging, self.optim.step)?;
        }
        Ok(())
    }

    /// Notes what an epoch came to, and its weights if they are the best.
    pub(super) fn finish_epoch(&mut self, epoch: Epoch, weights: &Weights) {
        let is_best = epoch.nll.is_some_and(|nll| self.stopping.observe(nll));
        self.about.curve.push(epoch);
        if self.about.recipe.patience > 0 && is_best {
            let now = || [weights.parameters.clone(), weights.running.clone()];
            self.best = Some(self.average.clone().unwrap_or_else(now));
        }
    }

    /// The parameters as they are now.
    pub(super) fn params(&self, weights: &Weights) -> Result<Params> {
        named(weights, self.average.as_ref())
    }

    /// The parameters that the training ends with.
    pub(super) fn best(&self, weights: &Weights) -> Result<Params> {
        named(weights, self.best.as_ref().or(self.average.as_ref()))
    }
}

fn named(weights: &Weights, arenas: Option<&Arenas>) -> Result<Params> {
    Ok(match arenas {
        Some([parameters, running]) => weights.params_from(parameters, running)?,
        None => weights.params()?,
    })
}
