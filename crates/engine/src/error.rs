//! What can go wrong when a network is planned or run.

/// An error of this crate; the message names the input, node or operator concerned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph or its parameters are at fault.
    #[error(transparent)]
    Graph(#[from] percept_graph::Error),
    /// What was given for an input does not fit it.
    #[error("input \"{name}\": {reason}")]
    Input {
        /// The input's name in the graph.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The engine cannot run a node.
    #[error("node \"{node}\" ({op}): {reason}")]
    Node {
        /// The node's name.
        node: String,
        /// The operator's ONNX name.
        op: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A network needs more memory than it may have.
    #[error("the network needs {needed} MB of memory for its activations, more than the limit of {limit} MB")]
    OutOfMemory {
        /// Megabytes needed.
        needed: usize,
        /// Megabytes allowed.
        limit: usize,
    },
    /// `PERCEPT_ISA` or `PERCEPT_THREADS` asks for something that is not there.
    #[error("{0}")]
    Setting(String),
}
