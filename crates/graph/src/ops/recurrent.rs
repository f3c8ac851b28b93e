//! Recurrent layers, each one operator for a whole sequence.
//!
//! Inputs are `X [T, B, I]`, `W [D, G·H, I]`, `R [D, G·H, H]` and, where they are not left out, `B [D, 2·G·H]` (the bias of `W`, then that of
//! `R`), `sequence_lens [B]` of i32, and the first states `initial_h` and `initial_c`, each `[D, B, H]`; D directions, G gates, H hidden
//! units. Outputs are `Y [T, D, B, H]`, zero behind the end of a sequence, and the last states `Y_h` and `Y_c`, `[D, B, H]`. The
//! backward direction begins at the end of each sequence, and its last state is the one at the front. A sequence of no steps keeps its first state.
//!
//! Of ONNX's settings peepholes, clipping, coupled gates, a batch in front (layout 1) and other activations are errors.

use super::{Inferred, Op, Operator, arity, expect_float};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{DType, Dim, TensorType};

/// The way along the sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the first step to the last.
    #[default]
    Forward,
    /// From the last step to the first.
    Reverse,
    /// Both, with parameters and states for each.
    Bidirectional,
}

impl Direction {
    const NAMES: [(Self, &'static str); 3] =
        [(Self::Forward, "forward"), (Self::Reverse, "reverse"), (Self::Bidirectional, "bidirectional")];

    /// For each direction, whether it runs from the last step to the first.
    pub fn reversed(self) -> &'static [bool] {
        match self {
            Self::Forward => &[false],
            Self::Reverse => &[true],
            Self::Bidirectional => &[false, true],
        }
    }
}

/// Long short-term memory, gates in the order i, o, f, c (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000):
/// `C = f·C' + i·c`, `H = o·tanh(C)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lstm {
    /// Hidden units.
    pub hidden_size: usize,
    /// The way along the sequence.
    pub direction: Direction,
}

/// Gated recurrent unit, gates in the order z, r, h (Cho et al. 2014): `H = (1 − z)·h + z·H'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gru {
    /// Hidden units.
    pub hidden_size: usize,
    /// The way along the sequence.
    pub direction: Direction,
    /// Whether `r` multiplies the product of the old state with `R` and its bias, as in PyTorch, instead of the old state.
    pub linear_before_reset: bool,
}

/// Elman's network (1990): `H = f(X·Wᵀ + H'·Rᵀ + B)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rnn {
    /// Hidden units.
    pub hidden_size: usize,
    /// The way along the sequence.
    pub direction: Direction,
    /// Whether f is ReLU instead of tanh.
    pub relu: bool,
}

/// What the three have in common.
#[derive(Clone, Copy)]
pub(crate) struct Layer {
    pub(crate) hidden: usize,
    pub(crate) direction: Direction,
    pub(crate) gates: usize,
    /// Whether there is a second state.
    pub(crate) cell: bool,
}

impl Op {
    /// Hidden units, direction, and gates of a recurrent operator.
    pub(crate) fn recurrent(&self) -> Option<Layer> {
        Some(match self {
            Self::Lstm(op) => Layer { hidden: op.hidden_size, direction: op.direction, gates: 4, cell: true },
            Self::Gru(op) => Layer { hidden: op.hidden_size, direction: op.direction, gates: 3, cell: false },
            Self::Rnn(op) => Layer { hidden: op.hidden_size, direction: op.direction, gates: 1, cell: false },
            _ => return None,
        })
    }
}

impl Layer {
    /// The types of the outputs.
    pub(crate) fn infer(self, inputs: &[Option<&TensorType>]) -> Inferred {
        let all: [_; 8] = if self.cell { arity(inputs, 3)? } else { widened(arity::<6>(inputs, 3)?) };
        let [Some(x), Some(w), Some(r), b, lengths, h, c, peepholes] = all else {
            return Err("takes X, W and R".into());
        };
        expect_float(x)?;
        if peepholes.is_some() {
            return Err("has peepholes (input P), which are not supported".into());
        }
        let [steps, batch, features] = &x.shape[..] else { return Err(format!("needs X [T, B, I], not {x}")) };
        let [directions, hidden] = [self.direction.reversed().len(), self.hidden].map(Dim::from);
        let rows = hidden.clone() * self.gates as i64;
        let state = vec![directions.clone(), batch.clone(), hidden.clone()];
        let float = |shape: &[Dim]| TensorType::new(x.dtype, shape.iter().cloned());
        let expected = [
            ("W", Some(w), float(&[directions.clone(), rows.clone(), features.clone()])),
            ("R", Some(r), float(&[directions.clone(), rows.clone(), hidden.clone()])),
            ("B", b, float(&[directions.clone(), rows * 2])),
            ("sequence_lens", lengths, TensorType::new(DType::I32, [batch.clone()])),
            ("initial_h", h, float(&state)),
            ("initial_c", c, float(&state)),
        ];
        for (name, given, expected) in expected {
            if given.is_some_and(|given| *given != expected) {
                return Err(format!("{name} must be {expected}"));
            }
        }
        let sequence = float(&[steps.clone(), directions, batch.clone(), hidden]);
        Ok(std::iter::once(sequence).chain(vec![float(&state); 1 + usize::from(self.cell)]).collect())
    }
}

