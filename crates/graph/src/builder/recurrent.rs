//! Recurrent layers.

use super::Var;
use super::layers::axis_size;
use crate::ops::{Concat, Direction, Gru, Lstm, Reshape, Rnn, Squeeze, Transpose};
use crate::{Error, Graph, Op, TensorType, ValueId};

/// What a recurrent layer is given beside its input.
///
/// Without anything it runs forward over whole sequences, from states of zeros.
#[derive(Clone, Copy, Default)]
pub struct Recurrence<'b> {
    direction: Direction,
    layer: usize,
    lengths: Option<Var<'b>>,
    hidden: Option<Var<'b>>,
    cell: Option<Var<'b>>,
}

impl<'b> Recurrence<'b> {
    /// Runs in both directions, each with parameters of its own.
    pub fn bidirectional(self) -> Self {
        Self { direction: Direction::Bidirectional, ..self }
    }

    /// The place in a stack of layers under one name: parameters end with `_lN`.
    pub fn layer(self, layer: usize) -> Self {
        Self { layer, ..self }
    }

    /// The steps of each sequence, i32 `[B]`.
    pub fn lengths(self, lengths: Var<'b>) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// The first hidden state, `[D, B, H]`.
    pub fn hidden(self, hidden: Var<'b>) -> Self {
        Self { hidden: Some(hidden), ..self }
    }

    /// The first cell of an LSTM, `[D, B, H]`.
    pub fn cell(self, cell: Var<'b>) -> Self {
        Self { cell: Some(cell), ..self }
    }
}

/// What a recurrent layer gives.
#[derive(Clone, Copy)]
pub struct States<'b> {
    /// The hidden states of all steps, `[T, B, D·H]`.
    pub sequence: Var<'b>,
    /// The last hidden state, `[D, B, H]`.
    pub hidden: Var<'b>,
    /// The last cell of an LSTM, `[D, B, H]`; of other layers the hidden state.
    pub cell: Var<'b>,
}

