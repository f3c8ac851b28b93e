//! The usual losses ([`loss`](crate::loss)) behind the outputs of a network that does not compute its own.

use crate::loss::{CrossEntropy, cross_entropy};
use crate::{Error, Result};
use percept_graph::ops::ReduceMean;
use percept_graph::{Builder, DType, Graph, Tensor, Var};

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
    fn of<'b>(self, net: &'b Builder, output: Var<'b>, lists: &[Var<'b>]) -> Var<'b> {
        match self {
            Loss::CrossEntropy => cross_entropy(output, lists[0], CrossEntropy::default()),
            Loss::SquaredError => {
                // Not `mse_loss`, whose mean divides by the weights: what counts less here does not make the rest count more.
                let error = output - lists[0];
                let mean = ReduceMean { axes: None, keepdims: false };
                (error * error * lists[1]).apply(mean, &[]) * net.constant(Tensor::scalar(0.5))
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
    let net = Builder::from_graph(network.clone());
    let (mut sum, mut count): (Option<Var<'_>>, _) = (None, 0);
    for (&output, &loss) in outputs.iter().zip(losses) {
        let value = network.value(output);
        let ty = &value.ty;
        let is_const = ty.shape.get(1).is_some_and(|dim| dim.as_const().is_some());
        if ty.rank() != 2 || ty.dtype != DType::F32 || !is_const {
            return Err(Error::Network(format!("a classifier gives [N, classes], not {ty}")));
        }
        let mut lists = Vec::new();
        for _ in 0..loss.lists() {
            let name = if count == 0 { "targets".into() } else { format!("targets.{count}") };
            lists.push(net.input(&name, ty.dtype, ty.shape.clone()));
            count += 1;
        }
        let one = loss.of(&net, net.find(&value.name), &lists);
        sum = Some(sum.map_or(one, |sum| sum + one));
    }
    let ids: Vec<_> = sum.iter().map(|sum| sum.id()).collect();
    let mut graph = net.finish(&[])?;
    graph.set_outputs(ids);
    Ok(graph)
}
