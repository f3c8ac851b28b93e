//! Filters transformed for Winograd's convolution.

use super::transform::{FILTER_2, FILTER_4, Filter};
use crate::kernels::{Layout, PackedB, Panel, Window};
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
        let empty = PackedB::zeroed(isa, inputs, outputs);
        WinogradWeights { side: tile + 2, points: vec![empty; (tile + 2) * (tile + 2)] }
    }

    /// Transforms weights in ONNX's layout, [outputs, inputs, 3, 3], for tiles of side 2 or 4, and packs them for one instruction set.
    pub fn pack(isa: Isa, tile: usize, shape: [usize; 2], weights: &[f32]) -> WinogradWeights {
        let mut packed = WinogradWeights::empty(isa, tile, shape);
        packed.panels_mut(weights, false).for_each(|mut panel| panel.transform());
        packed
    }

    /// The panels of output channels, which can be filled one beside the other from weights in ONNX's layout: with those of the convolution, or
    /// of the one that gives the gradient with respect to its input, in which inputs and outputs are exchanged and the filters turned round.
    pub fn panels_mut<'a>(&'a mut self, weights: &'a [f32], backward: bool) -> impl Iterator<Item = WinogradPanel<'a>> {
        let filters: &[Filter] = if self.side == 4 { &FILTER_2 } else { &FILTER_4 };
        let (isa, k, n) = (self.isa(), self.inputs(), self.outputs());
        assert_eq!(weights.len(), k * n * 9, "weights of {n}×{k}×3×3");
        let steps = if backward { [9 * n, 9] } else { [9, 9 * k] };
        let mut panels: Vec<_> = (0..self.panels()).map(|_| Vec::with_capacity(self.points.len())).collect();
        for point in &mut self.points {
            let own = point.panels_mut(Layout::strided([0, 0]));
            panels.iter_mut().zip(own).for_each(|(list, panel)| list.push(panel));
        }
        let panels = panels.into_iter().filter(|points| !points.is_empty());
        panels.map(move |points| WinogradPanel { isa, inputs: k, filters, points, weights, steps, backward })
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

/// The filters of a panel of output channels, at all points.
pub struct WinogradPanel<'a> {
    isa: Isa,
    inputs: usize,
    filters: &'static [Filter],
    points: Vec<Panel<'a>>,
    weights: &'a [f32],
    /// Distances of the filters of neighbouring inputs and outputs.
    steps: [usize; 2],
    backward: bool,
}

impl WinogradPanel<'_> {
    /// Transforms the weights into the panel.
    pub fn transform(&mut self) {
        // SAFETY: the kernel works on slices.
        unsafe { self.isa.run(self) }
    }
}

impl Kernel for &mut WinogradPanel<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (side, columns, width) = (self.filters.len(), self.points[0].columns.clone(), self.points[0].width);
        for first in columns.clone().step_by(S::LANES) {
            for i in 0..self.inputs {
                // A tap of all filters after the other.
                let mut taps = [[0.0; 16]; 9];
                for lane in 0..S::LANES.min(columns.end - first) {
                    let filter = &self.weights[i * self.steps[0] + (first + lane) * self.steps[1]..][..9];
                    for (t, taps) in taps.iter_mut().enumerate() {
                        taps[lane] = filter[if self.backward { 8 - t } else { t }];
                    }
                }
                for (g, points) in self.filters.iter().zip(self.points.chunks_exact_mut(side)) {
                    // SAFETY: the taps of a vector, and a vector of the points' memory, are whole.
                    unsafe {
                        let [mut t0, mut t1, mut t2] = [S::splat(0.0); 3];
                        for (j, taps) in taps.as_chunks::<3>().0.iter().enumerate() {
                            let g = S::splat(g[j] as f32);
                            t0 = S::mul_add(g, S::load(taps[0].as_ptr()), t0);
                            t1 = S::mul_add(g, S::load(taps[1].as_ptr()), t1);
                            t2 = S::mul_add(g, S::load(taps[2].as_ptr()), t2);
                        }
                        for (point, g) in points.iter_mut().zip(self.filters) {
                            let [a, b] = [S::splat(g[0] as f32), S::splat(g[1] as f32)];
                            let sum = S::mul_add(S::splat(g[2] as f32), t2, S::mul_add(b, t1, S::mul(a, t0)));
                            S::store(point.data[i * width + first - columns.start..][..S::LANES].as_mut_ptr(), sum);
                        }
                    }
                }
            }
        }
    }
}
