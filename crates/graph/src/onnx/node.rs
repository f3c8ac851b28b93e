//! What an operator sees of its ONNX node when it is read or written.

use super::proto::{AttributeProto, NodeProto, TensorProto, attribute_type};
use super::tensor;
use crate::{Tensor, TensorType};
use std::cell::RefCell;
use std::collections::HashMap;

/// A node of an ONNX file while its operator is read.
///
/// Attributes that nobody asks for are an error, because ignoring one can change what is computed. Errors are sentences without the
/// node's name, which the caller adds.
pub struct NodeReader<'a> {
    pub(super) opset: i64,
    pub(super) proto: &'a NodeProto,
    /// The types of the inputs.
    pub(super) types: Vec<Option<TensorType>>,
    pub(super) constants: &'a HashMap<String, Tensor>,
    /// For each output, whether anything reads it.
    pub(super) used: Vec<bool>,
    pub(super) asked: RefCell<Vec<&'static str>>,
    /// Inputs that became attributes.
    pub(super) taken: RefCell<Vec<usize>>,
}

impl<'a> NodeReader<'a> {
    /// The version of the operator set.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// The type of an input.
    pub fn input_type(&self, i: usize) -> Result<&TensorType, String> {
        self.types.get(i).and_then(Option::as_ref).ok_or_else(|| format!("lacks input {i}"))
    }

    /// Whether anything reads an output.
    pub fn output_used(&self, i: usize) -> bool {
        self.used.get(i).copied().unwrap_or(false)
    }

    fn attribute(&self, name: &'static str, kind: i32) -> Result<Option<&'a AttributeProto>, String> {
        self.asked.borrow_mut().push(name);
        match self.proto.attribute.iter().find(|attribute| attribute.name == name) {
            Some(attribute) if attribute.r#type == kind || attribute.r#type == 0 => Ok(Some(attribute)),
            Some(attribute) => Err(format!("attribute {name} has type {}, {kind} is expected", attribute.r#type)),
            None => Ok(None),
        }
    }

    /// Allows an attribute that changes nothing here.
    pub fn ignore(&self, name: &'static str) {
        self.asked.borrow_mut().push(name);
    }

    /// An integer attribute.
    pub fn int(&self, name: &'static str) -> Result<Option<i64>, String> {
        Ok(self.attribute(name, attribute_type::INT)?.map(|attribute| attribute.i))
    }

    /// An integer attribute that is 0 or 1, 0 by default.
    pub fn flag(&self, name: &'static str) -> Result<bool, String> {
        Ok(self.int(name)?.is_some_and(|i| i != 0))
    }

    /// A floating-point attribute, with its default.
    pub fn float(&self, name: &'static str, default: f32) -> Result<f32, String> {
        Ok(self.attribute(name, attribute_type::FLOAT)?.map_or(default, |attribute| attribute.f))
    }

    /// A text attribute, with its default.
    pub fn string(&self, name: &'static str, default: &str) -> Result<String, String> {
        match self.attribute(name, attribute_type::STRING)? {
            Some(attribute) => {
                String::from_utf8(attribute.s.clone()).map_err(|_| format!("attribute {name} is not UTF-8"))
            }
            None => Ok(default.into()),
        }
    }

    /// A list of texts.
    pub fn strings(&self, name: &'static str) -> Result<Option<Vec<String>>, String> {
        let Some(attribute) = self.attribute(name, attribute_type::STRINGS)? else { return Ok(None) };
        let texts = attribute.strings.iter().map(|text| String::from_utf8(text.clone())).collect::<Result<_, _>>();
        texts.map(Some).map_err(|_| format!("attribute {name} is not UTF-8"))
    }

    /// A list of integers.
    pub fn ints(&self, name: &'static str) -> Result<Option<Vec<i64>>, String> {
        Ok(self.attribute(name, attribute_type::INTS)?.map(|attribute| attribute.ints.clone()))
    }

    /// A list of sizes, which cannot be negative.
    pub fn sizes(&self, name: &'static str) -> Result<Option<Vec<usize>>, String> {
        let sizes = |list: Vec<i64>| list.into_iter().map(usize::try_from).collect::<Result<_, _>>();
        self.ints(name)?.map(sizes).transpose().map_err(|_| format!("attribute {name} has a negative entry"))
    }

    /// A list of numbers.
    pub fn floats(&self, name: &'static str) -> Result<Option<Vec<f32>>, String> {
        Ok(self.attribute(name, attribute_type::FLOATS)?.map(|attribute| attribute.floats.clone()))
    }

    /// A tensor attribute.
    pub fn tensor(&self, name: &'static str) -> Result<Option<Tensor>, String> {
        let proto = self.attribute(name, attribute_type::TENSOR)?.and_then(|attribute| attribute.t.as_deref());
        proto.cloned().map(tensor::read).transpose()
    }

    /// An input that must be constant, because it becomes an attribute: it is no longer an input of the node.
    fn constant(&self, i: usize) -> Result<Option<&'a Tensor>, String> {
        let Some(name) = self.proto.input.get(i).filter(|name| !name.is_empty()) else { return Ok(None) };
        self.taken.borrow_mut().push(i);
        match self.constants.get(name) {
            Some(tensor) => Ok(Some(tensor)),
            None => {
                Err(format!("input {i} (\"{name}\") is calculated by the network: only constants are supported here"))
            }
        }
    }

    /// A constant input of integers.
    pub fn constant_ints(&self, i: usize) -> Result<Option<Vec<i64>>, String> {
        let Some(tensor) = self.constant(i)? else { return Ok(None) };
        match tensor.data() {
            crate::TensorData::I64(data) => Ok(Some(data.clone())),
            crate::TensorData::I32(data) => Ok(Some(data.iter().map(|&x| x.into()).collect())),
            other => Err(format!("input {i} is {}, integers are expected", other.dtype())),
        }
    }

    /// A constant input of numbers.
    pub fn constant_floats(&self, i: usize) -> Result<Option<Vec<f32>>, String> {
        let Some(tensor) = self.constant(i)? else { return Ok(None) };
        tensor.as_f32().map(|list| Some(list.to_vec())).map_err(|e| format!("input {i}: {e}"))
    }

    /// Leaves out an input that changes nothing here.
    pub fn take(&self, i: usize) {
        self.taken.borrow_mut().push(i);
    }

    /// A constant input of one number.
    pub fn constant_float(&self, i: usize) -> Result<Option<f32>, String> {
        let Some(tensor) = self.constant(i)? else { return Ok(None) };
        match tensor.data() {
            crate::TensorData::F32(data) if data.len() == 1 => Ok(Some(data[0])),
            crate::TensorData::F64(data) if data.len() == 1 => Ok(Some(data[0] as f32)),
            crate::TensorData::I64(data) if data.len() == 1 => Ok(Some(data[0] as f32)),
            _ => Err(format!("input {i} is {}, one number is expected", tensor.ty())),
        }
    }

    /// A constant input of one truth value, false if it is left out.
    pub fn constant_flag(&self, i: usize) -> Result<bool, String> {
        match self.constant(i)?.map(Tensor::data) {
            None => Ok(false),
            Some(crate::TensorData::Bool(data)) if data.len() == 1 => Ok(data[0]),
            Some(other) => Err(format!("input {i} is {}, one bool is expected", other.dtype())),
        }
    }
}

/// A node of an ONNX file while its operator is written.
pub struct NodeWriter<'a> {
    pub(super) opset: i64,
    pub(super) proto: &'a mut NodeProto,
    pub(super) initializers: &'a mut Vec<TensorProto>,
    /// Tells the names of this node's constants from those of others.
    pub(super) prefix: String,
}

impl NodeWriter<'_> {
    /// The version of the operator set that is written.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    fn attribute(&mut self, name: &str, kind: i32) -> &mut AttributeProto {
        let attribute = AttributeProto { name: name.into(), r#type: kind, ..AttributeProto::default() };
        let at = self.proto.attribute.len();
        self.proto.attribute.push(attribute);
        &mut self.proto.attribute[at]
    }

