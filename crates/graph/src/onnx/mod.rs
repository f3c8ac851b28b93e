//! Model files: ONNX in and out.
//!
//! A model file is an ONNX file and nothing else: any runtime loads what Percept writes, and Percept loads what others write, as far as
//! they use its operators. Each operator's mapping stands beside its shape rule in [`ops`](crate::ops); this module holds what all
//! mappings share. Files are untrusted: every size is checked against the file's own length before memory is taken.

mod node;
mod proto;
mod read;
mod tensor;
mod write;

pub use node::{NodeReader, NodeWriter};
pub(crate) use tensor::{code as tensor_code, dtype as tensor_dtype};

use crate::{Error, Graph, Params};
use std::collections::BTreeMap;
use std::path::Path;

/// The opset that is written: 17 (ONNX 1.12, 2022) has nearly every operator here, and all runtimes and converters in use read it. A network with
/// an operator that came later is written with the first opset that has it (see [`Operator::opset`](crate::ops::Operator::opset)).
pub const OPSET: i64 = 17;
/// The oldest opset that is read.
pub const OLDEST_OPSET: i64 = 11;
/// The newest opset that is read: that of ONNX 1.23.
pub const NEWEST_OPSET: i64 = 28;
/// Protocol buffers end at 2 GiB.
const MAX_BYTES: u64 = 1 << 31;

/// A network with its parameters and what its file says about it.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The network.
    pub graph: Graph,
    /// Its parameters.
    pub params: Params,
    /// Text by key: labels, licence, preprocessing and so on.
    pub metadata: BTreeMap<String, String>,
}

impl Model {
    /// Reads an ONNX file; every error names the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Model { file: path.display().to_string(), reason };
        let info = std::fs::metadata(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        if !info.is_file() || info.len() > MAX_BYTES {
            let reason = if info.is_file() { "is larger than 2 GiB" } else { "is not a file" };
            return Err(wrong(reason.into()));
        }
        let bytes = std::fs::read(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        Self::from_bytes(&bytes).map_err(|e| wrong(e.to_string()))
    }

    /// Reads an encoded model.
    ///
    /// ```
    /// use percept_graph::{Builder, DType, onnx::Model};
    ///
    /// let net = Builder::new("net");
    /// let y = net.input("x", DType::F32, ["N".into(), 4.into()]).relu();
    /// let model = Model { graph: net.finish(&[("y", y)])?, ..Model::default() };
    /// let again = Model::from_bytes(&model.to_bytes()?)?;
    /// assert_eq!(again.graph.nodes()[0].op, model.graph.nodes()[0].op);
    /// assert!(Model::from_bytes(b"not a model").is_err());
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        read::model(bytes)
    }

    /// Encodes the model; an error if the graph cannot be expressed or a parameter is missing.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        write::model(self)
    }

    /// Writes an ONNX file: under a temporary name first, so that a file of that name is either the old or the new one.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let bytes = self.to_bytes()?;
        crate::write_file(path, &bytes)
            .map_err(|e| Error::Model { file: path.display().to_string(), reason: format!("cannot be written: {e}") })
    }
}
