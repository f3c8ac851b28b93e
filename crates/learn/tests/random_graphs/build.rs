//! The graph of a recipe: as a trainer takes it, or as the reference differentiates it.
//!
//! The second form is made without the trainer: parameters are inputs from the start, normalisations are in training mode from the
//! start. What the trainer does to a graph is thus tested too.

use crate::recipe::{Conv, Head, Layer, Recipe};
use percept_graph::ops::{self, BatchNormalization, DropoutTraining};
use percept_graph::{DType, Graph, Op, Tensor, TensorData, TensorType, ValueId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The share of running statistics that stays.
pub(crate) const MOMENTUM: f32 = 0.75;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// One input; parameters are parameters.
    Plain,
    /// Image and all parameters are inputs, and normalisations use these statistics.
    Open { of_batch: bool },
}

/// A graph with what normalisations make of their running statistics, by the names of the old.
pub(crate) struct Built {
    pub(crate) graph: Graph,
    pub(crate) statistics: BTreeMap<String, ValueId>,
}

struct Build {
    graph: Graph,
    form: Form,
    /// No layer gives more numbers than this for one image: the reference is slow.
    limit: usize,
    statistics: BTreeMap<String, ValueId>,
    /// The results of all layers so far.
    values: Vec<ValueId>,
    /// Whether two values were multiplied as they are: once is enough, or numbers grow without bounds.
    wild: bool,
    /// Whether there was a normalisation: where the numbers of a channel are equal, one divides rounding errors by √epsilon, so only
    /// the first has a small one.
    normed: bool,
}

pub(crate) fn build(recipe: &Recipe, form: Form) -> Built {
    let mut graph = Graph::new("random");
    let [_, channels, rows, columns] = recipe.image;
    let image = ["N".into(), channels.into(), rows.into(), columns.into()];
    let x = graph.add_input("x", TensorType::new(DType::F32, image)).unwrap();
    let limit = 1600.max(channels * rows * columns);
    let mut build =
        Build { graph, form, limit, statistics: BTreeMap::new(), values: vec![x], wild: false, normed: false };
    for (i, layer) in recipe.layers.iter().enumerate() {
        build.layer(&format!("l{i}"), layer);
    }
    let logits = build.head(recipe.head, recipe.classes);
    build.graph.set_outputs([logits]);
    Built { graph: build.graph, statistics: build.statistics }
}

fn ty(shape: &[usize]) -> TensorType {
    TensorType::new(DType::F32, shape.iter().map(|&n| n.into()))
}

impl Build {
    fn last(&self) -> ValueId {
        self.values[self.values.len() - 1]
    }

    fn size(&self, x: ValueId, axis: usize) -> usize {
        self.graph.value(x).ty.shape[axis].as_const().unwrap() as usize
    }

    /// Whether an operator takes such inputs and gives neither nothing nor too much.
    fn fits(&self, op: &Op, x: ValueId, others: &[TensorType]) -> bool {
        let types: Vec<_> = std::iter::once(&self.graph.value(x).ty).chain(others).map(Some).collect();
        op.infer(&types).is_ok_and(|outputs| {
            let sizes: Vec<_> = outputs[0].shape[1..].iter().map(|dim| dim.as_const().unwrap_or(0)).collect();
            sizes.iter().all(|&size| size > 0) && sizes.iter().product::<i64>() <= self.limit as i64
        })
    }

    fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> ValueId {
        self.graph.add(op, inputs).unwrap()
    }

    fn number(&mut self, value: f32) -> ValueId {
        self.apply(ops::Constant { value: Arc::new(Tensor::scalar(value)) }, &[])
    }

    fn parameter(&mut self, layer: &str, name: &str, shape: &[usize]) -> ValueId {
        let name = format!("{layer}.{name}");
        match self.form {
            Form::Plain => self.graph.add_parameter(&name, ty(shape)).unwrap(),
            Form::Open { .. } => self.graph.add_input(name, ty(shape)).unwrap(),
        }
    }

