//! What only the way back needs: sums over pixels, gradients of convolutions, poolings and activations.
//!
//! Operands come as blocks that were just computed (`load.rs`) and are still in cache; the products inside go through the same micro-kernel
//! as inference. Gradients of poolings and of dense convolutions are still plain loops around it. Sums over pixels
//! are cut into parts by size, each summed in one order and added up in f64, so results do not depend on the number of threads.

mod activation;
mod conv;
mod ctc;
mod depthwise;
mod dropout;
mod filters;
mod load;
mod loss;
mod norm;
mod outer;
mod patches;
mod phases;
mod planar;
mod pool;

pub use activation::{activation_grad, softmax_grad};
pub use conv::{ConvGrad, ConvShape, conv_input_grad};
pub use ctc::Ctc;
pub use depthwise::{DepthwiseBlock, depthwise_input_grad, depthwise_weight_grad, seen_by};
pub use dropout::{dropout, dropout_seed};
pub use filters::conv_weight_grad;
pub use load::{Load, Mask, MaskOf, Recipe, load};
pub use loss::{
    Elements, Rows, Targets, check_labels, check_lengths, cross_entropy_rows, element_losses, exps, multi_margin_rows,
};
pub use norm::{ChannelSums, channel_sums};
pub use outer::{Outer, SLACK, add_outer};
pub use phases::{Phase, PhasePanel, PhaseWeights, conv_input_phase};
pub use planar::planar_weight_grad;
pub use pool::{PoolGrad, pool_grad};

use super::Window;
use crate::simd::{read, write};

/// Where tap (`ky`, `kx`) of a window lies, whose first tap is at `first`, in pixels of a picture.
fn tap(w: &Window, first: [isize; 2], ky: usize, kx: usize) -> usize {
    let [y, x] = [ky * w.dilation[0], kx * w.dilation[1]];
    first[0].wrapping_add_unsigned(y).unsigned_abs() * w.input[1] + first[1].wrapping_add_unsigned(x).unsigned_abs()
}

#[cfg(test)]
mod conv_tests;
#[cfg(test)]
mod other_tests;
#[cfg(test)]
mod tests;
