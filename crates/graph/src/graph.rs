//! The graph: values, and nodes that make values from values.
//!
//! Nodes stand in the order in which they can run, because a node can only be added after its inputs exist: no walk has to
//! sort, and a cycle cannot be written down. Shapes are inferred as nodes are added, so every error names the node at fault.

use crate::{Bindings, Error, Op, Params, TensorType};
use std::collections::{BTreeSet, HashMap};

/// A value of one graph: an index that has meaning only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) usize);

/// A node of one graph: an index that has meaning only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

impl ValueId {
    /// Position in [`Graph::values`], for tables with an entry a value.
    pub fn index(self) -> usize {
        self.0
    }
}

impl NodeId {
    /// Position in [`Graph::nodes`], for tables with an entry a node.
    pub fn index(self) -> usize {
        self.0
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Given anew for each run.
    Input,
    /// Looked up by name in the [`Params`].
    Parameter,
    /// Made by a node.
    Node(NodeId),
}

/// Something that flows along an edge of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// Unique in the graph; a parameter's name is its key in [`Params`].
    pub name: String,
    /// Element type and shape.
    pub ty: TensorType,
    /// Where it comes from.
    pub source: Source,
}

/// One operator applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// For people and error messages.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// What it is computed from; `None` is an optional input left out.
    pub inputs: Vec<Option<ValueId>>,
    /// What is made.
    pub outputs: Vec<ValueId>,
}

