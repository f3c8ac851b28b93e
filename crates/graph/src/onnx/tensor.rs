//! `TensorProto` to and from [`Tensor`].

use super::proto::TensorProto;
use crate::{DType, Tensor, TensorData};

/// `TensorProto.DataType` of an element type.
pub(crate) fn code(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I8 => 3,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F64 => 11,
    }
}

/// The element type of a `TensorProto.DataType`.
pub(crate) fn dtype(code: i64) -> Result<DType, String> {
    const NAMES: [&str; 17] = [
        "undefined",
        "float",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "double",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    Ok(match code {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        11 => DType::F64,
        _ => {
            let name = usize::try_from(code).ok().and_then(|i| NAMES.get(i)).copied().unwrap_or("unknown");
            return Err(format!("element type {name} ({code}) is not supported"));
        }
    })
}

/// The tensor of a message; its data must fill its dimensions.
pub(super) fn read(proto: TensorProto) -> Result<Tensor, String> {
    if proto.data_location != 0 {
        return Err("its data lies in another file: save the model with its weights inside".into());
    }
    let shape: Vec<usize> = proto
        .dims
        .iter()
        .map(|&size| usize::try_from(size).map_err(|_| format!("dimension {size} is negative")))
        .collect::<Result<_, _>>()?;
    let raw = &proto.raw_data;
    let narrow = |list: Vec<i32>| list.into_iter();
    let wrong = |value: i32| format!("{value} is out of range");
    let data = match (dtype(proto.data_type.into())?, raw.is_empty()) {
        (DType::F32, true) => TensorData::F32(proto.float_data),
        (DType::F64, true) => TensorData::F64(proto.double_data),
        (DType::I64, true) => TensorData::I64(proto.int64_data),
        (DType::I32, true) => TensorData::I32(proto.int32_data),
        (DType::I8, true) => {
            let values = narrow(proto.int32_data).map(|x| i8::try_from(x).map_err(|_| wrong(x)));
            TensorData::I8(values.collect::<Result<_, _>>()?)
        }
        (DType::U8, true) => {
            let values = narrow(proto.int32_data).map(|x| u8::try_from(x).map_err(|_| wrong(x)));
            TensorData::U8(values.collect::<Result<_, _>>()?)
        }
        (DType::Bool, true) => TensorData::Bool(narrow(proto.int32_data).map(|x| x != 0).collect()),
        (DType::F32, false) => TensorData::F32(from_raw(raw, f32::from_le_bytes)?),
        (DType::F64, false) => TensorData::F64(from_raw(raw, f64::from_le_bytes)?),
        (DType::I64, false) => TensorData::I64(from_raw(raw, i64::from_le_bytes)?),
        (DType::I32, false) => TensorData::I32(from_raw(raw, i32::from_le_bytes)?),
        (DType::I8, false) => TensorData::I8(from_raw(raw, i8::from_le_bytes)?),
        (DType::U8, false) => TensorData::U8(proto.raw_data),
        (DType::Bool, false) => TensorData::Bool(raw.iter().map(|&x| x != 0).collect()),
    };
    Tensor::new(shape, data).map_err(|e| e.to_string())
}

fn from_raw<const N: usize, T>(raw: &[u8], convert: impl Fn([u8; N]) -> T) -> Result<Vec<T>, String> {
    let (elements, rest) = raw.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are not a whole number of elements", raw.len()));
    }
    Ok(elements.iter().map(|bytes| convert(*bytes)).collect())
}

/// The message of a tensor.
pub(super) fn write(name: &str, tensor: &Tensor) -> TensorProto {
    fn bytes<const N: usize, T: Copy>(data: &[T], convert: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        data.iter().flat_map(|&x| convert(x)).collect()
    }
    TensorProto {
        dims: tensor.shape().iter().map(|&size| size as i64).collect(),
        data_type: code(tensor.dtype()),
        name: name.into(),
        raw_data: match tensor.data() {
            TensorData::F32(data) => bytes(data, f32::to_le_bytes),
            TensorData::F64(data) => bytes(data, f64::to_le_bytes),
            TensorData::I64(data) => bytes(data, i64::to_le_bytes),
            TensorData::I32(data) => bytes(data, i32::to_le_bytes),
            TensorData::I8(data) => bytes(data, i8::to_le_bytes),
            TensorData::U8(data) => data.clone(),
            TensorData::Bool(data) => bytes(data, |x| [u8::from(x)]),
        },
        ..TensorProto::default()
    }
}