impl<'b> Var<'b> {
    /// Long short-term memory over `[T, B, I]`, with PyTorch's parameters `NAME.weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and
    /// `bias_hh_l0`, of the way back with `_reverse` behind, in ONNX's layout: see [`pytorch`](crate::pytorch).
    ///
    /// ```
    /// use percept_graph::{Builder, DType, Recurrence};
    ///
    /// let net = Builder::new("tagger");
    /// let x = net.input("x", DType::F32, ["T".into(), "B".into(), 8.into()]);
    /// let states = x.lstm("lstm", 16, Recurrence::default().bidirectional());
    /// let graph = net.finish(&[("sequence", states.sequence), ("hidden", states.hidden)])?;
    /// let types: Vec<_> = graph.outputs().iter().map(|&id| graph.value(id).ty.to_string()).collect();
    /// assert_eq!(types, ["f32[T, B, 32]", "f32[2, B, 16]"]);
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    pub fn lstm(self, name: &str, hidden_size: usize, given: Recurrence<'b>) -> States<'b> {
        self.recurrent(name, Lstm { hidden_size, direction: given.direction }.into(), given)
    }

    /// Gated recurrent units as PyTorch has them (the reset gate comes after the product); otherwise as [`lstm`](Self::lstm).
    pub fn gru(self, name: &str, hidden_size: usize, given: Recurrence<'b>) -> States<'b> {
        let op = Gru { hidden_size, direction: given.direction, linear_before_reset: true };
        self.recurrent(name, op.into(), given)
    }

    /// Elman's network with tanh; otherwise as [`lstm`](Self::lstm).
    pub fn rnn(self, name: &str, hidden_size: usize, given: Recurrence<'b>) -> States<'b> {
        self.recurrent(name, Rnn { hidden_size, direction: given.direction, relu: false }.into(), given)
    }

    fn recurrent(self, name: &str, op: Op, given: Recurrence<'b>) -> States<'b> {
        let (builder, mut made) = (self.builder, Vec::new());
        self.builder.var(|graph| {
            made = add(graph, self.id, name, op, given)?;
            Ok(ValueId(0))
        });
        made.resize(3, *made.last().unwrap_or(&ValueId(0)));
        let [y, hidden, cell] = [0, 1, 2].map(|i| Var { builder, id: made[i] });
        let sequence = match given.direction {
            Direction::Bidirectional => y
                .apply(Transpose { perm: Some(vec![0, 2, 1, 3]) }, &[])
                .apply(Reshape { shape: vec![0.into(), 0.into(), (-1).into()], allowzero: false }, &[]),
            _ => y.apply(Squeeze { axes: Some(vec![1]) }, &[]),
        };
        States { sequence, hidden, cell }
    }
}

/// Adds the layer with its parameters.
fn add(graph: &mut Graph, x: ValueId, name: &str, op: Op, given: Recurrence<'_>) -> Result<Vec<ValueId>, Error> {
    let ty = graph.value(x).ty.clone();
    let wrong = |reason| Error::Node { node: name.into(), op: op.name(), inputs: ty.to_string(), reason };
    let features = axis_size(&ty, 2).map_err(wrong)?;
    let layer = op.recurrent().ok_or_else(|| wrong("is not recurrent".into()))?;
    let rows = layer.gates * layer.hidden;
    let mut weights: [Vec<ValueId>; 3] = Default::default();
    for suffix in &["", "_reverse"][..given.direction.reversed().len()] {
        let mut parameter = |what: &str, shape: Vec<crate::Dim>| {
            let name = format!("{name}.{what}_l{}{suffix}", given.layer);
            graph.add_parameter(&name, TensorType::new(ty.dtype, shape))
        };
        weights[0].push(parameter("weight_ih", vec![1.into(), rows.into(), features.clone()])?);
        weights[1].push(parameter("weight_hh", vec![1.into(), rows.into(), layer.hidden.into()])?);
        let biases =
            [parameter("bias_ih", vec![1.into(), rows.into()])?, parameter("bias_hh", vec![1.into(), rows.into()])?];
        weights[2].push(graph.add(Concat { axis: 1 }, &biases)?);
    }
    let mut inputs = vec![Some(x)];
    for parts in weights {
        inputs.push(Some(if parts.len() == 1 { parts[0] } else { graph.add(Concat { axis: 0 }, &parts)? }));
    }
    inputs.extend([given.lengths, given.hidden, given.cell].map(|var| var.map(|var| var.id)));
    while inputs.last() == Some(&None) {
        inputs.pop();
    }
    // The layers of a stack share `name`, but no two nodes of a file may.
    let node = if given.layer == 0 { name.to_string() } else { format!("{name}_l{}", given.layer) };
    graph.add_node(node, op, inputs, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, DType, Params, Tensor, pytorch};

    #[test]
    fn parameters_are_pytorchs_and_go_there_and_back() {
        let net = Builder::new("net");
        let x = net.input("x", DType::F32, ["T".into(), "B".into(), 3.into()]);
        let y = x.lstm("lstm", 2, Recurrence::default().layer(1).bidirectional());
        let graph = net.finish(&[("y", y.sequence), ("cell", y.cell)]).unwrap();
        let names: Vec<_> = graph.parameters().map(|value| value.name.as_str()).collect();
        let both = ["", "_reverse"]
            .map(|way| ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|name| format!("lstm.{name}_l1{way}")));
        assert_eq!(names, both.concat());
        let mut params = Params::new();
        for (i, name) in names.iter().enumerate() {
            let shape = graph.value(graph.find(name).unwrap()).ty.concrete().unwrap()[1..].to_vec();
            let numbers = (0..shape.iter().product()).map(|j| (100 * i + j) as f32).collect();
            params.insert(name.to_string(), Tensor::f32(shape, numbers).unwrap());
        }
        let theirs = params.clone();
        pytorch::from_pytorch(&graph, &mut params).unwrap();
        graph.check_params(&params).unwrap();
        // i, f, g, o become i, o, f, c.
        assert_eq!(params[names[2]].as_f32().unwrap(), [200.0, 201.0, 206.0, 207.0, 202.0, 203.0, 204.0, 205.0]);
        pytorch::to_pytorch(&graph, &mut params).unwrap();
        assert_eq!(params, theirs);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let net = Builder::new("net");
        let x = net.input("x", DType::F32, ["T".into(), 5.into(), 3.into()]);
        let hidden = net.input("h", DType::F32, [1.into(), 4.into(), 2.into()]);
        let y = x.gru("gru", 2, Recurrence::default().hidden(hidden)).sequence;
        let message = net.finish(&[("y", y)]).unwrap_err().to_string();
        assert!(message.contains("\"gru\" (GRU)") && message.ends_with("initial_h must be f32[1, 5, 2]"), "{message}");
        let net = Builder::new("net");
        let y = net.input("x", DType::F32, [2.into(), 3.into()]).rnn("rnn", 2, Recurrence::default()).sequence;
        let message = net.finish(&[("y", y)]).unwrap_err().to_string();
        assert!(message.ends_with("the input has no axis 2"), "{message}");
    }
}
