//! Parameters of recurrent layers as PyTorch has them, and as the graph has them.
//!
//! The names are the same, so are the numbers, but PyTorch's gates are in the order i, f, g, o (LSTM) and r, z, n (GRU), ONNX's in i, o, f, c and z, r, h.
//! Graphs hold ONNX's order, and are converted where weights come in or go out: so a step of training moves no weights about, and an ONNX file
//! needs no further nodes. The two cannot be mistaken for each other: in the graph they have an axis of size 1 in front, for the direction.

use crate::{Error, Graph, Op, Params, Source, Tensor, TensorData, ValueId};

/// Converts those parameters of recurrent layers that have PyTorch's shapes to the graph's; others stay.
///
/// ```
/// use percept_graph::{Builder, DType, Params, Recurrence, Tensor, pytorch};
///
/// let net = Builder::new("net");
/// let x = net.input("x", DType::F32, ["T".into(), "B".into(), 1.into()]);
/// let graph = net.finish(&[("y", x.gru("gru", 1, Recurrence::default()).sequence)])?;
/// let mut params = Params::new();
/// params.insert("gru.weight_ih_l0".into(), Tensor::f32([3, 1], vec![1.0, 2.0, 3.0])?);
/// pytorch::from_pytorch(&graph, &mut params)?;
/// assert_eq!(params["gru.weight_ih_l0"], Tensor::f32([1, 3, 1], vec![2.0, 1.0, 3.0])?);
/// pytorch::to_pytorch(&graph, &mut params)?;
/// assert_eq!(params["gru.weight_ih_l0"], Tensor::f32([3, 1], vec![1.0, 2.0, 3.0])?);
/// # Ok::<(), percept_graph::Error>(())
/// ```
///
/// # Errors
/// A parameter of other elements than f32.
pub fn from_pytorch(graph: &Graph, params: &mut Params) -> Result<(), Error> {
    for (id, op) in recurrent_parameters(graph) {
        let (_, onnx) = orders(op);
        let value = graph.value(id);
        let declared = value.ty.concrete()?;
        if let Some(tensor) = params.get_mut(&value.name).filter(|tensor| tensor.shape() == &declared[1..]) {
            *tensor = Tensor::new(declared, TensorData::F32(permuted(tensor, onnx)?))?;
        }
    }
    Ok(())
}

/// Converts those parameters of recurrent layers that have the graph's shapes to PyTorch's; others stay.
///
/// # Errors
/// As [`from_pytorch`].
pub fn to_pytorch(graph: &Graph, params: &mut Params) -> Result<(), Error> {
    for (id, op) in recurrent_parameters(graph) {
        let (pytorch, _) = orders(op);
        let value = graph.value(id);
        let declared = value.ty.concrete()?;
        if let Some(tensor) = params.get_mut(&value.name).filter(|tensor| tensor.shape() == declared) {
            *tensor = Tensor::new(&declared[1..], TensorData::F32(permuted(tensor, pytorch)?))?;
        }
    }
    Ok(())
}

/// The parameters of weights and biases of recurrent layers, each for one direction, with the operators that read them; a parameter that two
/// operators share comes once.
pub fn recurrent_parameters(graph: &Graph) -> Vec<(ValueId, &Op)> {
    let mut found: Vec<(ValueId, &Op)> = Vec::new();
    for node in graph.nodes().iter().filter(|node| node.op.recurrent().is_some()) {
        let mut left: Vec<_> = node.inputs.iter().skip(1).take(3).flatten().copied().collect();
        while let Some(id) = left.pop() {
            match graph.producer(id) {
                Some(concat) if matches!(concat.op, Op::Concat(_)) => left.extend(concat.inputs.iter().flatten()),
                _ if found.iter().any(|(other, _)| *other == id) => {}
                _ if graph.value(id).source == Source::Parameter
                    && graph.value(id).ty.shape.first() == Some(&1.into()) =>
                {
                    found.push((id, &node.op))
                }
                _ => {}
            }
        }
    }
    found
}

/// For each of PyTorch's gates its place among ONNX's, and the other way round.
fn orders(op: &Op) -> (&'static [usize], &'static [usize]) {
    match op {
        Op::Lstm(_) => (&[0, 2, 3, 1], &[0, 3, 1, 2]),
        Op::Gru(_) => (&[1, 0, 2], &[1, 0, 2]),
        _ => (&[0], &[0]),
    }
}

/// The blocks of a tensor, one a gate, in another order.
fn permuted(tensor: &Tensor, order: &[usize]) -> Result<Vec<f32>, Error> {
    let data = tensor.as_f32()?;
    let block = data.len() / order.len();
    Ok(order.iter().flat_map(|&gate| &data[gate * block..(gate + 1) * block]).copied().collect())
}
