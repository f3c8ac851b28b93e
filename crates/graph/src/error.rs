//! What can be wrong with a graph, a tensor or a model file.

use crate::DType;

/// An error of this crate; the message names the node, operator, shapes or file concerned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operator cannot take what it was given.
    #[error("node \"{node}\" ({op}) with inputs ({inputs}): {reason}")]
    Node {
        /// The node's name.
        node: String,
        /// The operator's ONNX name.
        op: &'static str,
        /// The types of the inputs.
        inputs: String,
        /// What is wrong.
        reason: String,
    },
    /// An operator of a model file cannot be read or written.
    #[error("operator {op} of node \"{node}\": {reason}")]
    Operator {
        /// The operator's name in the file.
        op: String,
        /// The node's name.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// An encoded model is at fault.
    #[error("{0}")]
    Format(String),
    /// A model file is at fault.
    #[error("{file}: {reason}")]
    Model {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A tensor's data does not fill its shape.
    #[error("{elements} elements do not fill the shape {shape:?}")]
    ElementCount {
        /// The shape asked for.
        shape: Vec<usize>,
        /// The number of elements given.
        elements: usize,
    },
    /// A tensor has another element type than is needed.
    #[error("elements are {found}, {expected} is needed")]
    ElementType {
        /// The type needed.
        expected: DType,
        /// The type found.
        found: DType,
    },
    /// A size is asked for that depends on a symbol without a value.
    #[error("the size {dim} of {ty} is not known: bind its symbols first")]
    UnknownSize {
        /// The dimension.
        dim: String,
        /// The whole type.
        ty: String,
    },
    /// A name stands for two different things.
    #[error("\"{0}\" is defined twice with different types")]
    Redefined(String),
    /// A graph is asked for something it does not have.
    #[error("graph \"{graph}\" has no value called \"{name}\"")]
    NoSuchValue {
        /// The graph's name.
        graph: String,
        /// The name asked for.
        name: String,
    },
    /// A parameter is missing from the store, or differs from what the graph declares.
    #[error("parameter \"{name}\": {reason}")]
    Parameter {
        /// The parameter's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    pub(crate) fn parameter(name: &str, reason: impl Into<String>) -> Self {
        Self::Parameter { name: name.into(), reason: reason.into() }
    }
}
