//! What a random network is made of: plain data that proptest draws and shrinks.
//!
//! A layer that does not fit where it stands is left out when the graph is made (see `build.rs`), so every list of layers is a network
//! and shrinking may remove any of them.

use percept_graph::Op;
use percept_graph::ops::{self, Coordinates, Direction, Extent, Interpolation, PadMode, Padding, Rounding};
use proptest::prelude::*;
use proptest::sample::select;
use std::ops::RangeInclusive;

/// A network with its sizes and the seed of its numbers.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Batch, channels, rows, columns.
    pub(crate) image: [usize; 4],
    pub(crate) classes: usize,
    pub(crate) layers: Vec<Layer>,
    pub(crate) head: Head,
    /// Whether batch normalisations keep their running statistics.
    pub(crate) frozen: bool,
    /// Whether some of the parameters are not trained.
    pub(crate) partly: bool,
    pub(crate) seed: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Layer {
    Conv(Conv),
    Norm {
        epsilon: f32,
        twice: bool,
    },
    /// An operator without parameters.
    Simple(Op),
    /// An arithmetic operator or a concatenation with an earlier value, `tame` keeping products small.
    Join {
        op: Op,
        back: usize,
        tame: bool,
    },
    /// An arithmetic operator with a parameter for each channel, or with one number.
    Scale {
        op: Op,
        per_channel: bool,
    },
    /// Channels weighted by a function of their means.
    Gate,
    /// Normalised from an axis on.
    Rows {
        axis: i64,
        bias: bool,
    },
    /// Entries of an axis by numbers, which count from both ends.
    Gather {
        axis: i64,
        ids: Vec<i64>,
    },
    /// A recurrent layer over the positions of a picture, whose states are a picture's channels; with a second one that begins with the last state.
    Recurrent {
        op: Op,
        bias: bool,
        twice: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Conv {
    pub(crate) channels: usize,
    pub(crate) kernel: [usize; 2],
    /// Number of groups where it divides the channels; 0 for one group a channel.
    pub(crate) groups: usize,
    pub(crate) bias: bool,
    /// Whether it is transposed.
    pub(crate) transposed: bool,
    /// Whether the same parameters are used a second time, on the result.
    pub(crate) twice: bool,
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    pub(crate) padding: Padding,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Head {
    PoolLinear,
    FlattenLinear,
    MeanMatMul,
    ConvPool,
}

fn pair(sizes: RangeInclusive<usize>) -> impl Strategy<Value = [usize; 2]> {
    [sizes.clone(), sizes]
}

fn padding(most: usize) -> impl Strategy<Value = Padding> {
    prop_oneof![
        2 => prop::collection::vec(0..=most, 4).prop_map(Padding::Explicit),
        2 => (0..=most).prop_map(|n| Padding::Explicit(vec![n; 4])),
        2 => Just(Padding::SameUpper),
        1 => Just(Padding::SameLower),
    ]
}

fn conv() -> impl Strategy<Value = Layer> {
    let square = select(vec![1, 3, 5]).prop_map(|n| [n, n]);
    let kernel = prop_oneof![4 => square, 1 => pair(1..=4)];
    let strides = prop_oneof![3 => Just([1, 1]), 2 => Just([2, 2]), 1 => pair(1..=3)];
    let dilations = prop_oneof![3 => Just([1, 1]), 1 => pair(1..=3)];
    let groups = prop_oneof![3 => Just(1), 2 => Just(0), 1 => 2..=3usize];
    (
        1..=9usize,
        kernel,
        groups,
        any::<bool>(),
        prop::bool::weighted(0.3),
        strides,
        dilations,
        padding(2),
        prop::bool::weighted(0.15),
    )
        .prop_map(|(channels, kernel, groups, bias, twice, strides, dilations, padding, transposed)| {
            Layer::Conv(Conv { channels, kernel, groups, bias, transposed, twice, strides, dilations, padding })
        })
}

fn pool() -> impl Strategy<Value = Op> {
    let sizes = (pair(1..=4), pair(1..=3), pair(1..=2), padding(1));
    (sizes, any::<bool>(), 0..3).prop_map(|((kernel, strides, dilations, padding), ceil_mode, kind)| {
        // Taps that are far apart may all lie in the padding, and then there is nothing to take the mean of.
        let padding = if dilations == [1, 1] { padding } else { Padding::Explicit(vec![0; 4]) };
        let (kernel_shape, strides, dilations) = (kernel.to_vec(), strides.to_vec(), dilations.to_vec());
        match kind {
            0 => ops::MaxPool { kernel_shape, strides, dilations, padding, ceil_mode }.into(),
            kind => {
                let count_include_pad = kind == 1;
                ops::AveragePool { kernel_shape, strides, dilations, padding, ceil_mode, count_include_pad }.into()
            }
        }
    })
}

fn activation() -> impl Strategy<Value = Op> {
    select(vec![
        Op::from(ops::Relu {}),
        ops::Relu {}.into(),
        ops::Clip { min: 0.0, max: 6.0 }.into(),
        ops::Clip { min: -0.5, max: 0.75 }.into(),
        ops::LeakyRelu { alpha: 0.1 }.into(),
        ops::Sigmoid {}.into(),
        ops::HardSigmoid { alpha: 0.2, beta: 0.5 }.into(),
        ops::HardSwish {}.into(),
        ops::Tanh {}.into(),
        ops::Abs {}.into(),
        ops::Neg {}.into(),
        ops::Softplus {}.into(),
        ops::Erf {}.into(),
        ops::Gelu.into(),
        ops::Exp {}.into(),
        ops::Log {}.into(),
        ops::Sqrt {}.into(),
        ops::Pow { exponent: 2.0 }.into(),
        ops::Pow { exponent: -0.7 }.into(),
    ])
}

fn rearrangement() -> impl Strategy<Value = Op> {
    let fixed = select(vec![
        Op::from(ops::Dropout { ratio: 0.5 }),
        ops::Identity.into(),
        ops::Softmax { axis: 1 }.into(),
        ops::Softmax { axis: -1 }.into(),
        ops::Transpose { perm: Some(vec![0, 1, 3, 2]) }.into(),
        ops::Transpose { perm: Some(vec![0, 2, 3, 1]) }.into(),
        ops::Reshape { shape: vec![0.into(), 0.into(), (-1).into(), 1.into()], allowzero: false }.into(),
        ops::ReduceMean { axes: Some(vec![2]), keepdims: true }.into(),
        ops::ReduceMax { axes: Some(vec![3]), keepdims: true }.into(),
        ops::ReduceMax { axes: Some(vec![1]), keepdims: true }.into(),
        ops::ReduceSum { axes: Some(vec![2, 3]), keepdims: true }.into(),
        ops::ReduceSum { axes: Some(vec![1]), keepdims: true }.into(),
        ops::GlobalAveragePool.into(),
        resize(&[1.0, 1.0, 1.5, 2.0], Interpolation::Linear),
        resize(&[1.0, 1.0, 2.0, 0.5], Interpolation::Nearest(Rounding::Floor)),
        slice(&[1, -1], &[i64::MAX, i64::MIN], &[2, 3], &[2, -1]),
        slice(&[1], &[-1], &[1], &[1]),
    ]);
    let pads = prop::collection::vec(-1..=2i64, 4).prop_map(|pads| {
        let pads = [0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]].to_vec();
        Op::from(ops::Pad { pads, mode: PadMode::Constant(0.5) })
    });
    prop_oneof![3 => fixed, 1 => pads]
}

fn resize(scales: &[f32], interpolation: Interpolation) -> Op {
    let coordinates = Coordinates::HalfPixel;
    ops::Resize { to: Extent::Scales(scales.to_vec()), coordinates, interpolation }.into()
}

fn slice(starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]) -> Op {
    let [starts, ends, axes, steps] = [starts, ends, axes, steps].map(<[i64]>::to_vec);
    ops::Slice { starts, ends, axes, steps }.into()
}

fn arithmetic() -> impl Strategy<Value = Op> {
    let all = [ops::Add.into(), ops::Sub.into(), ops::Mul.into(), ops::Div.into(), ops::Max.into(), ops::Min.into()];
    select(Vec::<Op>::from(all))
}

fn recurrent() -> impl Strategy<Value = Op> {
    let direction = select(vec![Direction::Forward, Direction::Reverse, Direction::Bidirectional]);
    (1..=5usize, direction, 0..5).prop_map(|(hidden_size, direction, kind)| match kind {
        0 | 1 => ops::Lstm { hidden_size, direction }.into(),
        2 | 3 => ops::Gru { hidden_size, direction, linear_before_reset: kind == 2 }.into(),
        _ => ops::Rnn { hidden_size, direction, relu: false }.into(),
    })
}

fn layer() -> impl Strategy<Value = Layer> {
    let joined = prop_oneof![3 => arithmetic(), 1 => Just(ops::Concat { axis: 1 }.into())];
    prop_oneof![
        6 => conv(),
        3 => (select(vec![1e-3, 0.1]), prop::bool::weighted(0.2)).prop_map(|(epsilon, twice)| Layer::Norm { epsilon, twice }),
        5 => activation().prop_map(Layer::Simple),
        2 => pool().prop_map(Layer::Simple),
        3 => rearrangement().prop_map(Layer::Simple),
        3 => (joined, 0..5usize, prop::bool::weighted(0.7)).prop_map(|(op, back, tame)| Layer::Join { op, back, tame }),
        1 => (arithmetic(), any::<bool>()).prop_map(|(op, per_channel)| Layer::Scale { op, per_channel }),
        1 => Just(Layer::Gate),
        1 => (1..=3i64, any::<bool>()).prop_map(|(axis, bias)| Layer::Rows { axis, bias }),
        1 => (1..=3i64, prop::collection::vec(-9..9i64, 1..6)).prop_map(|(axis, ids)| Layer::Gather { axis, ids }),
        2 => (recurrent(), any::<bool>(), any::<bool>()).prop_map(|(op, bias, twice)| Layer::Recurrent { op, bias, twice }),
    ]
}

/// Any network of one to `layers` layers and a head, for images of such numbers of rows and columns.
pub(crate) fn recipes(sides: RangeInclusive<usize>, layers: usize) -> impl Strategy<Value = Recipe> {
    let image = (1..=4usize, 1..=9usize, sides.clone(), sides);
    let head = select(vec![Head::PoolLinear, Head::FlattenLinear, Head::MeanMatMul, Head::ConvPool]);
    let layers = prop::collection::vec(layer(), 1..=layers);
    (image, 2..=5usize, layers, head, any::<bool>(), any::<bool>(), any::<u64>()).prop_map(
        |((n, c, h, w), classes, layers, head, frozen, partly, seed)| {
            let image = [n, c, h, w];
            Recipe { image, classes, layers, head, frozen, partly, seed }
        },
    )
}
