//! Depth-first steps: expand → depthwise → project, stem → depthwise → project, or depthwise → project, as one kernel.
//!
//! A chain is taken where its inner values have one reader each, its weights are constants and its inner activations clamps; anything else stays
//! as it is. One thread takes all of its work. For several it is cut by pictures, and, of one to three pictures, by bands of rows. Bands of maps that are
//! much smaller than their weights would have most rows in common and read all weights each; those are cut by channels, and the projection, after a
//! barrier, by pixels or output channels. Wherever bands do, they are better: a thread that reads the middle from the other core's cache waits for it.

use super::edge::CHANNELS_LAST;
use super::fuse::{Action, Finder, Fused, has_epilogue};
use super::lower::{Lower, Lowered};
use super::memory::Memory;
use super::step::{Kernel, Place, Tail};
use super::tasks::{GRAIN, grid, part, tasks};
use crate::Pool;
use crate::kernels::{self, Activation, BottleneckWeights, Layer, Out, Window};
use percept_graph::{Node, Op, ValueId, ops};
use std::sync::Arc;

/// The layers of a bottleneck.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    expand: Option<Fused>,
    depthwise: Fused,
    project: Fused,
}

impl Finder<'_> {
    /// Turns chains of products into one action, at the last node of the projection.
    pub(super) fn bottlenecks(&self, actions: &mut [Action]) {
        // The last node of each product, by the value that it makes.
        let mut makers = vec![None; self.graph.values().len()];
        for (i, node) in self.graph.nodes().iter().enumerate() {
            let Some(project) = self.constant_conv(&actions[i]) else { continue };
            makers[node.outputs[0].index()] = Some(i);
            let maker = |id: ValueId| makers[id.index()].filter(|_| self.readers[id.index()].is_some());
            if let Some((absorbed, chain)) = self.chain(project, maker, actions) {
                absorbed.into_iter().for_each(|j| actions[j] = Action::Absorbed);
                actions[i] = Action::Bottleneck(Box::new(chain));
            }
        }
    }

    /// The convolution with constant parameters that an action is.
    fn constant_conv(&self, action: &Action) -> Option<Fused> {
        let Action::Product(fused) = action else { return None };
        let node = self.graph.node(fused.anchor);
        let conv = matches!(node.op, Op::Conv(_)) && self.graph.value(node.inputs[0]?).ty.rank() == 4;
        (conv && has_epilogue(self.graph, self.constants, node)).then(|| fused.clone())
    }

    /// The chain that ends with `project`, and the nodes that its other layers end with.
    fn chain(
        &self,
        project: Fused,
        maker: impl Fn(ValueId) -> Option<usize>,
        actions: &[Action],
    ) -> Option<(Vec<usize>, Chain)> {
        let inner = |of: &Fused| {
            let i = maker(self.graph.node(of.anchor).inputs[0]?)?;
            let fused = self.constant_conv(&actions[i])?;
            (fused.residual.is_none() && fused.activation.clamp().is_some()).then_some((i, fused))
        };
        let pointwise = |fused: &Fused| self.sizes(fused).is_some_and(|(op, shape)| is_pointwise(op, shape));
        let (last, depthwise) = inner(&project).filter(|_| pointwise(&project))?;
        let (op, shape) = self.sizes(&depthwise)?;
        if op.group != shape[0] || shape[1] != 1 || shape[0] == 1 {
            return None;
        }
        match inner(&depthwise).filter(|(_, expand)| pointwise(expand) || self.is_stem(expand)) {
            Some((first, expand)) => Some((vec![first, last], Chain { expand: Some(expand), depthwise, project })),
            None if shape[0] % self.isa.lanes() == 0 => Some((vec![last], Chain { expand: None, depthwise, project })),
            None => None,
        }
    }

    /// Whether a convolution reads so few channels that computing some of its rows twice costs little: that of a picture.
    fn is_stem(&self, fused: &Fused) -> bool {
        self.sizes(fused).is_some_and(|(op, shape)| op.group == 1 && shape[1] <= 4)
    }

    fn sizes(&self, fused: &Fused) -> Option<(&ops::Conv, &[usize])> {
        let node = self.graph.node(fused.anchor);
        let Op::Conv(op) = &node.op else { return None };
        let weight = self.constants.get(&self.graph.value(node.inputs[1]?).name)?;
        (weight.shape().len() == 4).then_some((op, weight.shape()))
    }
}

