//! Writing.

use super::node::NodeWriter;
use super::proto::{
    DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};
use super::{Model, OPSET, tensor};
use crate::{Error, Graph, ValueId};
use prost::Message;

/// The version of the file format that belongs to opset 17.
const IR_VERSION: i64 = 8;

pub(super) fn model(model: &Model) -> Result<Vec<u8>, Error> {
    let Model { graph, params, metadata } = model;
    graph.check_params(params)?;
    let mut proto = GraphProto {
        name: if graph.name.is_empty() { "network".into() } else { graph.name.clone() },
        input: graph.inputs().iter().map(|&id| value_info(graph, id)).collect(),
        output: graph.outputs().iter().map(|&id| value_info(graph, id)).collect(),
        ..GraphProto::default()
    };
    for value in graph.parameters() {
        proto.initializer.push(tensor::write(&value.name, &params[&value.name]));
    }
    let opset = graph.nodes().iter().map(|node| node.op.opset()).fold(OPSET, i64::max);
    for node in graph.nodes() {
        let name_of = |id: &Option<ValueId>| id.map_or(String::new(), |id| graph.value(id).name.clone());
        let mut written = NodeProto {
            name: node.name.clone(),
            op_type: node.op.name().into(),
            input: node.inputs.iter().map(name_of).collect(),
            output: node.outputs.iter().map(|&id| graph.value(id).name.clone()).collect(),
            ..NodeProto::default()
        };
        // Names of values are unique, those of nodes need not be.
        let prefix = written.output[0].clone();
        let mut writer = NodeWriter { opset, proto: &mut written, initializers: &mut proto.initializer, prefix };
        node.op.write(&mut writer).map_err(|reason| Error::Operator {
            op: node.op.name().into(),
            node: node.name.clone(),
            reason,
        })?;
        proto.node.push(written);
    }
    let proto = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "percept".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(proto),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
        metadata_props: metadata
            .iter()
            .map(|(key, value)| StringStringEntryProto { key: key.clone(), value: value.clone() })
            .collect(),
    };
    Ok(proto.encode_to_vec())
}

fn value_info(graph: &Graph, id: ValueId) -> ValueInfoProto {
    let value = graph.value(id);
    // A derived size has no form in ONNX that every reader understands: it is left open.
    let dim = value
        .ty
        .shape
        .iter()
        .map(|dim| DimensionProto { dim_value: dim.as_const(), dim_param: dim.as_symbol().map(String::from) });
    let tensor_type = TensorTypeProto {
        elem_type: tensor::code(value.ty.dtype),
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto { name: value.name.clone(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
