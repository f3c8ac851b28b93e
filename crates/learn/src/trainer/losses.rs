//! The usual losses behind the outputs of a network that does not compute its own.

use crate::{Error, Result};
use percept_graph::ops::{self, Add, Constant, LossKind, Mul, ReduceMean, Reduction, Sub};
use percept_graph::{DType, Graph, Tensor, ValueId};
use std::sync::Arc;

/// What is minimised of an output `[N, C]` of a network; of several outputs it is the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Mean over the batch of `−Σ targets · log softmax(output)`. Targets `[N, C]` are probabilities; a row that counts less, or not at all,
    /// has them multiplied by its weight.
    CrossEntropy,
    /// Half the mean of `weights · (output − targets)²`, for targets `[N, C]` and, as a list of their own after them, weights `[N, C]`.
    SquaredError,
}

impl Loss {
    /// How many lists of numbers it takes beside the output.
    pub fn lists(self) -> usize {
        match self {
            Loss::CrossEntropy => 1,
            Loss::SquaredError => 2,
        }
    }

    /// The loss of an output.
    fn of(self, graph: &mut Graph, output: ValueId, lists: &[ValueId]) -> Result<ValueId> {
        match self {
            Loss::CrossEntropy => {
                let kind = LossKind::SoftmaxCrossEntropy { ignore_index: -1, label_smoothing: 0.0 };
                Ok(graph.add(ops::Loss { kind, reduction: Reduction::Mean }, &[output, lists[0]])?)
            }
            Loss::SquaredError => {
                let error = graph.add(Sub, &[output, lists[0]])?;
                let square = graph.add(Mul, &[error, error])?;
                let weighted = graph.add(Mul, &[square, lists[1]])?;
                let mean = graph.add(ReduceMean { axes: None, keepdims: false }, &[weighted])?;
                let half = graph.add(Constant { value: Arc::new(Tensor::scalar(0.5)) }, &[])?;
                Ok(graph.add(Mul, &[mean, half])?)
            }
        }
    }
}

/// A network whose one output is the sum of the losses of its outputs; what these take are further inputs, `targets`, `targets.1` and so on.
///
/// ```
/// use percept_graph::{Builder, DType};
/// use percept_learn::trainer::{Loss, with_losses};
///
/// let net = Builder::new("line");
/// let y = net.input("x", DType::F32, ["N".into(), 1.into()]).linear("fc", 1);
/// let graph = with_losses(&net.finish(&[("y", y)])?, &[Loss::SquaredError])?;
/// let inputs: Vec<_> = graph.inputs().iter().map(|&id| graph.value(id).name.as_str()).collect();
/// assert_eq!(inputs, ["x", "targets", "targets.1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Another number of losses than outputs, or an output that is not `[N, C]`.
pub fn with_losses(network: &Graph, losses: &[Loss]) -> Result<Graph> {
    let outputs = network.outputs().to_vec();
    if losses.is_empty() || losses.len() != outputs.len() {
        let (name, outputs) = (&network.name, outputs.len());
        let text =
            format!("\"{name}\" has {outputs} outputs, but {} are to be trained: one output for each", losses.len());
        return Err(Error::Network(text));
    }
    let mut graph = network.clone();
    let (mut sum, mut count) = (None, 0);
    for (&output, &loss) in outputs.iter().zip(losses) {
        let ty = graph.value(output).ty.clone();
        let is_const = ty.shape.get(1).is_some_and(|dim| dim.as_const().is_some());
        if ty.rank() != 2 || ty.dtype != DType::F32 || !is_const {
            return Err(Error::Network(format!("a classifier gives [N, classes], not {ty}")));
        }
        let mut lists = Vec::new();
        for _ in 0..loss.lists() {
            let name = if count == 0 { "targets".into() } else { format!("targets.{count}") };
            lists.push(graph.add_input(name, ty.clone())?);
            count += 1;
        }
        let one = loss.of(&mut graph, output, &lists)?;
        sum = Some(match sum {
            Some(sum) => graph.add(Add, &[sum, one])?,
            None => one,
        });
    }
    graph.set_outputs(sum.into_iter().collect::<Vec<_>>());
    Ok(graph)
}