fn is_pointwise(op: &ops::Conv, shape: &[usize]) -> bool {
    let padded = matches!(&op.padding, ops::Padding::Explicit(pads) if pads.iter().any(|&pad| pad != 0));
    op.group == 1 && shape[2..] == [1, 1] && op.strides == [1, 1] && !padded
}

impl Lower<'_> {
    /// The step of a chain; `last` is the node whose output is made.
    pub(super) fn bottleneck(&mut self, last: &Node, chain: &Chain) -> Lowered<()> {
        let graph = self.graph;
        let [depthwise, project] = [&chain.depthwise, &chain.project].map(|fused| graph.node(fused.anchor));
        let expand = chain.expand.as_ref().map(|fused| (graph.node(fused.anchor), fused.activation));
        let x = expand.map_or(depthwise, |(node, _)| node).inputs[0].ok_or("lacks an input")?;
        let x = self.reorder(x, &CHANNELS_LAST)?;
        let window = self.conv_window(depthwise)?;
        let stem = expand.map(|(node, _)| self.conv_window(node)).transpose()?;
        let stem = stem.filter(|stem| stem.kernel != [1, 1] || stem.input != stem.output);
        let bias = self.bias(project)?;
        let tail = self.tail(bias, &chain.project, &CHANNELS_LAST)?;
        let name = |node: &Node| node.inputs[1].map_or(String::new(), |id| graph.value(id).name.clone());
        let key = [expand.map_or(String::new(), |(node, _)| name(node)), name(depthwise), name(project)];
        let weights = match self.packed.bottleneck.get(&key) {
            Some(weights) => Arc::clone(weights),
            None => {
                let expand = expand.map(|(node, activation)| self.layer(node, activation)).transpose()?;
                let inner = self.layer(depthwise, chain.depthwise.activation)?;
                let last = self.layer(project, Activation::None)?;
                let [inputs, outputs] = [depthwise, project].map(|node| self.shape(node.outputs[0]));
                let sizes = [x.shape[1], inputs?[1], outputs?[1]];
                let weights = BottleneckWeights::pack(self.isa, sizes, expand.as_ref(), &inner, last.weights);
                self.packed.bottleneck.entry(key).or_insert(Arc::new(weights)).clone()
            }
        };
        let middle =
            by_channels(&window, &weights).then(|| self.slot(vec![weights.middle_len(&window)], vec![0]).place);
        let step = Bottleneck { window, stem, x: x.place, weights, tail, middle };
        self.emit(&depthwise.name, last.outputs[0], CHANNELS_LAST.to_vec(), Kernel::Bottleneck(step))
    }

    fn layer(&self, node: &Node, activation: Activation) -> Lowered<Layer<'_>> {
        let weights = self.constant_values(node.inputs[1].ok_or("lacks its weights")?)?;
        let bias = node.inputs.get(2).copied().flatten().map(|id| self.constant_values(id)).transpose()?;
        Ok(Layer { weights, kernel: self.conv_window(node)?.kernel, bias, activation })
    }
}

/// The step of a chain.
pub(super) struct Bottleneck {
    window: Window,
    /// The window of an expansion that is not 1×1.
    stem: Option<Window>,
    x: Place,
    weights: Arc<BottleneckWeights>,
    tail: Tail,
    /// Memory for the middle of all pictures, where the work is divided by channels.
    middle: Option<Place>,
}

/// Whether the work is better divided by channels: bands of a few pictures that are much smaller than their weights would have most rows in
/// common and read all weights each.
fn by_channels(window: &Window, weights: &BottleneckWeights) -> bool {
    window.batch < 4 && weights.inputs() + weights.outputs() > 2 * window.output[0] * window.output[1]
}

