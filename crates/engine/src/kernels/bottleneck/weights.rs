//! The weights of a bottleneck, and how large its chunks are.

use crate::kernels::{Activation, ConvWeights, PackedB, Window};
use crate::simd::{AlignedBuf, Isa};
use std::ops::Range;

/// Floats of a panel's ring: what the L1 cache holds beside the weights.
const RING: usize = 12 << 10;
/// Floats of a chunk's middle, unless a picture's fits into the ring.
const MIDDLE: usize = 64 << 10;
/// Output pixels for which the weights are worth passing by: pictures that have fewer go together.
const PIXELS: usize = 98;

/// One layer of a bottleneck: weights in ONNX's layout, and what follows them.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    /// [outputs, inputs / groups, kernel height, kernel width]
    pub weights: &'a [f32],
    /// [kernel height, kernel width]
    pub kernel: [usize; 2],
    /// One value a channel.
    pub bias: Option<&'a [f32]>,
    /// `None`, `Relu` or `Clip`.
    pub activation: Activation,
}

/// The packed weights of a bottleneck, and the epilogues of its inner layers.
pub struct BottleneckWeights {
    pub(super) isa: Isa,
    pub(super) inputs: usize,
    /// Channels in the middle, a multiple of the vector; those that were added are zero.
    pub(super) channels: usize,
    pub(super) kernel: [usize; 2],
    pub(super) expand: Option<Expand>,
    /// Panel by panel, `[kh][kw][channels of the panel]`.
    pub(super) taps: AlignedBuf,
    pub(super) bias: AlignedBuf,
    pub(super) activation: Activation,
    pub(super) project: PackedB,
}

pub(super) struct Expand {
    pub(super) kernel: [usize; 2],
    pub(super) weights: ConvWeights,
    pub(super) bias: AlignedBuf,
    pub(super) activation: Activation,
}

