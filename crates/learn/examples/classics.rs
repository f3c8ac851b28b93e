//! Trains a classic network, as a contender of `bench/training/classics.py`: `classics NETWORK FOLDER OUTPUT`.
//!
//! NETWORK is `lenet`, `mlp`, `resnet20`, `lstm` or `dcgan`. FOLDER holds `weights.safetensors`, the first parameters under PyTorch's names,
//! and `batches.safetensors`, for each input of a loss the values of all steps in one tensor whose first axis is the step. OUTPUT
//! receives the losses of a step for each batch, as little-endian f32, those of several players after each other. Then, for each
//! line of standard input, a number of seconds, further steps are timed, with the same batches again.

#[path = "../../../bench/peers/rust/bursts.rs"]
mod bursts;

use percept_engine::{Input, Settings};
use percept_graph::{Builder, DType, Error as GraphError, Graph, Params, Tensor, TensorData, Var, ops, pytorch};
use percept_learn::loss::{CrossEntropy, cross_entropy};
use percept_learn::optim::{Group, Optimizer, State};
use percept_learn::trainer::{BatchNorm, Step, Weights};
use percept_learn::weights;
use percept_models::Network;
use percept_models::gan::{DISCRIMINATOR, GENERATOR, Gan};
use percept_models::text::Language;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const SGD: Optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: false };

/// What is trained: the losses of the players, of which each moves the parameters whose names begin so, and how.
struct Case {
    players: Vec<(Graph, &'static str)>,
    optimizer: Optimizer,
    rate: f32,
}

fn case(network: &str) -> Result<Case, Box<dyn Error>> {
    let one = |graph, optimizer, rate| Case { players: vec![(graph, "")], optimizer, rate };
    Ok(match network {
        "lenet" => one(lenet()?, SGD, 0.01),
        "mlp" => one(mlp()?, SGD, 0.01),
        "resnet20" => one(resnet20()?, SGD, 0.001),
        "lstm" => one(language()?, Optimizer::ADAM, 0.001),
        "dcgan" => {
            let gan = Gan { width: 64, ..Gan::new(32, 3, 0) };
            let players = vec![(gan.discriminator_loss()?, DISCRIMINATOR), (gan.generator_loss()?, GENERATOR)];
            let optimizer = Optimizer::Adam { beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };
            Case { players, optimizer, rate: 1e-5 }
        }
        _ => return Err(format!("there is no network {network:?}").into()),
    })
}

fn with_labels<'b>(net: &'b Builder, logits: Var<'b>) -> Var<'b> {
    cross_entropy(logits, net.input("labels", DType::I64, ["N".into()]), CrossEntropy::default())
}

/// LeNet-5 with the channels of its paper.
fn lenet() -> Result<Graph, GraphError> {
    let net = Builder::new("lenet");
    let x = net.input("pictures", DType::F32, ["N".into(), 1.into(), 28.into(), 28.into()]);
    let x = x.conv("conv1", 6, 5, |c| c.padding(2)).relu().max_pool(2, 2);
    let x = x.conv("conv2", 16, 5, |c| c).relu().max_pool(2, 2).flatten();
    let logits = x.linear("fc1", 120).relu().linear("fc2", 84).relu().linear("fc3", 10);
    net.finish(&[("loss", with_labels(&net, logits))])
}

fn mlp() -> Result<Graph, GraphError> {
    let net = Builder::new("mlp");
    let x = net.input("pictures", DType::F32, ["N".into(), 784.into()]);
    let logits = x.linear("fc1", 256).relu().linear("fc2", 128).relu().linear("fc3", 10);
    net.finish(&[("loss", with_labels(&net, logits))])
}

/// From byte pictures, which it normalises.
fn resnet20() -> Result<Graph, Box<dyn Error>> {
    let net = Builder::from_graph(Network::find("resnet20")?.build(32, 10)?);
    Ok(net.finish(&[("loss", with_labels(&net, net.find("logits")))])?)
}

/// The model of `percept text train`, whose states go on from step to step.
fn language() -> Result<Graph, GraphError> {
    let network = Language { characters: 65, embedding: 64, hidden: 256, layers: 2, dropout: 0.0 }.build()?;
    let net = Builder::from_graph(network.clone());
    let labels = net.input("labels", DType::I64, ["T".into(), "B".into()]);
    let labels = labels.apply(ops::Reshape { shape: vec![(-1).into()], allowzero: false }, &[]);
    let loss = cross_entropy(net.find("logits"), labels, CrossEntropy::default());
    let names: Vec<_> = network.outputs()[1..].iter().map(|&id| network.value(id).name.clone()).collect();
    let states = names.iter().map(|name| (name.as_str(), net.find(name)));
    net.finish(&std::iter::once(("loss", loss)).chain(states).collect::<Vec<_>>())
}

/// Shapes and elements by name.
type States = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// One player: a loss, and what it moves.
struct Player {
    graph: Graph,
    step: Step,
    groups: Vec<Group>,
    state: State,
}

struct Training {
    players: Vec<Player>,
    weights: Weights,
    optimizer: Optimizer,
    rate: f32,
    batches: Params,
    /// Outputs that are inputs of the next step.
    states: States,
    taken: usize,
}

impl Training {
    fn new(network: &str, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let Case { players, optimizer, rate } = case(network)?;
        let mut params = weights::read(&folder.join("weights.safetensors"))?;
        pytorch::from_pytorch(&players[0].0, &mut params)?;
        let graphs: Vec<_> = players.iter().map(|(graph, _)| graph).collect();
        let weights = Weights::new(&graphs, &params, BatchNorm::Batch { momentum: 0.9 }, |_| true)?;
        let player = |(graph, prefix): (Graph, &str)| -> Result<Player, Box<dyn Error>> {
            let step = Step::new(&graph, &weights, |name| name.starts_with(prefix), Settings::detect()?)?;
            let moved: Vec<_> = weights.slices().iter().filter(|s| s.name.starts_with(prefix)).cloned().collect();
            let groups = Group::of_slices(&moved, 1.0, 0.0, |_| false);
            Ok(Player { graph, step, groups, state: State::new(&optimizer, weights.parameters.len()) })
        };
        let players = players.into_iter().map(player).collect::<Result<_, _>>()?;
        let batches = weights::read(&folder.join("batches.safetensors"))?;
        Ok(Self { players, weights, optimizer, rate, batches, states: BTreeMap::new(), taken: 0 })
    }

