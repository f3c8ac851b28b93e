//! Tensors that belong to no device or layout: how parameters and constants are held, read and written.

use crate::{Dim, Error};
use std::collections::BTreeMap;
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DType {
    F32,
    F64,
    I64,
    I32,
    I8,
    U8,
    Bool,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::Bool => "bool",
        })
    }
}

/// The elements of a tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum TensorData {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    I32(Vec<i32>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    Bool(Vec<bool>),
}

impl TensorData {
    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
            Self::I64(_) => DType::I64,
            Self::I32(_) => DType::I32,
            Self::I8(_) => DType::I8,
            Self::U8(_) => DType::U8,
            Self::Bool(_) => DType::Bool,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I8(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A dense array: a shape and as many elements, in row-major order.
///
/// ```
/// use percept_graph::{DType, Tensor};
///
/// let t = Tensor::f32([2, 2], vec![1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!((t.dtype(), t.shape(), t.as_f32()?[3]), (DType::F32, &[2, 2][..], 4.0));
/// assert!(Tensor::f32([3], vec![1.0]).is_err());
/// # Ok::<(), percept_graph::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

/// Parameters by name: outside of graphs and plans, so that graphs can share them.
pub type Params = BTreeMap<String, Tensor>;

impl Tensor {
    /// A tensor of `shape`; an error if the number of elements differs.
    pub fn new(shape: impl Into<Vec<usize>>, data: TensorData) -> Result<Self, Error> {
        let shape = shape.into();
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if elements != Some(data.len()) {
            return Err(Error::ElementCount { shape, elements: data.len() });
        }
        Ok(Self { shape, data })
    }

    /// A tensor of 32-bit floats; an error if the number of elements does not match `shape`.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self, Error> {
        Self::new(shape, TensorData::F32(data))
    }

    /// A tensor of one f32 and no dimensions.
    pub fn scalar(value: f32) -> Self {
        Self { shape: Vec::new(), data: TensorData::F32(vec![value]) }
    }

    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// The elements, taken out of the tensor.
    pub fn into_data(self) -> TensorData {
        self.data
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Element type and shape.
    pub fn ty(&self) -> TensorType {
        TensorType::new(self.dtype(), self.shape.iter().map(|&size| size.into()))
    }

    /// The elements as f32; an error for any other element type.
    pub fn as_f32(&self) -> Result<&[f32], Error> {
        match &self.data {
            TensorData::F32(data) => Ok(data),
            other => Err(Error::ElementType { expected: DType::F32, found: other.dtype() }),
        }
    }

    /// The elements as i64; an error for any other element type.
    pub fn as_i64(&self) -> Result<&[i64], Error> {
        match &self.data {
            TensorData::I64(data) => Ok(data),
            other => Err(Error::ElementType { expected: DType::I64, found: other.dtype() }),
        }
    }
}

/// What is known of a tensor before it is computed: element type and shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The element type.
    pub dtype: DType,
    /// The size of each axis.
    pub shape: Vec<Dim>,
}

impl TensorType {
    /// The type with these elements and axes.
    pub fn new(dtype: DType, shape: impl IntoIterator<Item = Dim>) -> Self {
        Self { dtype, shape: shape.into_iter().collect() }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The shape as numbers; an error naming the first axis whose size is unknown.
    pub fn concrete(&self) -> Result<Vec<usize>, Error> {
        let none = crate::Bindings::new();
        self.shape
            .iter()
            .map(|dim| dim.eval(&none).ok_or_else(|| Error::UnknownSize { dim: dim.to_string(), ty: self.to_string() }))
            .collect()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, dim) in self.shape.iter().enumerate() {
            write!(f, "{}{dim}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str("]")
    }
}
