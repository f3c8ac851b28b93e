//! What a graph says of itself as a classifier of pictures: how it takes them, how many classes it tells apart, whether it knows them.

use super::key;
use crate::known::{self, Known};
use percept_graph::{Bindings, DType, Graph, Op, ValueId};

/// How a model takes pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Taking {
    /// Bytes, `[N, H, W, 3]`.
    Bytes,
    /// Normalised floats, channels first.
    ChannelsFirst,
    /// Normalised floats, channels last.
    ChannelsLast,
}

/// How the graph takes pictures, and their size in pixels (224 if it is open).
pub(super) fn input_of(graph: &Graph) -> std::result::Result<(Taking, u32), String> {
    let [input] = graph.inputs() else {
        return Err(format!("takes {} inputs, a classifier of pictures takes 1", graph.inputs().len()));
    };
    let ty = &graph.value(*input).ty;
    let known: Vec<_> = ty.shape.iter().map(|dim| dim.as_const()).collect();
    let (taking, height, width) = match (ty.dtype, &known[..]) {
        (DType::U8, &[_, h, w, Some(3)]) => (Taking::Bytes, h, w),
        (DType::F32, &[_, Some(3), h, w]) => (Taking::ChannelsFirst, h, w),
        (DType::F32, &[_, h, w, Some(3)]) => (Taking::ChannelsLast, h, w),
        _ => {
            return Err(format!(
                "takes {ty}, a classifier of pictures takes u8[N, H, W, 3], f32[N, 3, H, W] or f32[N, H, W, 3]"
            ));
        }
    };
    if height != width {
        return Err(format!("takes pictures of {ty}: only squares are supported"));
    }
    match height.map(u32::try_from) {
        None => Ok((taking, 224)),
        Some(Ok(size)) if size > 0 => Ok((taking, size)),
        _ => Err(format!("takes pictures of {ty}")),
    }
}

/// Whether the graph says how large its pictures are.
pub(super) fn size_is_fixed(graph: &Graph) -> bool {
    graph.value(graph.inputs()[0]).ty.shape.iter().skip(1).all(|dim| dim.as_const().is_some())
}

/// The number of classes that the graph tells apart for pictures of this size.
pub(super) fn classes_of(graph: &Graph, size: u32) -> std::result::Result<usize, String> {
    let mut bindings = Bindings::new();
    for (axis, dim) in graph.value(graph.inputs()[0]).ty.shape.iter().enumerate() {
        if let Some(symbol) = dim.as_symbol() {
            bindings.insert(symbol.into(), if axis == 0 { 1 } else { size as usize });
        }
    }
    let output = &graph.value(graph.outputs()[0]).ty;
    let sizes: Option<Vec<usize>> = output.shape.iter().map(|dim| dim.eval(&bindings)).collect();
    match sizes.as_deref() {
        Some([_, classes, rest @ ..]) if *classes > 0 && rest.iter().all(|&size| size == 1) => Ok(*classes),
        _ => Err(format!("gives {output}, a classifier gives [N, classes]")),
    }
}

/// What a file says about its score of known, and which of its outputs that is; nothing if it says nothing.
pub(super) fn known_of(graph: &Graph, json: Option<&String>) -> std::result::Result<Option<(Known, usize)>, String> {
    let Some(json) = json else { return Ok(None) };
    let known = serde_json::from_str(json).map_err(|e| format!("its {} is damaged: {e}", key::KNOWN))?;
    let output = graph.outputs().iter().position(|&id| graph.value(id).name == known::OUTPUT);
    let output = output.ok_or_else(|| format!("has {}, but no output {}", key::KNOWN, known::OUTPUT))?;
    let ty = &graph.value(graph.outputs()[output]).ty;
    match ty.shape.iter().skip(1).all(|dim| *dim == 1.into()) && ty.dtype == DType::F32 {
        true => Ok(Some((known, output))),
        false => Err(format!("its {} is {ty}, not f32[N, 1]", known::OUTPUT)),
    }
}

/// Whether a value is made by a softmax, as far as one can look through what changes nothing.
pub(super) fn is_softmax(graph: &Graph, id: ValueId) -> bool {
    let Some(node) = graph.producer(id) else { return false };
    match (&node.op, node.inputs.first()) {
        (Op::Softmax(_), _) => true,
        (Op::Identity(_) | Op::Flatten(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Cast(_), Some(Some(x))) => {
            is_softmax(graph, *x)
        }
        _ => false,
    }
}