/// A network as data.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The network's name.
    pub name: String,
    values: Vec<Value>,
    nodes: Vec<Node>,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    names: HashMap<String, ValueId>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Nodes in an order in which they can run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All values: inputs, parameters and what nodes make.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// What must be given for a run.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// What a run gives back.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// The value of an id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The node of an id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The id of the node at `index` in [`nodes`](Self::nodes).
    pub fn node_id(&self, index: usize) -> NodeId {
        NodeId(index)
    }

    /// The node that makes a value, if one does.
    pub fn producer(&self, id: ValueId) -> Option<&Node> {
        match self.values[id.0].source {
            Source::Node(node) => Some(&self.nodes[node.0]),
            Source::Input | Source::Parameter => None,
        }
    }

    /// The value called `name`.
    pub fn find(&self, name: &str) -> Result<ValueId, Error> {
        let missing = || Error::NoSuchValue { graph: self.name.clone(), name: name.into() };
        self.names.get(name).copied().ok_or_else(missing)
    }

    /// The parameters that the graph declares.
    pub fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.values.iter().filter(|value| value.source == Source::Parameter)
    }

    /// The names of all symbols in the inputs' shapes.
    pub fn symbols(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for &input in &self.inputs {
            self.value(input).ty.shape.iter().for_each(|dim| dim.symbols(&mut names));
        }
        names
    }

    /// For each value (by index), how many nodes and graph outputs read it.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        for id in self.nodes.iter().flat_map(|node| node.inputs.iter().flatten()).chain(&self.outputs) {
            uses[id.0] += 1;
        }
        uses
    }

    fn new_value(&mut self, name: String, ty: TensorType, source: Source) -> Result<ValueId, Error> {
        if self.names.contains_key(&name) {
            return Err(Error::Redefined(name));
        }
        let id = ValueId(self.values.len());
        self.names.insert(name.clone(), id);
        self.values.push(Value { name, ty, source });
        Ok(id)
    }

    fn unused_name(&self, wish: String) -> String {
        if !self.names.contains_key(&wish) {
            return wish;
        }
        let mut suffix = self.values.len();
        while self.names.contains_key(&format!("{wish}_{suffix}")) {
            suffix += 1;
        }
        format!("{wish}_{suffix}")
    }

    /// Adds an input; an error if the name is taken.
    pub fn add_input(&mut self, name: impl Into<String>, ty: TensorType) -> Result<ValueId, Error> {
        let id = self.new_value(name.into(), ty, Source::Input)?;
        self.inputs.push(id);
        Ok(id)
    }

    /// Declares a parameter, or finds the one of that name; an error if that is something else.
    pub fn add_parameter(&mut self, name: &str, ty: TensorType) -> Result<ValueId, Error> {
        match self.names.get(name) {
            Some(&id) if self.value(id).source == Source::Parameter && self.value(id).ty == ty => Ok(id),
            _ => self.new_value(name.into(), ty, Source::Parameter),
        }
    }

    /// Adds a node with one output and names it after its operator.
    pub fn add(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, Error> {
        let op = op.into();
        let inputs = inputs.iter().copied().map(Some).collect();
        Ok(self.add_node(format!("{}_{}", op.name(), self.nodes.len()), op, inputs, &[])?[0])
    }

    /// Adds a node; its outputs get the wished names, as far as given and still free.
    ///
    /// An error, naming the node and the types of its inputs, if the operator cannot take them.
    pub fn add_node(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: Vec<Option<ValueId>>,
        output_names: &[String],
    ) -> Result<Vec<ValueId>, Error> {
        let name = name.into();
        let types: Vec<_> = inputs.iter().map(|id| id.map(|id| &self.values[id.0].ty)).collect();
        let types = op.infer(&types).map_err(|reason| Error::Node {
            node: name.clone(),
            op: op.name(),
            inputs: types.iter().map(|ty| ty.map_or("-".into(), |ty| ty.to_string())).collect::<Vec<_>>().join(", "),
            reason,
        })?;
        let source = Source::Node(NodeId(self.nodes.len()));
        let mut outputs = Vec::with_capacity(types.len());
        for (i, ty) in types.into_iter().enumerate() {
            let wish = match output_names.get(i).filter(|name| !name.is_empty()) {
                Some(name) => name.clone(),
                None if i == 0 => format!("{name}_output"),
                None => format!("{name}_output{i}"),
            };
            outputs.push(self.new_value(self.unused_name(wish), ty, source)?);
        }
        self.nodes.push(Node { name, op, inputs, outputs: outputs.clone() });
        Ok(outputs)
    }

    /// Says which values a run gives back.
    pub fn set_outputs(&mut self, outputs: impl Into<Vec<ValueId>>) {
        self.outputs = outputs.into();
    }

    /// Renames a value; an error if the name is taken by another.
    pub fn rename(&mut self, id: ValueId, name: impl Into<String>) -> Result<(), Error> {
        let name = name.into();
        match self.names.get(&name) {
            Some(&other) if other != id => Err(Error::Redefined(name)),
            _ => {
                let old = std::mem::replace(&mut self.values[id.0].name, name.clone());
                self.names.remove(&old);
                self.names.insert(name, id);
                Ok(())
            }
        }
    }

    /// Copies another graph's nodes into this one, its inputs replaced by `inputs`; gives back its outputs.
    ///
    /// Parameters of the same name are shared. An error if a shape no longer fits or a parameter's type differs.
    pub fn append(&mut self, other: &Self, inputs: &[ValueId]) -> Result<Vec<ValueId>, Error> {
        let mut map: Vec<Option<ValueId>> = vec![None; other.values.len()];
        for (from, &to) in other.inputs.iter().zip(inputs) {
            map[from.0] = Some(to);
        }
        self.copy_nodes(other, &mut map)?;
        other.outputs.iter().map(|&id| self.copied(other, &mut map, id)).collect()
    }

    fn copied(&mut self, other: &Self, map: &mut [Option<ValueId>], id: ValueId) -> Result<ValueId, Error> {
        if let Some(id) = map[id.0] {
            return Ok(id);
        }
        let value = other.value(id);
        let new = match value.source {
            Source::Input => self.add_input(value.name.clone(), value.ty.clone())?,
            _ => self.add_parameter(&value.name, value.ty.clone())?,
        };
        map[id.0] = Some(new);
        Ok(new)
    }

    fn copy_nodes(&mut self, other: &Self, map: &mut [Option<ValueId>]) -> Result<(), Error> {
        for node in &other.nodes {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for input in &node.inputs {
                inputs.push(input.map(|id| self.copied(other, map, id)).transpose()?);
            }
            let names: Vec<_> = node.outputs.iter().map(|&id| other.value(id).name.clone()).collect();
            let outputs = self.add_node(node.name.clone(), node.op.clone(), inputs, &names)?;
            for (&from, to) in node.outputs.iter().zip(outputs) {
                map[from.0] = Some(to);
            }
        }
        Ok(())
    }

    /// The same graph with symbols replaced by numbers; an error if a shape does not work out for these sizes.
    pub fn bind(&self, bindings: &Bindings) -> Result<Self, Error> {
        let mut bound = Self::new(&self.name);
        let mut map = vec![None; self.values.len()];
        for &id in &self.inputs {
            let Value { name, ty, .. } = self.value(id);
            let ty = TensorType::new(ty.dtype, ty.shape.iter().map(|dim| dim.bind(bindings)));
            map[id.0] = Some(bound.add_input(name.clone(), ty)?);
        }
        bound.copy_nodes(self, &mut map)?;
        bound.outputs = self.outputs.iter().map(|&id| bound.copied(self, &mut map, id)).collect::<Result<_, _>>()?;
        Ok(bound)
    }

    /// An error naming the first parameter that `params` lacks or holds with another type.
    pub fn check_params(&self, params: &Params) -> Result<(), Error> {
        for value in self.parameters() {
            match params.get(&value.name) {
                None => return Err(Error::parameter(&value.name, "has no value")),
                Some(tensor) if tensor.ty() != value.ty => {
                    let reason = format!("is {}, the graph \"{}\" declares {}", tensor.ty(), self.name, value.ty);
                    return Err(Error::parameter(&value.name, reason));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
