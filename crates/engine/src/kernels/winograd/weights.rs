//! Filters transformed for Winograd's convolution.

use super::transform::{FILTER_2, FILTER_4, Filter};
use crate::kernels::{PackedB, Window};
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// The transformed filters of a 3×3 convolution: a matrix of inputs × outputs for each point, four times as large as the filters, or 1.8 times for
/// tiles of 2×2.
#[derive(Clone)]
pub struct WinogradWeights {
    /// Side of the patches.
    pub(super) side: usize,
    pub(super) points: Vec<PackedB>,
}

impl WinogradWeights {
    /// Room for filters of tiles of side 2 or 4.
    pub fn empty(isa: Isa, tile: usize, [outputs, inputs]: [usize; 2]) -> WinogradWeights {
        assert!(tile == 2 || tile == 4, "tiles of {tile}");
        let empty = PackedB::pack(isa, inputs, outputs, &vec![0.0; inputs * outputs], [outputs, 1]);
        WinogradWeights { side: tile + 2, points: vec![empty; (tile + 2) * (tile + 2)] }
    }

    /// Transforms weights in ONNX's layout, [outputs, inputs, 3, 3], for tiles of side 2 or 4, and packs them for one instruction set.
    pub fn pack(isa: Isa, tile: usize, shape: [usize; 2], weights: &[f32]) -> WinogradWeights {
        let mut packed = WinogradWeights::empty(isa, tile, shape);
        packed.rows().for_each(|mut row| row.transform(weights, false));
        packed
    }

    /// The rows of points, which can be filled one beside the other.
    pub fn rows(&mut self) -> impl Iterator<Item = WinogradRow<'_>> {
        let filters: &[Filter] = if self.side == 4 { &FILTER_2 } else { &FILTER_4 };
        filters.iter().zip(self.points.chunks_exact_mut(self.side)).map(|(g, points)| WinogradRow {
            g,
            filters,
            points,
        })
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

/// The filters at a row of points.
pub struct WinogradRow<'a> {
    g: &'static Filter,
    filters: &'static [Filter],
    points: &'a mut [PackedB],
}

impl WinogradRow<'_> {
    /// Transforms weights in ONNX's layout into the memory at hand: those of the convolution, or of the one that gives the gradient with
    /// respect to its input, in which inputs and outputs are exchanged and the filters turned round.
    pub fn transform(&mut self, weights: &[f32], backward: bool) {
        let (k, n) = (self.points[0].k(), self.points[0].n());
        assert_eq!(weights.len(), k * n * 9, "weights of {n}×{k}×3×3");
        let isa = self.points[0].isa();
        // SAFETY: the kernel works on slices.
        unsafe { isa.run(Transform { row: self, weights, backward }) }
    }
}

struct Transform<'a, 'b> {
    row: &'a mut WinogradRow<'b>,
    weights: &'a [f32],
    backward: bool,
}

impl Kernel for Transform<'_, '_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let WinogradRow { g, filters, points } = self.row;
        let (inputs, outputs) = (points[0].k(), points[0].n());
        let steps = if self.backward { [9 * outputs, 9] } else { [9, 9 * inputs] };
        for i in 0..inputs {
            for first in (0..outputs).step_by(S::LANES) {
                // A tap of all filters after the other.
                let mut taps = [[0.0; 16]; 9];
                for lane in 0..S::LANES.min(outputs - first) {
                    let filter = &self.weights[i * steps[0] + (first + lane) * steps[1]..][..9];
                    for (t, taps) in taps.iter_mut().enumerate() {
                        taps[lane] = filter[if self.backward { 8 - t } else { t }];
                    }
                }
                // SAFETY: the taps of a vector, and a vector of the points' memory, are whole.
                unsafe {
                    let sum = |g: &Filter, x: [S::V; 3]| {
                        let [a, b, c] = g.map(|g| S::splat(g as f32));
                        S::mul_add(c, x[2], S::mul_add(b, x[1], S::mul(a, x[0])))
                    };
                    let rows: [S::V; 3] =
                        std::array::from_fn(|k| sum(g, std::array::from_fn(|j| S::load(taps[3 * j + k].as_ptr()))));
                    for (point, g) in points.iter_mut().zip(*filters) {
                        S::store(point.vector(i, first).as_mut_ptr(), sum(g, rows));
                    }
                }
            }
        }
    }
}