impl Bottleneck {
    pub(super) fn reads(&self) -> Vec<Place> {
        self.tail.reads(self.x, self.middle)
    }

    pub(super) fn scratch(&self) -> usize {
        self.weights.scratch_len(&self.window, self.stem.as_ref())
    }

    /// What the chain is made of, for profiles.
    pub(super) fn layers(&self) -> String {
        let expansion = self.weights.expansion().map(|[height, width]| format!(" {height}x{width},"));
        expansion.unwrap_or_default() + " depthwise, 1x1"
    }

    /// Floating-point operations of the layers one by one.
    pub(super) fn flops(&self) -> usize {
        let (w, b) = (&self.window, &self.weights);
        let after = usize::from(b.expansion().is_some());
        let expand = 2 * w.input_pixels() * (b.filter() + after) * b.channels();
        let middle = w.pixels() * (2 * w.taps() + 2) * b.channels();
        expand
            + middle
            + 2 * w.pixels() * b.channels() * b.outputs()
            + self.tail.operations() * w.pixels() * b.outputs()
    }

    /// Elements of the packed weights.
    pub(super) fn weights(&self) -> usize {
        let b = &self.weights;
        (b.filter() + self.window.taps() + b.outputs()) * b.channels()
    }

    pub(super) fn run(&self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool) {
        let (window, weights) = (self.window, &*self.weights);
        let (x, epilogue) = (memory.read(self.x), memory.epilogue(&self.tail));
        let bottleneck = kernels::Bottleneck { window, stem: self.stem, x, weights, epilogue };
        match self.middle.filter(|_| pool.threads() > 1) {
            Some(Place::Slot(slot)) => self.run_by_channels(&bottleneck, memory, slot, out, pool),
            _ => {
                let rows = window.rows();
                let band = if pool.threads() == 1 { rows } else { self.band() };
                pool.run(rows.div_ceil(band), &|task, thread| {
                    let rows = task * band..rows.min((task + 1) * band);
                    // SAFETY: the bands are disjoint; the scratch memory is of this thread, and asked for once.
                    unsafe { kernels::bottleneck(&bottleneck, out, rows, memory.scratch(thread)) }
                });
            }
        }
    }

    /// Output rows of a task: one or several pictures, or, of a few large pictures, parts.
    fn band(&self) -> usize {
        let (height, batch) = (self.window.output[0], self.window.batch);
        let parts = tasks(self.weights.flop(&self.window), GRAIN);
        match parts.div_ceil(batch) {
            0 | 1 => height * batch.div_ceil(parts),
            _ if batch >= 4 => height,
            bands => height.div_ceil(bands.min(if height > 28 { 4 } else { 2 })),
        }
    }

    fn run_by_channels(
        &self,
        bottleneck: &kernels::Bottleneck<'_>,
        memory: &Memory<'_>,
        slot: usize,
        out: Out<'_>,
        pool: &Pool,
    ) {
        let (window, weights) = (&self.window, &self.weights);
        let (middle, panels) = (memory.write(slot), weights.panels());
        let parts = panels.min(12);
        // The last panel may be the widest, so it comes first.
        pool.run(parts, &|task, thread| {
            let panels = part(panels, 1, parts, parts - 1 - task);
            // SAFETY: each task has panels of its own; the scratch memory is of this thread, and asked for once.
            unsafe { kernels::bottleneck_middle(bottleneck, middle, panels, memory.scratch(thread)) }
        });
        let middle = memory.read(Place::Slot(slot));
        let (pixels, panels) = (window.pixels(), weights.output_panels());
        let (across, down) = grid(pixels, 56, panels, 1, tasks(weights.flop(window) / 2, GRAIN));
        pool.run(across * down, &|task, _| {
            let (pixels, panels) = (part(pixels, 14, across, task / down), part(panels, 1, down, task % down));
            // SAFETY: the parts of the grid are disjoint, and nobody writes the middle any more.
            unsafe { kernels::bottleneck_project(bottleneck, middle, out, pixels, panels) }
        });
    }
}