impl BottleneckWeights {
    /// Packs the layers; `sizes` are the channels of input, middle and output. Without `expand` the channels of input and middle are the same,
    /// and a multiple of the vector. The bias and the activation of the projection are those of the call.
    pub fn pack(
        isa: Isa,
        [inputs, middle, outputs]: [usize; 3],
        expand: Option<&Layer<'_>>,
        depthwise: &Layer<'_>,
        project: &[f32],
    ) -> BottleneckWeights {
        let channels = middle.next_multiple_of(isa.lanes());
        let kernel = depthwise.kernel;
        let taps = kernel[0] * kernel[1];
        assert!(expand.is_some() || inputs == channels, "{inputs} inputs for {channels} channels in vectors");
        let inner = expand.into_iter().chain([depthwise]);
        assert!(inner.map(|layer| layer.activation.clamp()).all(|clamp| clamp.is_some()), "activations inside");
        assert_eq!(depthwise.weights.len(), middle * taps, "weights of {middle} filters of {kernel:?}");
        assert_eq!(project.len(), middle * outputs, "weights of {middle}→{outputs}");
        let padded = |values: &[f32], len: usize| {
            let mut buffer = AlignedBuf::zeroed(len);
            buffer[..values.len()].copy_from_slice(values);
            buffer
        };
        let bias = |layer: &Layer<'_>| {
            assert!(layer.bias.is_none_or(|bias| bias.len() == middle), "bias of {middle} channels");
            padded(layer.bias.unwrap_or_default(), channels)
        };
        let expand = expand.map(|layer| {
            let [height, width] = layer.kernel;
            let filter = inputs * height * width;
            assert_eq!(layer.weights.len(), middle * filter, "weights of {inputs}→{middle}");
            let weights = padded(layer.weights, channels * filter);
            let weights = ConvWeights::pack(isa, 1, [channels, inputs, height, width], &weights);
            Expand { kernel: layer.kernel, weights, bias: bias(layer), activation: layer.activation }
        });
        let mut rows = AlignedBuf::zeroed(channels * outputs);
        for (o, filter) in project.chunks(middle.max(1)).enumerate() {
            filter.iter().enumerate().for_each(|(c, &x)| rows[c * outputs + o] = x);
        }
        let project = PackedB::pack(isa, channels, outputs, &rows, [outputs, 1]);
        let (bias, activation, columns) = (bias(depthwise), depthwise.activation, AlignedBuf::zeroed(taps * channels));
        let mut packed =
            BottleneckWeights { isa, inputs, channels, kernel, expand, taps: columns, bias, activation, project };
        for panel in 0..packed.panels() {
            let panel = packed.panel(panel);
            let filters = &mut packed.taps[taps * panel.start..][..taps * panel.len()];
            for (c, filter) in panel.clone().zip(depthwise.weights.chunks(taps.max(1)).skip(panel.start)) {
                filter.iter().enumerate().for_each(|(tap, &x)| filters[tap * panel.len() + c - panel.start] = x);
            }
        }
        packed
    }

    /// The kernel of the expansion, if there is one.
    pub fn expansion(&self) -> Option<[usize; 2]> {
        self.expand.as_ref().map(|expand| expand.kernel)
    }

    /// Weights that make a value of the expansion.
    pub fn filter(&self) -> usize {
        self.expansion().map_or(0, |[height, width]| height * width * self.inputs)
    }

    /// Channels in the middle, in whole vectors.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Channels of the input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.project.n()
    }

    /// Panels of the projection's columns: the second range of [`bottleneck_project`](super::bottleneck_project).
    pub fn output_panels(&self) -> usize {
        self.project.panels()
    }

    /// Panels of channels in the middle: the range of [`bottleneck_middle`](super::bottleneck_middle).
    pub fn panels(&self) -> usize {
        match &self.expand {
            Some(expand) => expand.weights.panels(),
            None => self.channels.div_ceil(2 * self.isa.lanes()),
        }
    }

    /// The channels of a panel and their depthwise filters.
    pub(super) fn panel_taps(&self, panel: usize) -> (Range<usize>, &[f32]) {
        let (channels, taps) = (self.panel(panel), self.kernel[0] * self.kernel[1]);
        let filters = &self.taps[taps * channels.start..][..taps * channels.len()];
        (channels, filters)
    }

    pub(super) fn panel(&self, panel: usize) -> Range<usize> {
        let width = 2 * self.isa.lanes();
        match &self.expand {
            Some(expand) => expand.weights.columns(panel),
            None => panel * width..self.channels.min((panel + 1) * width),
        }
    }

    /// Floats of scratch that [`bottleneck`](super::bottleneck()) and [`bottleneck_middle`](super::bottleneck_middle) need in each thread, with the window of
    /// the stem, if there is one.
    pub fn scratch_len(&self, window: &Window, stem: Option<&Window>) -> usize {
        let cut = self.cut(window);
        self.ring_len(&cut, window) + self.expand_scratch_len(stem) + self.channels * spread(cut.pixels)
    }

    /// Floats that the expansion needs as scratch.
    pub(super) fn expand_scratch_len(&self, stem: Option<&Window>) -> usize {
        let expand = stem.zip(self.expand.as_ref());
        expand.map_or(0, |(window, expand)| expand.weights.scratch_len(window).next_multiple_of(16))
    }

    /// Floats of the middle of all pictures.
    pub fn middle_len(&self, window: &Window) -> usize {
        self.channels * spread(window.pixels())
    }

    /// Floating-point operations for this window, each tap and each product counted as two.
    pub fn flop(&self, window: &Window) -> usize {
        let expand = window.input_pixels() * self.filter();
        let taps = window.pixels() * self.kernel[0] * self.kernel[1];
        2 * self.channels * (expand + taps + window.pixels() * self.outputs())
    }

    pub(super) fn ring_len(&self, cut: &Cut, window: &Window) -> usize {
        let channels = if cut.rings { self.channels } else { self.channels.min(3 * self.isa.lanes()) };
        if self.expand.is_some() { cut.lines * window.input[1] * channels } else { 0 }
    }

    pub(super) fn cut(&self, w: &Window) -> Cut {
        let [height, width] = w.output;
        let line = w.input[1] * 2 * self.isa.lanes();
        let picture = w.input[0] * line;
        let fits = if self.expand.is_some() { picture <= RING } else { height * width * self.channels <= MIDDLE };
        if fits || w.input[0] <= 1 {
            let pictures = (PIXELS / (height * width).max(1)).min(RING / picture.max(1)).clamp(1, w.batch.max(1));
            let lines = (pictures * w.input[0]).next_power_of_two();
            return Cut { pictures, rows: height, lines, rings: false, pixels: pictures * height * width };
        }
        let reach = (w.kernel[0].max(1) - 1) * w.dilation[0] + 1;
        let most = reach.max(RING / line.max(1));
        let lines = reach.next_power_of_two().max((most / 2 + 1).next_power_of_two());
        let rows = match self.expand {
            Some(_) => (lines - reach) / w.stride[0] + 1,
            None => (MIDDLE / (width * self.channels).max(1)).max(1),
        };
        let rows = rows.min(height);
        Cut { pictures: 1, rows, lines, rings: rows < height, pixels: rows * width }
    }
}

/// How the rows of a window are cut into chunks.
pub(super) struct Cut {
    /// Pictures of a chunk, if it is of whole pictures.
    pub(super) pictures: usize,
    /// Output rows of a chunk that is of one picture.
    pub(super) rows: usize,
    /// Lines of a ring, a power of two.
    pub(super) lines: usize,
    /// Whether each panel has a ring of its own, because the next chunk goes on with it.
    pub(super) rings: bool,
    /// Output pixels of a chunk.
    pub(super) pixels: usize,
}

/// Pixels between two blocks of the middle: odd, so that blocks do not fall on the same few cache sets.
pub(super) fn spread(pixels: usize) -> usize {
    pixels | 1
}
