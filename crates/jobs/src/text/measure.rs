//! How well a text that was not learned from is expected: by a model, and by who only counts characters.

use super::lesson::with_loss;
use crate::Result;
use percept_engine::{Input, Network, Settings};
use percept_graph::{Dim, Graph, Params};
use percept_learn::loss::Reduction;
use serde::Serialize;
use std::collections::HashMap;

/// Places of the held-out text that are read beside each other. Each begins without a state, which costs a little of the measured quality.
const PLACES: usize = 16;

/// A text that is not learned from, and the network that is to expect it.
pub(super) struct Held<'a> {
    graph: Graph,
    codes: &'a [i64],
    unroll: usize,
    settings: &'a Settings,
}

impl<'a> Held<'a> {
    /// The network without a loss; steps of so many characters.
    pub(super) fn new(network: &Graph, codes: &'a [i64], unroll: usize, settings: &'a Settings) -> Result<Self> {
        Ok(Self { graph: with_loss(network, Reduction::Sum)?, codes, unroll, settings })
    }

    /// The mean negative log-probability of all characters but the first.
    pub(super) fn measure(&self, params: &Params) -> Result<f64> {
        let Self { graph, codes, unroll, settings } = self;
        let mut network = Network::new(graph, params, (*settings).clone())?;
        let followed = codes.len() - 1;
        let places = PLACES.min(followed.div_ceil(*unroll));
        let distance = followed.div_ceil(places);
        let hidden = graph.inputs()[1..].iter().map(|&id| graph.value(id).ty.shape.last().and_then(Dim::as_const));
        let state = hidden.map(|size| [1, places, size.unwrap_or(0) as usize]).collect::<Vec<_>>();
        let mut states: Vec<Vec<f32>> =
            state[..state.len() - 1].iter().map(|s| vec![0.0; s.iter().product()]).collect();
        let (shape, mut sum) = ([*unroll, places], 0.0);
        for piece in (0..distance).step_by(*unroll) {
            let at = |t: usize, place: usize| {
                let i = place * distance + piece + t;
                (piece + t < distance && i < followed).then_some(i)
            };
            let all: Vec<_> = (0..*unroll).flat_map(|t| (0..places).map(move |place| at(t, place))).collect();
            let characters: Vec<i64> = all.iter().map(|i| i.map_or(0, |i| codes[i])).collect();
            let labels: Vec<i64> = all.iter().map(|i| i.map_or(-100, |i| codes[i + 1])).collect();
            let mut inputs: Vec<(&[usize], Input<'_>)> = vec![(&shape, Input::I64(&characters))];
            inputs.extend(states.iter().zip(&state).map(|(values, shape)| (&shape[..], Input::F32(values))));
            inputs.push((&shape, Input::I64(&labels)));
            let plan = network.run(&inputs)?;
            sum += f64::from(plan.output(0).1[0]);
            states.iter_mut().enumerate().for_each(|(i, values)| values.copy_from_slice(plan.output(1 + i).1));
        }
        Ok(sum / followed as f64)
    }
}

/// What guesses would come to that take no network, in nats for a character.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Guesses {
    /// All characters alike: the logarithm of their number.
    pub uniform: f64,
    /// Each as often as in the text learned from (with one more of each, so that none is impossible).
    pub unigram: f64,
    /// Each as often as it follows the one before. A pair's count is drawn towards the character's own share, as if one more had been seen
    /// (MacKay and Peto, "A hierarchical Dirichlet language model", Natural Language Engineering 1(3), 1995).
    pub bigram: f64,
}

impl Guesses {
    /// For all of `held` but its first character, from counts in `learned`; both are numbers below `characters`.
    pub(super) fn new(learned: &[i64], held: &[i64], characters: usize) -> Self {
        let mut counts = vec![1.0; characters];
        learned.iter().for_each(|&code| counts[code as usize] += 1.0);
        let total = (learned.len() + characters) as f64;
        let (mut pairs, mut before) = (HashMap::new(), vec![0.0; characters]);
        for pair in learned.windows(2) {
            *pairs.entry((pair[0], pair[1])).or_insert(0.0) += 1.0;
            before[pair[0] as usize] += 1.0;
        }
        let share = |code: i64| counts[code as usize] / total;
        let following =
            |a: i64, b: i64| (pairs.get(&(a, b)).copied().unwrap_or(0.0) + share(b)) / (before[a as usize] + 1.0);
        let mean = |nats: f64| nats / (held.len() - 1) as f64;
        Self {
            uniform: (characters as f64).ln(),
            unigram: mean(held[1..].iter().map(|&code| -share(code).ln()).sum()),
            bigram: mean(held.windows(2).map(|pair| -following(pair[0], pair[1]).ln()).sum()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_know_as_much_as_they_count() {
        // b always follows a; a and c follow b.
        let learned: Vec<i64> = [0, 1, 0, 1, 2, 1].repeat(100);
        let held = [0, 1, 0, 1];
        let Guesses { uniform, unigram, bigram } = Guesses::new(&learned, &held, 3);
        assert!((uniform - 3f64.ln()).abs() < 1e-12);
        let share = |count: f64| (count + 1.0) / 603.0;
        assert!((unigram + (2.0 * share(300.0).ln() + share(200.0).ln()) / 3.0).abs() < 1e-12);
        // a is followed by b 200 times of 200; b by a 100 + 99 times of 299.
        let to_b = (200.0 + share(300.0)) / 201.0;
        let to_a = (199.0 + share(200.0)) / 300.0;
        assert!((bigram + (2.0 * f64::ln(to_b) + f64::ln(to_a)) / 3.0).abs() < 1e-12, "{bigram}");
    }
}