fn widened(six: [Option<&TensorType>; 6]) -> [Option<&TensorType>; 8] {
    std::array::from_fn(|i| six.get(i).copied().flatten())
}

/// Hidden units, direction and, in lower case, the activations of a node, which are as many as `defaults` for each direction.
fn read(node: &NodeReader<'_>, defaults: &[&str]) -> Result<(usize, Direction, Vec<String>), String> {
    let name = node.string("direction", "forward")?;
    let direction = Direction::NAMES.iter().find(|(_, known)| *known == name.to_lowercase());
    let direction = direction.ok_or_else(|| format!("direction \"{name}\" is not known"))?.0;
    if node.flag("layout")? {
        return Err(
            "has the batch in front of the steps (layout 1), which is not supported: export with layout 0".into()
        );
    }
    // Those of the activations that are supported have none.
    node.ignore("activation_alpha");
    node.ignore("activation_beta");
    let hidden = match node.int("hidden_size")? {
        Some(size) => Some(size),
        None => node.input_type(2)?.shape.last().and_then(Dim::as_const),
    };
    let hidden = hidden.and_then(|size| usize::try_from(size).ok()).ok_or("lacks a valid hidden_size")?;
    let count = defaults.len() * direction.reversed().len();
    let names = match node.strings("activations")?.filter(|names| !names.is_empty()) {
        Some(names) => names.iter().map(|name| name.to_lowercase()).collect(),
        None => defaults.iter().cycle().take(count).map(|name| name.to_string()).collect::<Vec<_>>(),
    };
    if names.len() != count {
        return Err(format!("has {} activations, {count} are needed", names.len()));
    }
    Ok((hidden, direction, names))
}

/// The same where only the defaults are supported.
fn read_default(node: &NodeReader<'_>, defaults: &[&str]) -> Result<(usize, Direction), String> {
    let (hidden, direction, names) = read(node, defaults)?;
    match names.iter().zip(defaults.iter().cycle()).all(|(name, default)| name == default) {
        true => Ok((hidden, direction)),
        false => Err(format!("has the activations {names:?}: only {defaults:?} are supported")),
    }
}

fn write(node: &mut NodeWriter<'_>, hidden: usize, direction: Direction) {
    node.int("hidden_size", hidden as i64);
    for (_, name) in Direction::NAMES.iter().filter(|(known, _)| *known == direction) {
        node.string("direction", name);
    }
}

macro_rules! infer {
    () => {
        fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
            Op::from(self.clone()).recurrent().ok_or("is not recurrent")?.infer(inputs)
        }
    };
}

impl Operator for Lstm {
    const NAME: &'static str = "LSTM";

    infer!();

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        if node.flag("input_forget")? {
            return Err("couples its input and forget gates, which is not supported".into());
        }
        let (hidden_size, direction) = read_default(node, &["sigmoid", "tanh", "tanh"])?;
        Ok(Self { hidden_size, direction })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        write(node, self.hidden_size, self.direction);
        Ok(())
    }
}

impl Operator for Gru {
    const NAME: &'static str = "GRU";

    infer!();

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let (hidden_size, direction) = read_default(node, &["sigmoid", "tanh"])?;
        Ok(Self { hidden_size, direction, linear_before_reset: node.flag("linear_before_reset")? })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        write(node, self.hidden_size, self.direction);
        node.int("linear_before_reset", self.linear_before_reset.into());
        Ok(())
    }
}

impl Operator for Rnn {
    const NAME: &'static str = "RNN";

    infer!();

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let (hidden_size, direction, names) = read(node, &["tanh"])?;
        let all = |known: &str| names.iter().all(|name| name == known);
        if !all("tanh") && !all("relu") {
            return Err(format!(
                "has the activations {names:?}: only Tanh and Relu, the same in both directions, are supported"
            ));
        }
        Ok(Self { hidden_size, direction, relu: all("relu") })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        write(node, self.hidden_size, self.direction);
        if self.relu {
            node.strings("activations", &vec!["Relu"; self.direction.reversed().len()]);
        }
        Ok(())
    }
}
