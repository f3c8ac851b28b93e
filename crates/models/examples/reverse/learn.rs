//! An encoder–decoder that learns to write strings of digits backwards.

use percept_engine::{Input, Network, Settings};
use percept_graph::{Builder, DType, Params};
use percept_learn::loss::{CrossEntropy, cross_entropy};
use percept_learn::optim::{Group, Optimizer, Schedule, State, clip_by_norm, is_weight};
use percept_learn::random::mixed;
use percept_learn::trainer::{BatchNorm, Step, Weights};
use percept_models::initialize;
use percept_models::text::{EncoderDecoder, greedy};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Tokens 1 to 10 are digits; 0 is padding of a source, and begins and ends a target.
pub(crate) const SIZES: EncoderDecoder =
    EncoderDecoder { source_tokens: 11, target_tokens: 11, embedding: 16, hidden: 64 };
/// Labels behind the end of a target, which do not count.
const NONE: i64 = -100;
const BATCH: usize = 64;
const RATE: f64 = 0.01;

/// `count` strings of digits of lengths that `length` makes of random numbers.
pub(crate) fn strings(seed: u64, count: usize, length: impl Fn(u64) -> usize) -> Vec<Vec<i64>> {
    let string = |i: u64| {
        let place = mixed(seed, i);
        (0..length(place)).map(|k| (mixed(place, k as u64 + 1) % 10) as i64 + 1).collect()
    };
    (0..count as u64).map(string).collect()
}

/// Strings as columns, filled up with zeros, their lengths, and the longest of these.
fn columns(strings: &[Vec<i64>]) -> (Vec<i64>, Vec<i32>, usize) {
    let longest = strings.iter().map(Vec::len).max().unwrap_or(0);
    let token = |step: usize| strings.iter().map(move |string| string.get(step).copied().unwrap_or(0));
    ((0..longest).flat_map(token).collect(), strings.iter().map(|string| string.len() as i32).collect(), longest)
}

fn reversed(string: &[i64]) -> Vec<i64> {
    string.iter().rev().copied().collect()
}

/// Learns from so many batches of strings of such lengths.
pub(crate) fn learn(
    steps: u64,
    seed: u64,
    length: impl Fn(u64) -> usize + Copy,
    settings: &Settings,
) -> Result<Params> {
    let graph = SIZES.build()?;
    let params = initialize(&graph, seed)?;
    let rows = graph.value(graph.find("logits")?).ty.shape[0].clone();
    let net = Builder::from_graph(graph);
    let labels = net.input("labels", DType::I64, [rows]);
    let graph = net.finish(&[("loss", cross_entropy(net.find("logits"), labels, CrossEntropy::default()))])?;
    let mut weights = Weights::new(&[&graph], &params, BatchNorm::Frozen, |_| true)?;
    let mut step = Step::new(&graph, &weights, |_| true, settings.clone())?;
    let groups = Group::of_slices(weights.slices(), 1.0, 0.0, is_weight);
    let mut state = State::new(&Optimizer::ADAMW, weights.parameters.len());
    for taken in 0..steps {
        let strings = strings(mixed(seed, taken), BATCH, length);
        let (source, lengths, longest) = columns(&strings);
        let targets: Vec<_> = strings.iter().map(|string| [vec![0], reversed(string)].concat()).collect();
        let (target, _, written) = columns(&targets);
        let labels = |target: &Vec<i64>| {
            let fill = std::iter::repeat_n(NONE, written - target.len());
            target[1..].iter().copied().chain([0]).chain(fill).collect::<Vec<_>>()
        };
        let labels: Vec<i64> = targets.iter().flat_map(labels).collect();
        step.run(
            &mut weights,
            &[
                (&[longest, BATCH], Input::I64(&source)),
                (&[BATCH], Input::I32(&lengths)),
                (&[written, BATCH], Input::I64(&target)),
                (&[labels.len()], Input::I64(&labels)),
            ],
        )?;
        clip_by_norm(&mut weights.gradients, 1.0);
        let rate = (RATE * Schedule::OneCycle.factor(taken, steps)) as f32;
        step.update(&mut weights, &Optimizer::ADAMW, &mut state, &groups, rate)?;
    }
    Ok(weights.params()?)
}

/// What the network writes for each string.
pub(crate) fn write(params: &Params, strings: &[Vec<i64>], settings: &Settings) -> Result<Vec<Vec<i64>>> {
    let (source, lengths, longest) = columns(strings);
    let (batch, size) = (strings.len(), SIZES.hidden);
    let mut encoder = Network::new(&SIZES.encoder()?, params, settings.clone())?;
    let mut decoder = Network::new(&SIZES.decoder()?, params, settings.clone())?;
    let read = encoder.run(&[(&[longest, batch], Input::I64(&source)), (&[batch], Input::I32(&lengths))])?;
    let [memory, mask, mut hidden] = [0, 1, 2].map(|i| read.output(i).1.to_vec());
    greedy(batch, 0, 0, 2 * longest, |last| {
        let plan = decoder.run(&[
            (&[1, batch], Input::I64(last)),
            (&[batch, longest, size], Input::F32(&memory)),
            (&[batch, 1, longest], Input::F32(&mask)),
            (&[1, batch, size], Input::F32(&hidden)),
        ])?;
        hidden = plan.output(1).1.to_vec();
        Ok(plan.output(0).1.to_vec())
    })
}

/// The share of strings that come out backwards, whole and with nothing behind them.
pub(crate) fn right(params: &Params, strings: &[Vec<i64>], settings: &Settings) -> Result<f64> {
    let written = write(params, strings, settings)?;
    let right = written.iter().zip(strings).filter(|(written, string)| **written == reversed(string)).count();
    Ok(right as f64 / strings.len() as f64)
}
