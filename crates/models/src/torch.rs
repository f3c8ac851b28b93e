//! Weights out of PyTorch's legacy `.pth` files.
//!
//! Such a file is five pickles followed by the raw storages (`torch/serialization.py`, `_legacy_save`). A pickle is a program;
//! this reader understands the few instructions that a dictionary of tensors needs and three functions by name, and refuses every
//! other. Objects live in one flat list and refer to each other by index, so nothing nests, nothing recurses, and a file cannot ask
//! for more memory than a fixed multiple of its own size.

mod machine;

use machine::{Machine, Object, Reader, Value};
use percept_graph::{DType, Tensor, TensorData};
use std::collections::{BTreeMap, HashMap};

/// The first pickle of a legacy file: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The tensors of a state dictionary by name; an error says what the file contains that is not a tensor, or where it breaks off.
///
/// ```
/// let error = percept_models::torch::read(b"not a pickle").unwrap_err();
/// assert!(error.contains("not a legacy PyTorch file"));
/// ```
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let mut reader = Reader::new(bytes);
    let foreign = || "is not a legacy PyTorch file".to_string();
    let mut header = Machine::new();
    match header.run(&mut reader).map_err(|_| foreign())? {
        Value::Ref(id) if matches!(&header.objects[id], Object::Long(bytes) if bytes[..] == MAGIC) => {}
        _ => return Err(foreign()),
    }
    if Machine::new().run(&mut reader)? != Value::Int(1001) {
        return Err("has another protocol version than 1001".into());
    }
    Machine::new().run(&mut reader)?; // The system that wrote it; every one in use is little-endian.
    let mut machine = Machine::new();
    let state = machine.run(&mut reader)?;
    let storages = storages(&mut reader, &machine)?;
    let Some(Object::Dict(entries)) = machine.object(state) else {
        return Err("holds no dictionary of tensors".into());
    };
    let mut tensors = BTreeMap::new();
    for (key, value) in entries {
        let (Some(Object::Text(name)), Some(tensor)) = (machine.object(*key), machine.object(*value)) else {
            return Err("holds something that is not a tensor".into());
        };
        let tensor = tensor_of(tensor, &machine, &storages).map_err(|reason| format!("tensor \"{name}\" {reason}"))?;
        tensors.insert(name.clone(), tensor);
    }
    Ok(tensors)
}

/// The raw bytes of each storage, by key: they follow in the order of a pickled list of keys, each after its length.
fn storages<'b>(reader: &mut Reader<'b>, machine: &Machine) -> Result<HashMap<String, &'b [u8]>, String> {
    let mut keys = Machine::new();
    let list = keys.run(reader)?;
    let Some(Object::List(list)) = keys.object(list) else { return Err("lists no storages".into()) };
    let types: HashMap<&str, DType> = machine.storages().collect();
    let mut storages = HashMap::new();
    for key in list {
        let Some(Object::Text(key)) = keys.object(*key) else {
            return Err("names a storage by something else than text".into());
        };
        let dtype = types.get(key.as_str()).ok_or_else(|| format!("has a storage {key} that no tensor uses"))?;
        let elements = u64::from_le_bytes(reader.array()?);
        let len = usize::try_from(elements).ok().and_then(|n| n.checked_mul(dtype.size()));
        storages.insert(key.clone(), reader.take(len.ok_or("has a storage of impossible size")?)?);
    }
    Ok(storages)
}

fn tensor_of(object: &Object, machine: &Machine, storages: &HashMap<String, &[u8]>) -> Result<Tensor, String> {
    let Object::Tensor { storage, offset, size, stride } = object else { return Err("is something else".into()) };
    let Object::Storage { key, dtype } = &machine.objects[*storage] else { return Err("has no storage".into()) };
    let bytes = storages.get(key).ok_or("has no storage")?;
    let available = bytes.len() / dtype.size();
    let elements = size.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let last = size
        .iter()
        .zip(stride)
        .try_fold(*offset, |last, (&n, &step)| last.checked_add(n.saturating_sub(1).checked_mul(step)?));
    let elements = elements.filter(|&n| n <= available).ok_or("is larger than its storage")?;
    if size.len() != stride.len() || (elements > 0 && last.is_none_or(|last| last >= available)) {
        return Err("reaches beyond its storage".into());
    }
    let place = |mut i: usize| {
        let mut place = *offset;
        for (&n, &step) in size.iter().zip(stride).rev() {
            place += i % n * step;
            i /= n;
        }
        place
    };
    fn gather<const N: usize, T>(
        bytes: &[u8],
        elements: usize,
        place: impl Fn(usize) -> usize,
        convert: impl Fn([u8; N]) -> T,
    ) -> Vec<T> {
        let all = bytes.as_chunks::<N>().0;
        (0..elements).map(|i| convert(all[place(i)])).collect()
    }
    let data = match dtype {
        DType::F32 => TensorData::F32(gather(bytes, elements, place, f32::from_le_bytes)),
        DType::F64 => TensorData::F64(gather(bytes, elements, place, f64::from_le_bytes)),
        DType::I64 => TensorData::I64(gather(bytes, elements, place, i64::from_le_bytes)),
        other => return Err(format!("has elements of {other}")),
    };
    Tensor::new(size.clone(), data).map_err(|e| e.to_string())
}
