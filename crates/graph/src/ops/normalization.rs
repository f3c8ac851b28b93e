//! Batch and layer normalisation.

use super::{Inferred, Operator, arity, axis, expect_float};
use crate::TensorType;
use crate::onnx::{NodeReader, NodeWriter};

/// `(x − mean) / sqrt(variance + epsilon) · scale + bias` for each channel (axis 1).
///
/// Inputs are `x, scale, bias, mean, variance`. With `training_mode` mean and variance are those of the batch, and two more
/// outputs are the new running statistics `old · momentum + batch · (1 − momentum)`: ONNX's momentum is one minus PyTorch's,
/// and its running variance is the biased one.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormalization {
    /// Added to the variance (1e-5 by default).
    pub epsilon: f32,
    /// Share of the old running statistics that stays (0.9 by default).
    pub momentum: f32,
    /// Whether the statistics of the batch are used.
    pub training_mode: bool,
}

impl BatchNormalization {
    /// With running statistics, as a trained network runs.
    pub fn new(epsilon: f32) -> Self {
        Self { epsilon, momentum: 0.9, training_mode: false }
    }
}

impl Operator for BatchNormalization {
    const NAME: &'static str = "BatchNormalization";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let all: [_; 5] = arity(inputs, 5)?;
        let [Some(x), statistics @ ..] = all else { return Err("takes 5 inputs".into()) };
        expect_float(x)?;
        if x.rank() < 2 {
            return Err("needs a channel axis".into());
        }
        let channels = [x.shape[1].clone()];
        if let Some(odd) = statistics.into_iter().flatten().find(|ty| ty.shape != channels || ty.dtype != x.dtype) {
            return Err(format!("scale, bias, mean and variance must be {}[{}], not {odd}", x.dtype, channels[0]));
        }
        let mut outputs = vec![x.clone()];
        if self.training_mode {
            outputs.extend([TensorType::new(x.dtype, channels.clone()), TensorType::new(x.dtype, channels)]);
        }
        Ok(outputs)
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let training_mode = node.opset() >= 14 && node.flag("training_mode")?;
        if !training_mode && (1..5).any(|i| node.output_used(i)) {
            return Err("its statistics are used outside of training, which is not supported".into());
        }
        Ok(Self { epsilon: node.float("epsilon", 1e-5)?, momentum: node.float("momentum", 0.9)?, training_mode })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.float("epsilon", self.epsilon);
        node.float("momentum", self.momentum);
        if self.training_mode {
            node.int("training_mode", 1);
        }
        Ok(())
    }
}

/// `(x − mean) / sqrt(variance + epsilon) · scale + bias`, mean and variance over all axes from `axis` on (Ba et al., "Layer Normalization",
/// arXiv:1607.06450).
///
/// Inputs are `x, scale, bias`; scale and bias have the shape of those axes, and the bias may be left out.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormalization {
    /// The first axis of what is normalised (−1 by default).
    pub axis: i64,
    /// Added to the variance (1e-5 by default).
    pub epsilon: f32,
}

impl Operator for LayerNormalization {
    const NAME: &'static str = "LayerNormalization";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let [Some(x), Some(scale), bias] = arity(inputs, 2)? else { return Err("takes 2 to 3 inputs".into()) };
        expect_float(x)?;
        let own = TensorType::new(x.dtype, x.shape[axis(self.axis, x.rank(), false)?..].iter().cloned());
        match [Some(scale), bias].into_iter().flatten().find(|&ty| *ty != own) {
            Some(odd) => Err(format!("scale and bias must be {own}, not {odd}")),
            None => Ok(vec![x.clone()]),
        }
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        node.ignore("stash_type");
        if node.output_used(1) || node.output_used(2) {
            return Err("its statistics are used, which is not supported".into());
        }
        Ok(Self { axis: node.int("axis")?.unwrap_or(-1), epsilon: node.float("epsilon", 1e-5)? })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.int("axis", self.axis);
        node.float("epsilon", self.epsilon);
        Ok(())
    }
}
