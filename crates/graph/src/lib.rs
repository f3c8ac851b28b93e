//! What a network is: one [`Graph`] of operators with ONNX names and meaning.
//!
//! Gradients, folding, export and the planner are all walks over this one structure, so what was trained is, operator for
//! operator, what is exported and what runs on the phone. The contract that the other crates lean on:
//!
//! - A dimension is an expression over named symbols ([`Dim`]), not a number with one special case for the batch.
//! - Parameters live outside graphs, by name ([`Params`]), so that two graphs can share them.
//! - All state is explicit input and output; an operator is a pure function of its inputs and attributes.
//! - What an operator must know to infer shapes (axes, pads, target shapes) is an attribute, even where ONNX passes it as an
//!   input: reading turns a constant input into the attribute, writing turns it back.
//!
//! ```
//! use percept_graph::{Builder, DType};
//!
//! let net = Builder::new("LeNet-5");
//! let logits = net
//!     .input("image", DType::F32, ["N".into(), 1.into(), 28.into(), 28.into()])
//!     .conv("conv1", 6, 5, |conv| conv.padding(2)).tanh().average_pool(2, 2)
//!     .conv("conv2", 16, 5, |conv| conv).tanh().average_pool(2, 2)
//!     .flatten()
//!     .linear("fc1", 120).tanh()
//!     .linear("fc2", 84).tanh()
//!     .linear("fc3", 10);
//! let graph = net.finish(&[("logits", logits)])?;
//! assert_eq!(graph.value(graph.outputs()[0]).ty.to_string(), "f32[N, 10]");
//! # Ok::<(), percept_graph::Error>(())
//! ```

mod builder;
mod dim;
mod error;
mod file;
mod graph;
pub mod onnx;
pub mod ops;
pub mod pytorch;
pub mod rewrite;
mod tensor;

pub use builder::{Builder, DIRECTION, Recurrence, States, Var};
pub use dim::{Bindings, Dim};
pub use error::Error;
pub use file::write_file;
pub use graph::{Graph, Node, NodeId, Source, Value, ValueId};
pub use ops::Op;
pub use tensor::{DType, Params, Tensor, TensorData, TensorType};
