//! Filters transformed for Winograd's convolution.

use super::transform::{FILTER_2, FILTER_4};
use crate::kernels::{PackedB, Window};
use crate::simd::Isa;
use std::ops::Range;

/// The transformed filters of a 3×3 convolution: a matrix of inputs × outputs for each point, four times as large as the filters, or 1.8 times for
/// tiles of 2×2.
pub struct WinogradWeights {
    /// Side of the patches.
    pub(super) side: usize,
    pub(super) points: Vec<PackedB>,
}

impl WinogradWeights {
    /// Transforms weights in ONNX's layout, [outputs, inputs, 3, 3], for tiles of side 2 or 4, and packs them for one instruction set.
    pub fn pack(isa: Isa, tile: usize, [outputs, inputs]: [usize; 2], weights: &[f32]) -> WinogradWeights {
        assert_eq!(weights.len(), outputs * inputs * 9, "weights of {outputs}×{inputs}×3×3");
        assert!(tile == 2 || tile == 4, "tiles of {tile}");
        let filters: &[[f64; 3]] = if tile == 2 { &FILTER_2 } else { &FILTER_4 };
        let mut points = Vec::with_capacity(filters.len() * filters.len());
        // A row of points at a time, output by output.
        let mut row = vec![vec![0.0; outputs * inputs]; filters.len()];
        for g in filters {
            for (i, filter) in weights.chunks_exact(9).enumerate() {
                let tap = |k: usize| f64::from(filter[k]);
                let t: [f64; 3] = std::array::from_fn(|k| g[0] * tap(k) + g[1] * tap(3 + k) + g[2] * tap(6 + k));
                for (u, g) in row.iter_mut().zip(filters) {
                    u[i] = (g[0] * t[0] + g[1] * t[1] + g[2] * t[2]) as f32;
                }
            }
            points.extend(row.iter().map(|u| PackedB::pack(isa, inputs, outputs, u, [1, inputs])));
        }
        WinogradWeights { side: filters.len(), points }
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.points[0].k()
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.points[0].n()
    }

    /// Side of the tiles.
    pub fn tile(&self) -> usize {
        self.side - 2
    }

    /// Tiles of a window's output, over batch, height and width.
    pub fn tiles(&self, window: &Window) -> usize {
        window.output.iter().fold(window.batch, |tiles, side| tiles * side.div_ceil(self.tile()))
    }

    /// Floats of the transformed filters.
    pub fn filters_len(&self) -> usize {
        self.points.len() * self.inputs() * self.outputs()
    }

    /// Panels of output channels: the unit in which channels are divided among threads.
    pub fn panels(&self) -> usize {
        self.points[0].panels()
    }

    /// The output channels of some panels.
    pub(super) fn columns(&self, panels: &Range<usize>) -> Range<usize> {
        self.points[0].columns(panels.start).start..self.points[0].columns(panels.end - 1).end
    }

    pub(super) fn isa(&self) -> Isa {
        self.points[0].isa()
    }
}
