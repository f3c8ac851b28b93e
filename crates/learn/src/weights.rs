//! Named tensors in safetensors files: how parameters go to other tools and come back, and what a [`checkpoint`](crate::checkpoint) is made of.
//!
//! [`save`] and [`load`] are for the parameters of a network: the file is as PyTorch has it, under its names and in its order of gates, so
//! `module.load_state_dict(safetensors.torch.load_file(path))` takes it, and what `save_file(module.state_dict(), path)` wrote comes in.
//!
//! safetensors (<https://github.com/huggingface/safetensors>) holds numbers and nothing that can run: a header of JSON that says where each
//! tensor lies, then their bytes. Every length is held against the size of the file before anything of that size is asked for.

use crate::{Error, Result};
use bytemuck::Pod;
use half::{bf16, f16};
use percept_graph::{Graph, Params, Tensor, TensorData, pytorch, write_file};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View, serialize};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What a file says about itself: texts by name.
pub type Metadata = HashMap<String, String>;

/// The most bytes that a header may have, as other readers of safetensors have it.
const MOST_HEADER: u64 = 100_000_000;

/// What PyTorch's batch normalisation counts its steps in: nothing is computed with it, and its own files may lack it.
const COUNT: &str = "num_batches_tracked";

/// Writes the parameters of a network as PyTorch has them.
///
/// ```
/// use percept_graph::{Builder, DType, Recurrence};
/// use percept_learn::weights;
///
/// let net = Builder::new("net");
/// let x = net.input("x", DType::F32, ["T".into(), "B".into(), 3.into()]);
/// let graph = net.finish(&[("y", x.gru("gru", 2, Recurrence::default()).sequence)])?;
/// let params = percept_models::initialize(&graph, 0)?;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("gru.safetensors");
/// weights::save(&path, &graph, &params)?;
/// assert_eq!(weights::read(&path)?["gru.weight_ih_l0"].shape(), [6, 3]);
/// assert_eq!(weights::load(&path, &graph)?, params);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A parameter without a value or with one of another type, a file that cannot be written.
pub fn save(path: &Path, graph: &Graph, params: &Params) -> Result<()> {
    graph.check_params(params)?;
    let own = |value: &percept_graph::Value| Some((value.name.clone(), params.get(&value.name)?.clone()));
    let mut params: Params = graph.parameters().filter_map(own).collect();
    pytorch::to_pytorch(graph, &mut params)?;
    write(path, &params, &Metadata::from([("format".into(), "pt".into())]))
}

/// Reads the parameters of a network that [`save`] or PyTorch wrote.
///
/// As `load_state_dict` with `strict=True`, it wants all parameters and no others, but passes over the steps that PyTorch's batch normalisation
/// counts.
///
/// # Errors
/// As [`read`]; a tensor that is missing, has another shape or type, or belongs to no parameter.
pub fn load(path: &Path, graph: &Graph) -> Result<Params> {
    let mut params = read(path)?;
    params.retain(|name, _| name.rsplit('.').next() != Some(COUNT));
    let wrong = |reason| Error::OtherWeights { path: path.into(), network: graph.name.clone(), reason };
    pytorch::from_pytorch(graph, &mut params).map_err(|e| wrong(e.to_string()))?;
    graph.check_params(&params).map_err(|e| wrong(e.to_string()))?;
    let known: HashSet<_> = graph.parameters().map(|value| &value.name).collect();
    match params.keys().find(|name| !known.contains(name)) {
        Some(name) => Err(wrong(format!("tensor \"{name}\" is none of its parameters"))),
        None => Ok(params),
    }
}

/// Writes tensors into a file, which is replaced whole or not at all.
///
/// ```
/// use percept_graph::{Params, Tensor};
/// use percept_learn::weights;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("model.safetensors");
/// let params: Params = [("fc.weight".to_string(), Tensor::f32([1, 2], vec![0.5, -0.5])?)].into();
/// weights::write(&path, &params, &weights::Metadata::new())?;
/// assert_eq!(weights::read(&path)?, params);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A file that cannot be written.
pub fn write(path: &Path, params: &Params, metadata: &Metadata) -> Result<()> {
    write_tensors(path, params.iter().map(|(name, tensor)| (&name[..], Stored::tensor(tensor))), metadata)
}

/// Reads all tensors of a file.
///
/// Floating-point numbers of 16, 32 and 64 bits become f32, integers and booleans stay what they are.
///
/// # Errors
/// A file that cannot be read or is damaged, and tensors of other types.
pub fn read(path: &Path) -> Result<Params> {
    Ok(read_with_metadata(path)?.0)
}

