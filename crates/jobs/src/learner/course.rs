//! A training from its first step to its last, with its curves, and checkpoints to go on from.
//!
//! How far it is lies in a checkpoint, which is written so often that writing takes about a fiftieth of the time, and at each point of the
//! curves. Whoever goes on from there takes the same steps: when it is written decides nothing.

use super::Learner;
use crate::budget::Saved;
use crate::event::{Events, Phase, Timing};
use crate::{Error, Result, format};
use percept_learn::checkpoint;
use percept_learn::optim::{Optimizer, Schedule, State};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A point of the learning curves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps so far.
    pub step: u64,
    /// Mean loss of the steps since the point before.
    pub loss: f64,
    /// Mean negative log-likelihood of what was held out.
    pub held_out: Option<f64>,
    /// The share of it that is named right.
    pub accuracy: Option<f64>,
}

/// What a network is worth on what was held out.
#[derive(Clone, Copy, Default)]
pub(crate) struct Checked {
    pub(crate) nll: Option<f64>,
    pub(crate) accuracy: Option<f64>,
}

/// What is learned from.
pub(crate) trait Lesson {
    /// Takes the next step; gives back its loss.
    fn step(&mut self, learner: &mut Learner, rate: f64) -> Result<f32>;

    /// How good the network is by now.
    fn check(&mut self, learner: &Learner) -> Result<Checked>;

    /// What goes from step to step beside the weights.
    fn carried(&mut self) -> &mut [Vec<f32>] {
        &mut []
    }
}

/// How a network learns: AdamW at a rate that rises and falls once.
pub(crate) struct Course<'a> {
    /// What it is called while it runs.
    pub(crate) name: &'static str,
    /// What the names of its curves begin with.
    pub(crate) curves: &'a str,
    pub(crate) steps: u64,
    /// The highest learning rate.
    pub(crate) learning_rate: f64,
    /// Points of the curves, evenly spaced.
    pub(crate) points: u64,
    /// Where it is written down how far it is.
    pub(crate) checkpoint: &'a Path,
    /// All settings of the run: a checkpoint of others is refused.
    pub(crate) settings: &'a str,
}

/// What a checkpoint holds beside lists of numbers.
#[derive(Default, Serialize, Deserialize)]
struct About {
    settings: String,
    step: u64,
    points: Vec<Point>,
    /// Losses since the last point.
    sum: f64,
    count: u64,
}

impl Course<'_> {
    /// Takes all steps, from where the checkpoint ends if there is one; gives back the curves, and how long it took.
    pub(crate) fn run(
        &self,
        learner: &mut Learner,
        lesson: &mut dyn Lesson,
        events: Events<'_>,
    ) -> Result<(Vec<Point>, Timing)> {
        let mut about = self.open(learner, lesson)?;
        let mut phase = Phase::start(events, self.name, Some(self.steps), "steps");
        phase.progress(learner.taken());
        let mut saved = Saved::now();
        while learner.taken() < self.steps {
            let rate = self.learning_rate * Schedule::OneCycle.factor(learner.taken(), self.steps);
            let loss = f64::from(lesson.step(learner, rate)?);
            let step = learner.taken();
            if !loss.is_finite() {
                let text = format!("the loss of step {step} is no number: take a lower learning_rate");
                return Err(Error::Setting(text));
            }
            (about.sum, about.count) = (about.sum + loss, about.count + 1);
            phase.metric(format!("{}/loss", self.curves), step, loss);
            phase.metric(format!("{}/learning_rate", self.curves), step, rate);
            if is_point(step, self.steps, self.points) {
                let point = about.point(step, lesson.check(learner)?);
                for (name, value) in [("validation_loss", point.held_out), ("validation_accuracy", point.accuracy)] {
                    if let Some(value) = value {
                        phase.metric(format!("{}/{name}", self.curves), step, value);
                    }
                }
                about.points.push(point);
                self.save(&mut about, learner, lesson)?;
            } else {
                saved.tick(|| self.save(&mut about, learner, lesson))?;
            }
            phase.progress(step);
        }
        let loss = about.points.last().map_or(f64::NAN, |point| point.loss);
        let timing = phase.finish(format!("loss {loss:.3} after {} steps", format::count(self.steps)));
        Ok((about.points, timing))
    }

    fn open(&self, learner: &mut Learner, lesson: &mut dyn Lesson) -> Result<About> {
        let Some((about, mut lists)) = checkpoint::load::<About>(self.checkpoint)? else {
            return Ok(About { settings: self.settings.into(), ..About::default() });
        };
        let other = || {
            let file = self.checkpoint.display();
            Error::Setting(format!("{file} belongs to other settings: remove it to begin this training anew"))
        };
        if about.settings != self.settings {
            return Err(other());
        }
        let mut take = |name: &str, len: Option<usize>| {
            lists.remove(name).filter(|list| len.is_none_or(|len| list.len() == len)).ok_or_else(other)
        };
        let lens = [learner.weights.parameters.len(), learner.weights.running.len()];
        learner.weights.parameters = take("parameters", Some(lens[0]))?;
        learner.weights.running = take("running", Some(lens[1]))?;
        for (i, list) in lesson.carried().iter_mut().enumerate() {
            *list = take(&carried(i), None)?;
        }
        learner.state = State::from_lists(&Optimizer::ADAMW, lens[0], about.step, &mut lists).ok_or_else(other)?;
        Ok(about)
    }

    fn save(&self, about: &mut About, learner: &Learner, lesson: &mut dyn Lesson) -> Result<()> {
        about.step = learner.taken();
        let carried: Vec<_> = (0..).map(carried).zip(lesson.carried()).collect();
        let mut lists: Vec<(&str, &[f32])> = learner.state.lists();
        lists.extend([("parameters", &learner.weights.parameters[..]), ("running", &learner.weights.running)]);
        lists.extend(carried.iter().map(|(name, list)| (&**name, &list[..])));
        Ok(checkpoint::save(self.checkpoint, about, &lists)?)
    }
}

impl About {
    fn point(&mut self, step: u64, checked: Checked) -> Point {
        let loss = std::mem::take(&mut self.sum) / std::mem::take(&mut self.count).max(1) as f64;
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Point { step, loss, held_out: finite(checked.nll), accuracy: finite(checked.accuracy) }
    }
}

fn carried(i: usize) -> String {
    format!("carried.{i}")
}

/// Whether there is a point after this step: evenly spaced, the last after the last step.
fn is_point(step: u64, steps: u64, points: u64) -> bool {
    (1..=points).any(|i| (i * steps).div_ceil(points) == step)
}

#[cfg(test)]
mod tests {
    use super::is_point;

    #[test]
    fn curves_end_with_the_last_step() {
        let points = |steps, points| (1..=steps).filter(|&step| is_point(step, steps, points)).collect::<Vec<_>>();
        assert_eq!(points(10, 5), [2, 4, 6, 8, 10]);
        assert_eq!(points(7, 3), [3, 5, 7]);
        assert_eq!(points(2, 20), [1, 2]);
    }
}