    fn layer(&mut self, name: &str, layer: &Layer) {
        let x = self.last();
        let y = match layer {
            Layer::Conv(conv) => self.conv(name, conv),
            &Layer::Norm { epsilon, twice } => Some(self.norm(name, epsilon, twice)),
            Layer::Simple(Op::Dropout(op)) if self.form != Form::Plain => {
                let seed = self.graph.find("dropout.seed").unwrap_or_else(|_| {
                    let ty = TensorType::new(DType::I64, [1.into()]);
                    self.graph.add_input("dropout.seed", ty).unwrap()
                });
                let key = self.graph.nodes().len() as u64;
                Some(self.apply(DropoutTraining { ratio: op.ratio, key }, &[x, seed]))
            }
            Layer::Simple(op) => self.fits(op, x, &[]).then(|| self.simple(op, x)),
            Layer::Join { op, back, tame } => Some(self.join(op, *back, *tame)),
            Layer::Scale { op, per_channel } => {
                let shape = if *per_channel { vec![self.size(x, 1), 1, 1] } else { vec![1] };
                let factor = self.parameter(name, "factor", &shape);
                Some(self.binary(op, x, factor, true))
            }
            Layer::Gate => Some(self.gate(name)),
            &Layer::Rows { axis, bias } => {
                self.normed = true;
                let shape: Vec<_> = (axis as usize..4).map(|axis| self.size(x, axis)).collect();
                let mut inputs = vec![x, self.parameter(name, "weight", &shape)];
                inputs.extend(bias.then(|| self.parameter(name, "bias", &shape)));
                Some(self.apply(ops::LayerNormalization { axis, epsilon: 0.1 }, &inputs))
            }
            Layer::Gather { axis, ids } => {
                let size = self.size(x, *axis as usize) as i64;
                let ids = ids.iter().map(|id| id % size).collect::<Vec<_>>();
                let ids = Tensor::new([ids.len()], TensorData::I64(ids)).unwrap();
                let op = Op::from(ops::Gather { axis: *axis });
                self.fits(&op, x, &[ids.ty()]).then(|| {
                    let ids = self.apply(ops::Constant { value: Arc::new(ids) }, &[]);
                    self.apply(op, &[x, ids])
                })
            }
            Layer::Recurrent { op, bias, twice } => self.recurrent(name, op, *bias, *twice),
        };
        self.values.extend(y);
    }

    /// An operator on what it is made for: some grow without bounds, or take positive numbers only.
    fn simple(&mut self, op: &Op, x: ValueId) -> ValueId {
        let x = match op {
            Op::Exp(_) => self.apply(ops::Tanh {}, &[x]),
            Op::Log(_) | Op::Sqrt(_) | Op::Pow(_) => self.positive(x),
            _ => x,
        };
        self.apply(op.clone(), &[x])
    }

    fn positive(&mut self, x: ValueId) -> ValueId {
        let (positive, half) = (self.apply(ops::Sigmoid {}, &[x]), self.number(0.5));
        self.apply(ops::Add, &[half, positive])
    }

    fn conv(&mut self, name: &str, layer: &Conv) -> Option<ValueId> {
        let x = self.last();
        let incoming = self.size(x, 1);
        let group = match layer.groups {
            0 => incoming,
            n if incoming.is_multiple_of(n) => n,
            _ => 1,
        };
        let channels = if layer.twice { incoming } else { layer.channels.next_multiple_of(group) };
        let (strides, dilations) = (layer.strides.to_vec(), layer.dilations.to_vec());
        let conv = ops::Conv { strides, dilations, padding: layer.padding.clone(), group };
        let [rows, columns] = layer.kernel;
        let (op, weight) = match layer.transposed {
            false => (conv.into(), [channels, incoming / group, rows, columns]),
            true => {
                let output_padding = conv.strides.iter().map(|stride| (stride - 1) / 2).collect();
                let ops::Conv { strides, dilations, padding, group } = conv;
                let output_shape = None;
                let op = ops::ConvTranspose { strides, dilations, padding, group, output_padding, output_shape };
                (Op::from(op), [incoming, channels / group, rows, columns])
            }
        };
        if !self.fits(&op, x, &[ty(&weight)]) {
            return None;
        }
        let mut inputs = vec![x, self.parameter(name, "weight", &weight)];
        if layer.bias {
            inputs.push(self.parameter(name, "bias", &[channels]));
        }
        let y = self.apply(op.clone(), &inputs);
        if !layer.twice || !self.fits(&op, y, &[ty(&weight)]) {
            return Some(y);
        }
        inputs[0] = y;
        Some(self.apply(op, &inputs))
    }

    fn norm(&mut self, name: &str, epsilon: f32, twice: bool) -> ValueId {
        let x = self.last();
        let channels = [self.size(x, 1)];
        let parameters = ["weight", "bias", "running_mean", "running_var"].map(|p| self.parameter(name, p, &channels));
        let training_mode = self.form == Form::Open { of_batch: true };
        let mut y = x;
        for i in 0..1 + usize::from(twice) {
            let epsilon = if self.normed { 0.1 } else { epsilon };
            self.normed = true;
            let op = BatchNormalization { epsilon, momentum: MOMENTUM, training_mode };
            let inputs = std::iter::once(y).chain(parameters).map(Some).collect();
            let outputs = self.graph.add_node(format!("{name}.{i}"), op.into(), inputs, &[]).unwrap();
            y = outputs[0];
            for (&new, old) in outputs[1..].iter().zip(["running_mean", "running_var"]) {
                self.statistics.insert(format!("{name}.{old}"), new);
            }
        }
        y
    }

