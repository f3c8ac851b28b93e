//! Pooling.

use super::window::{Padding, Steps, Window, read_window, write_window};
use super::{Inferred, Operator, expect_float, single};
use crate::TensorType;
use crate::onnx::{NodeReader, NodeWriter};

fn pooled(x: &TensorType, window: &Window<'_>) -> Inferred {
    expect_float(x)?;
    if x.rank() < 3 {
        return Err("needs batch, channels and at least one spatial axis".into());
    }
    let mut shape = x.shape[..2].to_vec();
    shape.extend(window.output(&x.shape[2..])?);
    if let Padding::Explicit(pads) = window.padding
        && pads.iter().zip(window.kernel.iter().zip(window.dilations).cycle()).any(|(&p, (k, d))| p > (k - 1) * d)
    {
        return Err("a pad is as wide as the window: some outputs would see nothing".into());
    }
    Ok(vec![TensorType::new(x.dtype, shape)])
}

/// The largest entry of each window of `x[N, C, spatial…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Size of the window along each spatial axis.
    pub kernel_shape: Vec<usize>,
    /// Steps of the window.
    pub strides: Vec<usize>,
    /// Distance of the window's taps.
    pub dilations: Vec<usize>,
    /// What is added around the input; never the largest.
    pub padding: Padding,
    /// Whether a last window that sticks out counts.
    pub ceil_mode: bool,
}

impl MaxPool {
    /// How the window slides.
    pub fn steps(&self) -> Steps<'_> {
        (&self.strides, &self.dilations, &self.padding)
    }
}

impl Operator for MaxPool {
    const NAME: &'static str = "MaxPool";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let Self { kernel_shape: kernel, strides, dilations, padding, ceil_mode } = self;
        pooled(single(inputs)?, &Window { kernel, strides, dilations, padding, ceil_mode: *ceil_mode })
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let kernel_shape = node.sizes("kernel_shape")?.ok_or("lacks the kernel_shape")?;
        let (strides, dilations, padding) = read_window(node, kernel_shape.len())?;
        let ceil_mode = node.flag("ceil_mode")?;
        node.ignore("storage_order");
        if node.output_used(1) {
            return Err("its indices are used, which is not supported".into());
        }
        Ok(Self { kernel_shape, strides, dilations, padding, ceil_mode })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.sizes("kernel_shape", &self.kernel_shape);
        write_window(node, &self.strides, &self.dilations, &self.padding);
        node.int("ceil_mode", self.ceil_mode.into());
        Ok(())
    }
}

/// The mean of each window of `x[N, C, spatial…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// Size of the window along each spatial axis.
    pub kernel_shape: Vec<usize>,
    /// Steps of the window.
    pub strides: Vec<usize>,
    /// Distance of the window's taps.
    pub dilations: Vec<usize>,
    /// What is added around the input.
    pub padding: Padding,
    /// Whether a last window that sticks out counts.
    pub ceil_mode: bool,
    /// Whether padding counts as zeros; otherwise the mean is over what is inside.
    pub count_include_pad: bool,
}

impl AveragePool {
    /// How the window slides.
    pub fn steps(&self) -> Steps<'_> {
        (&self.strides, &self.dilations, &self.padding)
    }
}

impl Operator for AveragePool {
    const NAME: &'static str = "AveragePool";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let Self { kernel_shape: kernel, strides, dilations, padding, ceil_mode, .. } = self;
        pooled(single(inputs)?, &Window { kernel, strides, dilations, padding, ceil_mode: *ceil_mode })
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let kernel_shape = node.sizes("kernel_shape")?.ok_or("lacks the kernel_shape")?;
        let (strides, dilations, padding) = read_window(node, kernel_shape.len())?;
        let ceil_mode = node.flag("ceil_mode")?;
        let count_include_pad = node.flag("count_include_pad")?;
        Ok(Self { kernel_shape, strides, dilations, padding, ceil_mode, count_include_pad })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        if self.dilations.iter().any(|&d| d != 1) {
            return Err("dilations need opset 19".into());
        }
        node.sizes("kernel_shape", &self.kernel_shape);
        write_window(node, &self.strides, &[], &self.padding);
        node.int("ceil_mode", self.ceil_mode.into());
        node.int("count_include_pad", self.count_include_pad.into());
        Ok(())
    }
}

/// The mean over all spatial axes of `x[N, C, spatial…]`, which keep size 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalAveragePool;

impl Operator for GlobalAveragePool {
    const NAME: &'static str = "GlobalAveragePool";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        expect_float(x)?;
        if x.rank() < 3 {
            return Err("needs batch, channels and at least one spatial axis".into());
        }
        let shape = x.shape.iter().enumerate().map(|(i, dim)| if i < 2 { dim.clone() } else { 1.into() });
        Ok(vec![TensorType::new(x.dtype, shape)])
    }

    fn read(_: &NodeReader<'_>) -> Result<Self, String> {
        Ok(Self)
    }

    fn write(&self, _: &mut NodeWriter<'_>) -> Result<(), String> {
        Ok(())
    }
}
