//! The part of pickle's stack machine (Python's `pickletools`) that tensors need.

use percept_graph::DType;
use std::collections::HashMap;

/// Bytes that are consumed from the front.
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'b [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or("breaks off: it was not copied whole")?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "breaks off".into())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn line(&mut self) -> Result<&'b str, String> {
        let end = self.bytes.iter().position(|&b| b == b'\n').ok_or("breaks off: it was not copied whole")?;
        let line = self.take(end)?;
        self.byte()?;
        std::str::from_utf8(line).map_err(|_| "names something in another encoding than UTF-8".into())
    }
}

/// What the stack holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    /// `None`, `True` and `False`: nothing depends on which.
    Plain,
    Mark,
    /// An index into the machine's objects.
    Ref(usize),
}

/// What values refer to.
#[derive(Debug)]
pub(super) enum Object {
    Long(Vec<u8>),
    Text(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Function(Function),
    Storage { key: String, dtype: DType },
    Tensor { storage: usize, offset: usize, size: Vec<usize>, stride: Vec<usize> },
}

/// The names that a file may mention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    OrderedDict,
    RebuildTensor,
    Storage(DType),
}

impl Function {
    fn find(module: &str, name: &str) -> Result<Self, String> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch", "FloatStorage") => Self::Storage(DType::F32),
            ("torch", "DoubleStorage") => Self::Storage(DType::F64),
            ("torch", "LongStorage") => Self::Storage(DType::I64),
            _ => return Err(format!("asks for {module}.{name}, which is not a tensor: it is refused")),
        })
    }
}

pub(super) struct Machine {
    pub(super) objects: Vec<Object>,
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
}

const UNDERFLOW: &str = "is not a valid pickle";

impl Machine {
    pub(super) fn new() -> Self {
        Self { objects: Vec::new(), stack: Vec::new(), memo: HashMap::new() }
    }

    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Ref(id) => self.objects.get(id),
            _ => None,
        }
    }

    /// Keys and element types of all storages.
    pub(super) fn storages(&self) -> impl Iterator<Item = (&str, DType)> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage { key, dtype } => Some((key.as_str(), *dtype)),
            _ => None,
        })
    }

    fn push(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(Value::Ref(self.objects.len() - 1));
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| UNDERFLOW.into())
    }

    /// What lies above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.stack.iter().rposition(|value| *value == Value::Mark).ok_or(UNDERFLOW)?;
        let above = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(above)
    }

    fn pop_tuple(&mut self, len: usize) -> Result<(), String> {
        let at = self.stack.len().checked_sub(len).ok_or(UNDERFLOW)?;
        let items = self.stack.split_off(at);
        self.push(Object::Tuple(items));
        Ok(())
    }

    /// Runs one pickle; gives back the value that it leaves.
    pub(super) fn run(&mut self, reader: &mut Reader<'_>) -> Result<Value, String> {
        loop {
            match reader.byte()? {
                b'.' => return self.pop(),
                0x80 => drop(reader.byte()?),
                b'(' => self.stack.push(Value::Mark),
                b'N' | 0x88 | 0x89 => self.stack.push(Value::Plain),
                b'K' => self.stack.push(Value::Int(reader.byte()?.into())),
                b'M' => self.stack.push(Value::Int(u16::from_le_bytes(reader.array()?).into())),
                b'J' => self.stack.push(Value::Int(i32::from_le_bytes(reader.array()?).into())),
                0x8a => {
                    let len = reader.byte()?;
                    self.push(Object::Long(reader.take(len.into())?.to_vec()));
                }
                b'X' => {
                    let len = u32::from_le_bytes(reader.array()?) as usize;
                    let text = std::str::from_utf8(reader.take(len)?).map_err(|_| "holds text that is not UTF-8")?;
                    self.push(Object::Text(text.into()));
                }
                b'}' => self.push(Object::Dict(Vec::new())),
                b']' => self.push(Object::List(Vec::new())),
                b')' => self.push(Object::Tuple(Vec::new())),
                0x85 => self.pop_tuple(1)?,
                0x86 => self.pop_tuple(2)?,
                0x87 => self.pop_tuple(3)?,
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Object::Tuple(items));
                }
                b'q' => self.remember(reader.byte()?.into())?,
                b'r' => self.remember(u32::from_le_bytes(reader.array()?))?,
                b'h' => self.recall(reader.byte()?.into())?,
                b'j' => self.recall(u32::from_le_bytes(reader.array()?))?,
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.extend_dict(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.extend_dict(&items)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend_list(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.extend_list(items)?;
                }
                b'c' => {
                    let (module, name) = (reader.line()?, reader.line()?);
                    self.push(Object::Function(Function::find(module, name)?));
                }
                b'Q' => self.storage()?,
                b'R' => self.call()?,
                b'b' => drop(self.pop()?), // Attributes of the dictionary: format versions of modules.
                other => {
                    return Err(format!(
                        "uses the pickle instruction {other:#04x}, which tensors do not need: it is refused"
                    ));
                }
            }
        }
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let value = *self.stack.last().ok_or(UNDERFLOW)?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let value = *self.memo.get(&key).ok_or(UNDERFLOW)?;
        self.stack.push(value);
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Value]) -> Result<(), String> {
        let Some(&Value::Ref(id)) = self.stack.last() else { return Err(UNDERFLOW.into()) };
        let Some(Object::Dict(entries)) = self.objects.get_mut(id) else { return Err(UNDERFLOW.into()) };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(UNDERFLOW.into());
        }
        entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn extend_list(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(&Value::Ref(id)) = self.stack.last() else { return Err(UNDERFLOW.into()) };
        let Some(Object::List(list)) = self.objects.get_mut(id) else { return Err(UNDERFLOW.into()) };
        list.extend(items);
        Ok(())
    }

    fn tuple(&self, value: Value) -> Result<&[Value], String> {
        match self.object(value) {
            Some(Object::Tuple(items)) => Ok(items),
            _ => Err(UNDERFLOW.into()),
        }
    }

    fn sizes(&self, value: Value) -> Result<Vec<usize>, String> {
        let size = |item: &Value| match item {
            Value::Int(size) => usize::try_from(*size).map_err(|_| "has a negative size".to_string()),
            _ => Err("has a size that is not a number".into()),
        };
        self.tuple(value)?.iter().map(size).collect()
    }

    /// A persistent id: `("storage", type, key, location, elements, view)`.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let [_, kind, key, ..] = *self.tuple(id)? else { return Err(UNDERFLOW.into()) };
        match (self.object(kind), self.object(key)) {
            (Some(&Object::Function(Function::Storage(dtype))), Some(Object::Text(key))) => {
                let key = key.clone();
                self.push(Object::Storage { key, dtype });
                Ok(())
            }
            _ => Err("refers to something that is not a storage".into()),
        }
    }

    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        match self.object(function) {
            Some(Object::Function(Function::OrderedDict)) if self.tuple(arguments)?.is_empty() => {
                self.push(Object::Dict(Vec::new()));
                Ok(())
            }
            Some(Object::Function(Function::RebuildTensor)) => {
                let [storage, Value::Int(offset), size, stride, ..] = *self.tuple(arguments)? else {
                    return Err("rebuilds a tensor from something else".into());
                };
                let (Value::Ref(storage), Ok(offset)) = (storage, usize::try_from(offset)) else {
                    return Err("rebuilds a tensor from something else".into());
                };
                let (size, stride) = (self.sizes(size)?, self.sizes(stride)?);
                self.push(Object::Tensor { storage, offset, size, stride });
                Ok(())
            }
            _ => Err("calls something that is not a function of tensors: it is refused".into()),
        }
    }
}
