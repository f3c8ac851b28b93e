//! Operators that pass a value on: converted, unchanged, or made from nothing.

use super::{Inferred, Operator, expect_float, single};
use crate::onnx::{NodeReader, NodeWriter, tensor_code, tensor_dtype};
use crate::{DType, Tensor, TensorData, TensorType};
use std::sync::Arc;

/// Elements converted to another type; floats become integers by rounding towards zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The new element type.
    pub to: DType,
}

impl Operator for Cast {
    const NAME: &'static str = "Cast";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        Ok(vec![TensorType::new(self.to, single(inputs)?.shape.iter().cloned())])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        node.ignore("saturate");
        node.ignore("round_mode");
        Ok(Self { to: tensor_dtype(node.int("to")?.ok_or("lacks the attribute to")?)? })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.int("to", tensor_code(self.to).into());
        Ok(())
    }
}

/// The input itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity;

impl Operator for Identity {
    const NAME: &'static str = "Identity";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        Ok(vec![single(inputs)?.clone()])
    }

    fn read(_: &NodeReader<'_>) -> Result<Self, String> {
        Ok(Self)
    }

    fn write(&self, _: &mut NodeWriter<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// The input itself when a network runs; during training a share of the elements is dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// The share to drop during training (0.5 by default).
    pub ratio: f32,
}

impl Operator for Dropout {
    const NAME: &'static str = "Dropout";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        expect_float(x)?;
        Ok(vec![x.clone()])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        node.ignore("seed");
        if node.output_used(1) {
            return Err("its mask is used, which is not supported".into());
        }
        if node.opset() < 12 {
            return Ok(Self { ratio: node.float("ratio", 0.5)? });
        }
        let ratio = node.constant_float(1)?.unwrap_or(0.5);
        if node.constant_flag(2)? {
            return Err("is in training mode: export the model for inference".into());
        }
        Ok(Self { ratio })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.input("ratio", &Tensor::scalar(self.ratio));
        Ok(())
    }
}

/// A tensor that is part of the graph, not a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// The tensor.
    pub value: Arc<Tensor>,
}

impl Operator for Constant {
    const NAME: &'static str = "Constant";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        if inputs.is_empty() { Ok(vec![self.value.ty()]) } else { Err("takes no inputs".into()) }
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let list = |data: TensorData| Tensor::new([data.len()], data).map_err(|e| e.to_string());
        let one = |data: TensorData| Tensor::new([], data).map_err(|e| e.to_string());
        let value = match node.tensor("value")? {
            Some(tensor) => tensor,
            None => match (node.floats("value_floats")?, node.ints("value_ints")?, node.int("value_int")?) {
                (Some(values), _, _) => list(TensorData::F32(values))?,
                (_, Some(values), _) => list(TensorData::I64(values))?,
                (_, _, Some(value)) => one(TensorData::I64(vec![value]))?,
                _ => one(TensorData::F32(vec![node.float("value_float", f32::NAN)?]))?,
            },
        };
        Ok(Self { value: Arc::new(value) })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.tensor("value", &self.value);
        Ok(())
    }
}