    fn steps(&self) -> usize {
        self.batches.values().next().map_or(0, |tensor| tensor.shape()[0])
    }

    /// A step of each player; what the second draws is an input of the first.
    fn step(&mut self) -> Result<Vec<f32>, Box<dyn Error>> {
        let step = self.taken % self.steps();
        self.taken += 1;
        let mut losses = Vec::new();
        if let [_, Player { graph, step: drawing, .. }] = &mut self.players[..] {
            drawing.run_until(1, &self.weights, &inputs(graph, &self.batches, &self.states, step)?)?;
            let (shape, drawn) = drawing.output(1)?;
            self.states.insert("drawn".into(), (shape.to_vec(), drawn.to_vec()));
        }
        for (i, Player { graph, step: of_player, groups, state }) in self.players.iter_mut().enumerate() {
            let inputs = inputs(graph, &self.batches, &self.states, step)?;
            losses.push(match i {
                0 => of_player.run(&mut self.weights, &inputs)?,
                _ => of_player.run_rest(&mut self.weights, &inputs)?,
            });
            of_player.update(&mut self.weights, &self.optimizer, state, groups, self.rate)?;
            for (i, &id) in graph.outputs().iter().enumerate().skip(1) {
                let name = graph.value(id).name.replace("next_", "");
                let (shape, values) = of_player.output(i)?;
                self.states.insert(name, (shape.to_vec(), values.to_vec()));
            }
        }
        Ok(losses)
    }

    /// Says what the last of some steps of each player took its time for.
    fn profile(&mut self) -> Result<(), Box<dyn Error>> {
        for of in 0..self.players.len() {
            let Player { graph, step, .. } = &mut self.players[of];
            let given = inputs(graph, &self.batches, &self.states, 0)?;
            let shapes: Vec<_> = given.iter().map(|(shape, _)| *shape).collect();
            step.plan(&shapes)?.time_steps();
            let shapes: Vec<_> = shapes.into_iter().map(<[usize]>::to_vec).collect();
            (0..50).try_for_each(|_| self.step().map(drop))?;
            let plan = self.players[of].step.plan(&shapes.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
            let mut sum = 0.0;
            for (work, time) in plan.work().zip(plan.step_times()) {
                let micros = time.as_secs_f64() * 1e6;
                sum += micros;
                eprintln!(
                    "{micros:>9.1} µs {:7.1} GFLOP/s  {} ({})",
                    work.flops as f64 / micros / 1e3,
                    work.kind,
                    work.node
                );
            }
            eprintln!("{sum:>9.1} µs in all");
        }
        let start = Instant::now();
        (0..200).try_for_each(|_| self.step().map(drop))?;
        eprintln!("{:>9.1} µs a step of all", start.elapsed().as_secs_f64() * 1e6 / 200.0);
        Ok(())
    }
}

/// The inputs of a step: states where there are some, else rows of the batches.
fn inputs<'a>(
    graph: &'a Graph,
    batches: &'a Params,
    states: &'a States,
    step: usize,
) -> Result<Vec<(&'a [usize], Input<'a>)>, String> {
    let input = |&id: &_| {
        let name = &graph.value(id).name;
        if let Some((shape, state)) = states.get(name) {
            return Ok((&shape[..], Input::F32(state)));
        }
        let tensor = batches.get(name).ok_or_else(|| format!("there are no batches of {name:?}"))?;
        let shape = &tensor.shape()[1..];
        let len: usize = shape.iter().product();
        let row = step * len..(step + 1) * len;
        Ok((shape, elements(tensor, row).ok_or_else(|| format!("{name:?} is of another type"))?))
    };
    graph.inputs().iter().map(input).collect()
}

fn elements(tensor: &Tensor, row: std::ops::Range<usize>) -> Option<Input<'_>> {
    Some(match tensor.data() {
        TensorData::F32(x) => Input::F32(&x[row]),
        TensorData::I64(x) => Input::I64(&x[row]),
        TensorData::U8(x) => Input::U8(&x[row]),
        _ => return None,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, folder, output] = &arguments[..] else { return Err("usage: classics NETWORK FOLDER OUTPUT".into()) };
    let mut training = Training::new(network, folder.as_ref())?;
    let losses = (0..training.steps()).map(|_| training.step()).collect::<Result<Vec<_>, _>>()?.concat();
    if std::env::var_os("PERCEPT_PROFILE").is_some() {
        training.profile()?;
    }
    std::fs::write(output, losses.iter().flat_map(|loss| loss.to_le_bytes()).collect::<Vec<_>>())?;
    bursts::serve(|| training.step().map(drop))
}