/// The same, with what the file says about itself.
///
/// # Errors
/// As [`read`].
pub fn read_with_metadata(path: &Path) -> Result<(Params, Metadata)> {
    let wrong = |reason: String| Error::Weights { path: path.into(), reason };
    let bytes = read_file(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    let tensor = |(name, view): (&str, TensorView<'_>)| {
        let data = decoded(&view).ok_or_else(|| {
            wrong(format!("tensor \"{name}\" is of type {:?}: write it as f32, f16 or bf16", view.dtype()))
        })?;
        Ok((name.to_string(), Tensor::new(view.shape(), data)?))
    };
    Ok((tensors.iter().map(tensor).collect::<Result<_>>()?, header.metadata().clone().unwrap_or_default()))
}

/// The bytes of a file whose header, as its first eight bytes say, can be one.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::Io { action: "read", path: path.into(), source };
    let mut file = File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    let mut bytes = Vec::new();
    if about.is_file() {
        file.by_ref().take(8).read_to_end(&mut bytes).map_err(io)?;
    }
    let header = bytes[..].try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
    if header > MOST_HEADER.min(about.len() - bytes.len() as u64) {
        let reason = "it does not begin with the length of a header".into();
        return Err(Error::Weights { path: path.into(), reason });
    }
    file.read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// The elements of a tensor; nothing if they are of a type that no tensor here has.
fn decoded(view: &TensorView<'_>) -> Option<TensorData> {
    fn each<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.chunks_exact(N).map(|bytes| f(std::array::from_fn(|i| bytes[i]))).collect()
    }
    let bytes = view.data();
    Some(match view.dtype() {
        Dtype::F32 => TensorData::F32(each(bytes, f32::from_le_bytes)),
        Dtype::F16 => TensorData::F32(each(bytes, |bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => TensorData::F32(each(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        Dtype::F64 => TensorData::F32(each(bytes, |bytes| f64::from_le_bytes(bytes) as f32)),
        Dtype::I64 => TensorData::I64(each(bytes, i64::from_le_bytes)),
        Dtype::I32 => TensorData::I32(each(bytes, i32::from_le_bytes)),
        Dtype::I8 => TensorData::I8(each(bytes, i8::from_le_bytes)),
        Dtype::U8 => TensorData::U8(bytes.to_vec()),
        Dtype::BOOL => TensorData::Bool(each(bytes, |[byte]| byte != 0)),
        _ => return None,
    })
}

/// Writes tensors by name.
pub(crate) fn write_tensors<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (&'a str, Stored<'a>)>,
    metadata: &Metadata,
) -> Result<()> {
    let metadata = (!metadata.is_empty()).then(|| metadata.clone());
    let file = serialize(tensors, metadata)
        .map_err(|e| Error::Weights { path: path.into(), reason: format!("it cannot be written: {e}") })?;
    write_file(path, &file).map_err(|source| Error::Io { action: "write", path: path.into(), source })
}

/// A tensor as it stands in a file.
pub(crate) struct Stored<'a> {
    dtype: Dtype,
    shape: Cow<'a, [usize]>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Stored<'a> {
    /// A list of numbers.
    pub(crate) fn list(list: &'a [f32]) -> Self {
        Self { dtype: Dtype::F32, shape: vec![list.len()].into(), bytes: little_endian(list, f32::to_le_bytes) }
    }

    fn tensor(tensor: &'a Tensor) -> Self {
        let (dtype, bytes) = match tensor.data() {
            TensorData::F32(data) => (Dtype::F32, little_endian(data, f32::to_le_bytes)),
            TensorData::F64(data) => (Dtype::F64, little_endian(data, f64::to_le_bytes)),
            TensorData::I64(data) => (Dtype::I64, little_endian(data, i64::to_le_bytes)),
            TensorData::I32(data) => (Dtype::I32, little_endian(data, i32::to_le_bytes)),
            TensorData::I8(data) => (Dtype::I8, little_endian(data, i8::to_le_bytes)),
            TensorData::U8(data) => (Dtype::U8, data.into()),
            TensorData::Bool(data) => (Dtype::BOOL, data.iter().map(|&bit| bit.into()).collect()),
        };
        Self { dtype, shape: tensor.shape().into(), bytes }
    }
}

fn little_endian<T: Pod, const N: usize>(values: &[T], f: impl Fn(T) -> [u8; N]) -> Cow<'_, [u8]> {
    match cfg!(target_endian = "little") {
        true => bytemuck::cast_slice(values).into(),
        false => values.iter().flat_map(|&value| f(value)).collect(),
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        (&*self.bytes).into()
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests;
