//! Convolutions that compute their operands while they read them, and take the sums that the next normalisation needs while their result is
//! in cache. On the way back one step makes both gradients from one pass over that of the output.

use super::super::conv::Way;
use super::super::lazy::Lazy;
use super::super::memory::Memory;
use super::super::step::Place;
use super::blocks::BackwardSums;
use crate::Pool;
use crate::kernels::gradient::ConvShape;
use crate::kernels::{DepthwiseWeights, Out, PackedB};
use crate::simd::Isa;

/// A packed weight, which knows how its kind of convolution runs.
pub(in super::super) trait Packed: Send + Sync {
    /// Packs the weight anew, for the convolution or the gradient of its input.
    fn pack(&mut self, weight: &[f32], way: Way, pool: &Pool);

    /// Pixels of each task of the convolution.
    fn counts(&self, conv: &ConvShape) -> Vec<usize>;

    /// Floats of scratch memory that the convolution needs in each thread.
    fn scratch(&self, conv: &ConvShape) -> usize;

    fn run(&self, step: &FusedConv, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa);

    /// Tasks of the gradients, each with a gradient of the weight of its own.
    fn grad_parts(&self, conv: &ConvShape) -> usize;

    /// The axes of the weight in the order of its gradient.
    fn grad_order(&self, conv: &ConvShape) -> Vec<usize>;

    /// Floats of scratch memory that the gradients need in each thread.
    fn grad_scratch(&self, conv: &ConvShape) -> usize;

    fn run_grad(&self, step: &FusedConvGrad, memory: &Memory<'_>, pool: &Pool, isa: Isa);
}

/// Room for the weight of a 1×1 or depthwise convolution; other kinds have steps of another form.
pub(super) fn room(isa: Isa, conv: &ConvShape, way: Way) -> Option<Box<dyn Packed>> {
    let ConvShape { window: w, groups, inputs, outputs } = *conv;
    if groups > 1 && groups == inputs && groups == outputs {
        return Some(Box::new(DepthwiseWeights::zeroed(isa, inputs, w.kernel)));
    }
    let [k, n] = if way == Way::Forward { [inputs, outputs] } else { [outputs, inputs] };
    let pointwise = w.kernel == [1, 1] && w.stride == [1, 1] && w.pad == [0, 0] && w.input == w.output;
    (groups == 1 && pointwise).then(|| Box::new(PackedB::zeroed(isa, k, n)) as _)
}

/// A convolution.
pub(in super::super) struct FusedConv {
    pub(in super::super) conv: ConvShape,
    pub(super) x: Lazy,
    pub(super) weight: Place,
    pub(super) packed: Box<dyn Packed>,
    /// The slot of the sums of its result (see [`forward_sums`](super::blocks::forward_sums)).
    pub(super) sums: Option<usize>,
}

impl FusedConv {
    pub(super) fn reads(&self) -> Vec<Place> {
        self.x.operands().chain([self.weight]).collect()
    }

    pub(super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        self.packed.pack(memory.read(self.weight), Way::Forward, pool);
        self.packed.run(self, memory, out, pool, isa);
    }
}

/// The gradients of a convolution, one or both.
pub(in super::super) struct FusedConvGrad {
    pub(in super::super) conv: ConvShape,
    pub(super) dy: Lazy,
    pub(super) packed: Box<dyn Packed>,
    /// For that of the weight: the convolution's input, and the slot where partial gradients go.
    pub(in super::super) weight: Option<(Lazy, usize)>,
    pub(in super::super) input: Option<InputGrad>,
}

/// The gradient of a convolution with respect to its input.
pub(in super::super) struct InputGrad {
    pub(super) weight: Place,
    /// Where the gradient goes.
    pub(super) slot: usize,
    pub(super) sums: Option<BackwardSums>,
}

impl FusedConvGrad {
    pub(super) fn reads(&self) -> Vec<Place> {
        let (input, weight) = (self.input.iter(), self.weight.iter());
        let sums = input.clone().filter_map(|input| input.sums.as_ref()).flat_map(BackwardSums::reads);
        let own = self.dy.operands().chain(weight.flat_map(|(x, _)| x.operands()));
        own.chain(input.map(|input| input.weight)).chain(sums).collect()
    }

    pub(super) fn writes(&self) -> Vec<usize> {
        let input = self.input.as_ref();
        let sums = input.and_then(|input| input.sums).map(|sums| sums.slot);
        [self.weight.map(|(_, slot)| slot), input.map(|input| input.slot), sums].into_iter().flatten().collect()
    }

    pub(super) fn run(&mut self, memory: &Memory<'_>, pool: &Pool, isa: Isa) {
        if let Some(input) = &self.input {
            self.packed.pack(memory.read(input.weight), Way::Backward, pool);
        }
        self.packed.run_grad(self, memory, pool, isa);
    }
}