    /// Sets an integer attribute.
    pub fn int(&mut self, name: &str, value: i64) {
        self.attribute(name, attribute_type::INT).i = value;
    }

    /// Sets a floating-point attribute.
    pub fn float(&mut self, name: &str, value: f32) {
        self.attribute(name, attribute_type::FLOAT).f = value;
    }

    /// Sets a text attribute.
    pub fn string(&mut self, name: &str, value: &str) {
        self.attribute(name, attribute_type::STRING).s = value.into();
    }

    /// Sets a list of texts.
    pub fn strings(&mut self, name: &str, values: &[&str]) {
        self.attribute(name, attribute_type::STRINGS).strings = values.iter().map(|&text| text.into()).collect();
    }

    /// Sets a list of integers.
    pub fn ints(&mut self, name: &str, values: impl IntoIterator<Item = i64>) {
        self.attribute(name, attribute_type::INTS).ints = values.into_iter().collect();
    }

    /// Sets a list of sizes.
    pub fn sizes(&mut self, name: &str, values: &[usize]) {
        self.ints(name, values.iter().map(|&size| size as i64));
    }

    /// Sets a tensor attribute.
    pub fn tensor(&mut self, name: &str, value: &Tensor) {
        self.attribute(name, attribute_type::TENSOR).t = Some(Box::new(tensor::write("", value)));
    }

    /// Adds a constant input.
    pub fn input(&mut self, name: &str, value: &Tensor) {
        let name = format!("{}.{name}", self.prefix);
        self.initializers.push(tensor::write(&name, value));
        self.proto.input.push(name);
    }

    /// Adds a constant input of integers in one dimension.
    pub fn input_ints(&mut self, name: &str, values: Vec<i64>) {
        if let Ok(tensor) = Tensor::new([values.len()], crate::TensorData::I64(values)) {
            self.input(name, &tensor);
        }
    }

    /// Leaves an optional input out.
    pub fn skip_input(&mut self) {
        self.proto.input.push(String::new());
    }
}
