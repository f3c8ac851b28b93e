//! Reading.

use super::node::NodeReader;
use super::proto::{self, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::{Model, NEWEST_OPSET, OLDEST_OPSET, tensor};
use crate::ops::{Flatten, Reshape, Softmax};
use crate::{Dim, Error, Graph, Op, Params, Tensor, TensorType, ValueId};
use prost::Message;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// Networks have some thousand nodes, attributes and dimensions; beyond this a file is an attack on memory.
const MAX_MESSAGES: usize = 500_000;

pub(super) fn model(bytes: &[u8]) -> Result<Model, Error> {
    let messages = proto::count_messages(bytes).ok_or_else(|| wrong("is not an ONNX file, or a truncated one"))?;
    if messages > MAX_MESSAGES {
        return Err(wrong(format!("has {messages} parts, more than the {MAX_MESSAGES} that are read")));
    }
    let proto = ModelProto::decode(bytes).map_err(|_| wrong("is not an ONNX file, or a truncated one"))?;
    let opset = proto.opset_import.iter().find(|set| is_onnx(&set.domain)).map(|set| set.version);
    let opset = opset.ok_or_else(|| wrong("is not an ONNX file: it names no operator set"))?;
    if !(OLDEST_OPSET..=NEWEST_OPSET).contains(&opset) {
        let known = format!("{OLDEST_OPSET} to {NEWEST_OPSET} are read");
        return Err(wrong(format!("uses operator set {opset}: {known}, export the model again with one of them")));
    }
    let graph = proto.graph.ok_or_else(|| wrong("has no graph"))?;
    let (graph, params) = Reader::new(&graph, opset)?.read(graph)?;
    let metadata = proto.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect();
    Ok(Model { graph, params, metadata })
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::Format(reason.into())
}

fn is_onnx(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

struct Reader {
    opset: i64,
    graph: Graph,
    params: Params,
    /// Initialisers and the values of `Constant` nodes: they enter the graph only when a node takes them as tensors.
    constants: HashMap<String, Tensor>,
    initializers: HashSet<String>,
    values: HashMap<String, ValueId>,
    /// Names that nodes or outputs read.
    read: HashSet<String>,
}

impl Reader {
    fn new(proto: &GraphProto, opset: i64) -> Result<Self, Error> {
        let read = proto.node.iter().flat_map(|node| &node.input).chain(proto.output.iter().map(|value| &value.name));
        Ok(Self {
            opset,
            graph: Graph::new(&proto.name),
            params: Params::new(),
            constants: HashMap::new(),
            initializers: HashSet::new(),
            values: HashMap::new(),
            read: read.cloned().collect(),
        })
    }

    fn read(mut self, proto: GraphProto) -> Result<(Graph, Params), Error> {
        for proto in proto.initializer {
            let name = proto.name.clone();
            let tensor = tensor::read(proto).map_err(|reason| wrong(format!("initializer \"{name}\": {reason}")))?;
            if self.constants.insert(name.clone(), tensor).is_some() {
                return Err(Error::Redefined(name));
            }
            self.initializers.insert(name);
        }
        // Old files list initialisers among the inputs.
        for input in proto.input.iter().filter(|input| !self.constants.contains_key(&input.name)) {
            let ty = self.input_type(input).map_err(|reason| wrong(format!("input \"{}\": {reason}", input.name)))?;
            let id = self.graph.add_input(&input.name, ty)?;
            self.values.insert(input.name.clone(), id);
        }
        for node in &proto.node {
            self.node(node)?;
        }
        let mut outputs = Vec::with_capacity(proto.output.len());
        for output in &proto.output {
            let missing = || wrong(format!("output \"{}\" is made by no node", output.name));
            outputs.push(self.value(&output.name)?.ok_or_else(missing)?);
        }
        if outputs.is_empty() {
            return Err(wrong("has no output"));
        }
        self.graph.set_outputs(outputs);
        Ok((self.graph, self.params))
    }

    fn input_type(&self, input: &ValueInfoProto) -> Result<TensorType, String> {
        let tensor = input.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref()).ok_or("is not a tensor")?;
        let dtype = tensor::dtype(tensor.elem_type.into())?;
        let dims = tensor.shape.as_ref().ok_or("has no shape")?.dim.iter().enumerate();
        let dims = dims.map(|(i, dim)| match (dim.dim_value, &dim.dim_param) {
            (Some(size), _) if size >= 0 => Ok(Dim::from(size)),
            (Some(size), _) => Err(format!("axis {i} has the size {size}")),
            (None, Some(name)) if !name.is_empty() => Ok(Dim::symbol(name)),
            _ => Ok(Dim::symbol(format!("{}_{i}", input.name))),
        });
        Ok(TensorType::new(dtype, dims.collect::<Result<Vec<_>, _>>()?))
    }

    /// The value of that name, constants entering the graph now; `None` if there is none.
    fn value(&mut self, name: &str) -> Result<Option<ValueId>, Error> {
        if let Some(&id) = self.values.get(name) {
            return Ok(Some(id));
        }
        let Some(tensor) = self.constants.get(name) else { return Ok(None) };
        let id = if self.initializers.contains(name) {
            self.params.insert(name.into(), tensor.clone());
            self.graph.add_parameter(name, tensor.ty())?
        } else {
            let op = crate::ops::Constant { value: std::sync::Arc::new(tensor.clone()) };
            self.graph.add_node(name, op.into(), Vec::new(), &[name.into()])?[0]
        };
        self.values.insert(name.into(), id);
        Ok(Some(id))
    }

    fn type_of(&self, name: &str) -> Option<TensorType> {
        let made = self.values.get(name).map(|&id| self.graph.value(id).ty.clone());
        made.or_else(|| self.constants.get(name).map(Tensor::ty))
    }

    fn node(&mut self, proto: &NodeProto) -> Result<(), Error> {
        let first_output = proto.output.first().map_or("", String::as_str);
        let name = if proto.name.is_empty() { first_output } else { &proto.name };
        let fault = |reason: String| Error::Operator { op: proto.op_type.clone(), node: name.into(), reason };
        if !is_onnx(&proto.domain) {
            return Err(fault(format!("operators of the domain \"{}\" are not known", proto.domain)));
        }
        if let Some(input) = proto.input.iter().find(|input| !input.is_empty() && self.type_of(input).is_none()) {
            return Err(fault(format!("input \"{input}\" is not there yet: no node before this one makes it")));
        }
        let reader = NodeReader {
            opset: self.opset,
            proto,
            types: proto.input.iter().map(|input| self.type_of(input)).collect(),
            constants: &self.constants,
            used: proto.output.iter().map(|output| self.read.contains(output)).collect(),
            asked: RefCell::default(),
            taken: RefCell::default(),
        };
        let op = Op::read(&proto.op_type, &reader).map_err(fault)?;
        if let Some(odd) = proto.attribute.iter().find(|a| !reader.asked.borrow().contains(&a.name.as_str())) {
            return Err(fault(format!("attribute {} is not known", odd.name)));
        }
        let taken = reader.taken.into_inner();
        if proto.output.iter().any(|output| self.type_of(output).is_some()) {
            return Err(Error::Redefined(first_output.into()));
        }
        // Constants, and constants under another name, are kept aside.
        match (&op, proto.input.first().and_then(|input| self.constants.get(input))) {
            (Op::Constant(op), _) => {
                self.constants.insert(first_output.into(), (*op.value).clone());
                return Ok(());
            }
            (Op::Identity(_), Some(tensor)) => {
                self.constants.insert(first_output.into(), tensor.clone());
                return Ok(());
            }
            _ => {}
        }
        let mut inputs = Vec::with_capacity(proto.input.len());
        for (_, input) in proto.input.iter().enumerate().filter(|(i, _)| !taken.contains(i)) {
            inputs.push(if input.is_empty() { None } else { self.value(input)? });
        }
        while inputs.last() == Some(&None) {
            inputs.pop();
        }
        let outputs = match op {
            Op::Softmax(op) if self.opset < 13 => self.softmax_of_rows(name, op, inputs, &proto.output)?,
            op => self.graph.add_node(name, op, inputs, &proto.output)?,
        };
        for (name, id) in proto.output.iter().zip(outputs) {
            if !name.is_empty() {
                self.values.insert(name.clone(), id);
            }
        }
        Ok(())
    }

    /// Softmax before opset 13: over all axes from `axis` on at once.
    fn softmax_of_rows(
        &mut self,
        name: &str,
        op: Softmax,
        inputs: Vec<Option<ValueId>>,
        outputs: &[String],
    ) -> Result<Vec<ValueId>, Error> {
        let Some(&Some(x)) = inputs.first() else { return self.graph.add_node(name, op.into(), inputs, outputs) };
        let shape = self.graph.value(x).ty.shape.clone();
        let from_front = if op.axis < 0 { op.axis + shape.len() as i64 } else { op.axis };
        let inner = shape.iter().skip(usize::try_from(from_front).unwrap_or(0) + 1);
        if inner.clone().all(|dim| *dim == 1.into()) {
            return self.graph.add_node(name, op.into(), inputs, outputs);
        }
        let rows = self.graph.add_node(format!("{name}.rows"), Flatten { axis: op.axis }.into(), vec![Some(x)], &[])?;
        let softmax = self.graph.add_node(name, Softmax { axis: 1 }.into(), vec![Some(rows[0])], &[])?;
        let unknown = |dim: &Dim| if dim.as_const().is_some() { dim.clone() } else { Dim::from(-1) };
        let back = Reshape { shape: shape.iter().map(unknown).collect(), allowzero: false };
        self.graph.add_node(format!("{name}.shape"), back.into(), vec![Some(softmax[0])], outputs)
    }
}
