//! The last layer of a classifier: what it reads, and its weights.

use crate::bench::logits;
use percept_graph::{Graph, Op, Params, ValueId, ops::Gemm};
use percept_learn::logistic::Weights;

/// The last layer, and the value that it reads.
pub(crate) struct LastLayer {
    /// `f32[N, width]`.
    pub(crate) features: ValueId,
    /// Its weights; a temperature behind it is not in them.
    pub(crate) weights: Weights,
}

/// The product that makes the logits of a network; nothing if they are made by something else.
pub(crate) fn last_layer(graph: &Graph, params: &Params) -> Option<LastLayer> {
    let node = graph.producer(logits(graph, *graph.outputs().first()?))?;
    let Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b }) = &node.op else { return None };
    let tensor = |i: usize| params.get(&graph.value(node.inputs.get(i).copied().flatten()?).name);
    let (weight, bias) = (tensor(1)?, tensor(2)?);
    let &[rows, columns] = weight.shape() else { return None };
    let (width, classes) = if *trans_b { (columns, rows) } else { (rows, columns) };
    let values = weight.as_f32().ok()?;
    let at = |i: usize, class: usize| if *trans_b { values[class * width + i] } else { values[i * classes + class] };
    let coefficients = (0..width).flat_map(|i| (0..classes).map(move |class| at(i, class))).collect();
    let intercept = bias.as_f32().ok().filter(|bias| bias.len() == classes)?.to_vec();
    Some(LastLayer { features: node.inputs[0]?, weights: Weights { width, classes, coefficients, intercept } })
}
