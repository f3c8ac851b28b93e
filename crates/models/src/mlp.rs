//! The multilayer perceptron: fully connected layers with ReLU between them, as a table of widths.
//!
//! Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323, 1986, showed that its hidden layers
//! can learn. ReLU instead of the sigmoid; last come logits. A single unit that learns by its mistakes alone is Rosenblatt's perceptron,
//! `percept_learn::perceptron`.

use crate::lenet::grey_pictures;
use percept_graph::{Builder, Error, Graph, Var};

/// Units of the hidden layers of [`classifier`].
const HIDDEN: [usize; 2] = [256, 128];

/// Fully connected layers `fc1`, `fc2` … of these widths, from rows `[N, features]` to rows of the last width; ReLU follows all but the last.
///
/// ```
/// use percept_graph::{Builder, DType};
/// use percept_models::mlp::layers;
///
/// let net = Builder::new("xor");
/// let graph = net.finish(&[("logits", layers(net.input("x", DType::F32, ["N".into(), 2.into()]), &[8, 2]))])?;
/// assert_eq!(graph.value(graph.find("fc1.weight")?).ty.concrete()?, [8, 2]);
/// assert_eq!(graph.value(graph.outputs()[0]).ty.to_string(), "f32[N, 2]");
/// # Ok::<(), percept_graph::Error>(())
/// ```
pub fn layers<'b>(x: Var<'b>, widths: &[usize]) -> Var<'b> {
    widths.iter().enumerate().fold(x, |x, (i, &width)| {
        let x = if i == 0 { x } else { x.relu() };
        x.linear(&format!("fc{}", i + 1), width)
    })
}

/// The network from byte pictures `[N, size, size, 3]` to `classes` logits, over 256 and 128 hidden units; pictures are grey, as
/// [`lenet`](crate::lenet) has them.
///
/// ```
/// use percept_models::mlp::classifier;
///
/// let graph = classifier("mlp", 28, 10)?;
/// let shape = |name| graph.value(graph.find(name)?).ty.concrete();
/// assert_eq!([shape("fc1.weight")?, shape("fc2.weight")?, shape("fc3.weight")?], [[256, 784], [128, 256], [10, 128]]);
/// # Ok::<(), percept_graph::Error>(())
/// ```
///
/// # Errors
///
/// If the picture has no pixels, or there are no classes.
pub fn classifier(name: &str, size: usize, classes: usize) -> Result<Graph, Error> {
    let net = Builder::new(name);
    let logits = layers(grey_pictures(&net, size).flatten(), &[HIDDEN[0], HIDDEN[1], classes]);
    net.finish(&[("logits", logits)])
}