    fn join(&mut self, op: &Op, back: usize, tame: bool) -> ValueId {
        let x = self.last();
        let earlier = self.values.iter().rev().cycle().skip(back).take(self.values.len());
        let mut fitting = earlier.filter(|&&other| self.fits(op, x, &[self.graph.value(other).ty.clone()]));
        match (fitting.next(), op) {
            (Some(&other), Op::Concat(_)) => self.apply(op.clone(), &[x, other]),
            (Some(&other), _) => self.binary(op, x, other, tame),
            (None, _) => x,
        }
    }

    fn binary(&mut self, op: &Op, x: ValueId, other: ValueId, tame: bool) -> ValueId {
        let other = match op {
            // x − x would leave nothing but rounding to a normalisation.
            Op::Sub(_) if other == x => self.apply(ops::Tanh {}, &[other]),
            Op::Mul(_) if tame || self.wild => self.apply(ops::Tanh {}, &[other]),
            Op::Mul(_) => {
                self.wild = true;
                other
            }
            Op::Div(_) => self.positive(other),
            _ => other,
        };
        self.apply(op.clone(), &[x, other])
    }

    fn gate(&mut self, name: &str) -> ValueId {
        let x = self.last();
        let channels = self.size(x, 1);
        let mean = self.apply(ops::GlobalAveragePool, &[x]);
        let weight = self.parameter(name, "weight", &[channels, channels, 1, 1]);
        let weighted = self.apply(ops::Conv::new_2d(1, 0), &[mean, weight]);
        let gate = self.apply(ops::Sigmoid {}, &[weighted]);
        self.apply(ops::Mul, &[gate, x])
    }

    fn recurrent(&mut self, name: &str, op: &Op, bias: bool, twice: bool) -> Option<ValueId> {
        let x = self.last();
        let [channels, rows, columns] = [1, 2, 3].map(|axis| self.size(x, axis));
        // Rows and columns as steps; of a long sequence the reference takes too long.
        let shape = [0.into(), channels.into(), (rows * columns).into()].to_vec();
        if rows * columns > 16 {
            return None;
        }
        let flat = self.apply(ops::Reshape { shape, allowzero: false }, &[x]);
        let sequence = self.apply(ops::Transpose { perm: Some(vec![2, 0, 1]) }, &[flat]);
        let (gates, hidden, direction) = match op {
            Op::Lstm(op) => (4, op.hidden_size, op.direction),
            Op::Gru(op) => (3, op.hidden_size, op.direction),
            Op::Rnn(op) => (1, op.hidden_size, op.direction),
            _ => panic!("not recurrent"),
        };
        let d = direction.reversed().len();
        if rows * columns * d * hidden > self.limit {
            return None;
        }
        let mut inputs = vec![Some(sequence)];
        for (what, shape) in [("w", [d, gates * hidden, channels]), ("r", [d, gates * hidden, hidden])] {
            inputs.push(Some(self.parameter(name, what, &shape)));
        }
        if bias {
            inputs.push(Some(self.parameter(name, "bias", &[d, 2 * gates * hidden])));
        }
        let mut outputs = self.graph.add_node(name, op.clone(), inputs.clone(), &[]).unwrap();
        if twice {
            inputs.resize(5, None);
            inputs.extend(outputs[1..].iter().copied().map(Some));
            outputs = self.graph.add_node(format!("{name}.again"), op.clone(), inputs, &[]).unwrap();
        }
        let batched = self.apply(ops::Transpose { perm: Some(vec![2, 1, 3, 0]) }, &[outputs[0]]);
        let shape = [0.into(), (d * hidden).into(), rows.into(), columns.into()].to_vec();
        Some(self.apply(ops::Reshape { shape, allowzero: false }, &[batched]))
    }

    fn head(&mut self, head: Head, classes: usize) -> ValueId {
        let x = self.last();
        let flat = match head {
            Head::PoolLinear => self.apply(ops::GlobalAveragePool, &[x]),
            Head::FlattenLinear | Head::ConvPool => x,
            Head::MeanMatMul => self.apply(ops::ReduceMean { axes: Some(vec![-1, -2]), keepdims: false }, &[x]),
        };
        if let Head::ConvPool = head {
            let weight = self.parameter("head", "weight", &[classes, self.size(x, 1), 1, 1]);
            let y = self.apply(ops::Conv::new_2d(1, 0), &[x, weight]);
            let mean = self.apply(ops::GlobalAveragePool, &[y]);
            return self.apply(ops::Squeeze { axes: Some(vec![-1, 2]) }, &[mean]);
        }
        let flat = self.apply(ops::Flatten { axis: 1 }, &[flat]);
        let features = self.size(flat, 1);
        let bias = self.parameter("head", "bias", &[classes]);
        if let Head::MeanMatMul = head {
            let weight = self.parameter("head", "weight", &[features, classes]);
            let y = self.apply(ops::MatMul, &[flat, weight]);
            return self.apply(ops::Add, &[y, bias]);
        }
        let weight = self.parameter("head", "weight", &[classes, features]);
        let linear = ops::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        self.apply(linear, &[flat, weight, bias])
    }
}
