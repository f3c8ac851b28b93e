//! What only moves, repeats or mixes elements along axes: reshaping, transposing, slicing, joining, padding, looking up, resizing.

use super::edge::{CHANNELS_LAST, Edge, from_front, plain};
use super::lower::{Lower, Lowered};
use super::memory::entry;
use super::step::{Kernel, Place};
use percept_graph::ops::{Concat, Gather, Pad, PadMode, Resize, Slice, Terms, Transpose};
use percept_graph::{DType, Node, ValueId};

impl Lower<'_> {
    pub(super) fn transpose(&mut self, node: &Node, op: &Transpose) -> Lowered<()> {
        let x = self.any(node.inputs[0].ok_or("lacks an input")?)?;
        let perm = op.permutation(x.shape.len());
        let order = x.order.iter().map(|&axis| perm.iter().position(|&p| p == axis).unwrap_or(axis));
        let (order, shape) = (order.collect(), perm.iter().map(|&axis| x.shape[axis]).collect());
        self.set(node.outputs[0], Edge { place: x.place, shape, order });
        Ok(())
    }

    pub(super) fn reshape(&mut self, node: &Node) -> Lowered<()> {
        // A further input may say the shape alone.
        let Some(id) = node.inputs[0] else { return Err("lacks an input".into()) };
        let x = self.any(id)?;
        let x = match self.graph.value(id).ty.dtype {
            DType::F32 => self.reorder(id, &plain(x.shape.len()))?,
            _ if x.lies_in(&plain(x.shape.len())) => x,
            _ => return Err("takes integers only as they lie: reshape them before they are transposed".into()),
        };
        let shape = self.shape(node.outputs[0])?;
        let order = plain(shape.len());
        self.set(node.outputs[0], Edge { place: x.place, shape, order });
        Ok(())
    }

    pub(super) fn slice(&mut self, node: &Node, op: &Slice) -> Lowered<()> {
        let [(_, x)] = self.inputs(node)?;
        let y = self.slot(self.shape(node.outputs[0])?, x.order.clone());
        let ranges = op.ranges(&x.shape);
        let entry = |axis: usize, i: usize| usize::try_from(ranges[axis].0 + i as i64 * ranges[axis].1).ok();
        self.gather(&node.name, &x, &y, (&y.shape, 0), 0.0, entry);
        self.set(node.outputs[0], y);
        Ok(())
    }

    pub(super) fn concat(&mut self, node: &Node, op: &Concat) -> Lowered<()> {
        let parts = self.all_inputs(node)?;
        let axis = from_front(op.axis, parts[0].1.shape.len());
        let y = self.slot(self.shape(node.outputs[0])?, parts[0].1.order.clone());
        let along = y.strides()[axis];
        let mut begin = 0;
        for (id, part) in parts {
            if axis != 1 || !self.write_columns(id, &y, begin) {
                self.gather(&node.name, &part, &y, (&part.shape, begin * along), 0.0, |_, i| Some(i));
            }
            begin += part.shape[axis];
        }
        self.set(node.outputs[0], y);
        Ok(())
    }

    pub(super) fn pad(&mut self, node: &Node, op: &Pad) -> Lowered<()> {
        let [(_, x)] = self.inputs(node)?;
        let y = self.slot(self.shape(node.outputs[0])?, x.order.clone());
        let fill = if let PadMode::Constant(value) = op.mode { value } else { 0.0 };
        let entry = |axis: usize, i: usize| source(i as i64 - op.pads[axis], x.shape[axis] as i64, &op.mode);
        self.gather(&node.name, &x, &y, (&y.shape, 0), fill, entry);
        self.set(node.outputs[0], y);
        Ok(())
    }

    /// The rows that integers name; what lies in which order follows from the integers.
    pub(super) fn lookup(&mut self, node: &Node, op: &Gather) -> Lowered<()> {
        let [Some(data), Some(indices)] = node.inputs[..] else { return Err("needs 2 inputs".into()) };
        let shape = self.shape(data)?;
        let (ids, [outer, size, inner], order) = self.table(node, op, indices, &shape)?;
        let x = self.reorder(data, &plain(shape.len()))?.place;
        self.emit(&node.name, node.outputs[0], order, Kernel::Lookup { x, ids, outer, size, inner })
    }

    /// The integers that name rows of tables of a shape, all of which must be there; how many tables there are, the rows of each, and the
    /// length of a row; and the order of the axes of what is looked up.
    pub(super) fn table(
        &mut self,
        node: &Node,
        op: &Gather,
        indices: ValueId,
        shape: &[usize],
    ) -> Lowered<(Place, [usize; 3], Vec<usize>)> {
        let (axis, ids) = (from_front(op.axis, shape.len()), self.integers(indices)?);
        let (size, product) = (shape[axis], |axes: &[usize]| axes.iter().product());
        match ids.place {
            Place::Constant(i) => {
                let mut all = self.constants[i].iter().map(|x| i64::from(x.to_bits() as i32));
                if let Some(id) = all.find(|&id| entry(id, size).is_none()) {
                    return Err(format!("looks up {id}, which is not among {size} entries"));
                }
            }
            Place::Input(i) => {
                let (end, what) = (size as i64, format!("the {size} entries that \"{}\" looks up", node.name));
                self.asked.push((i, -end..=end - 1, what));
            }
            Place::Slot(_) => return Err("looks up integers that are computed".into()),
        }
        let (own, rank) = (ids.shape.len(), shape.len() - 1 + ids.shape.len());
        let order = (0..axis).chain(ids.order.iter().map(|&i| axis + i)).chain(axis + own..rank).collect();
        Ok((ids.place, [product(&shape[..axis]), size, product(&shape[axis + 1..])], order))
    }

    pub(super) fn resize(&mut self, node: &Node, op: &Resize) -> Lowered<()> {
        let ([(id, x)], to) = (self.inputs(node)?, self.shape(node.outputs[0])?);
        let terms = |axis: usize| op.terms(axis, x.shape[axis], to[axis]);
        self.mix(node, id, &(0..to.len()).map(terms).collect::<Vec<_>>())
    }

    /// A value whose entries along each axis become those sums of them, if any; an axis a step.
    pub(super) fn mix(&mut self, node: &Node, id: ValueId, terms: &[Option<Vec<Terms>>]) -> Lowered<()> {
        let rank = terms.len();
        let mut x = if rank == 4 { self.reorder(id, &CHANNELS_LAST)? } else { self.reorder(id, &plain(rank))? };
        for (axis, terms) in terms.iter().enumerate() {
            let Some(terms) = terms else { continue };
            let at = x.order.iter().position(|&other| other == axis).unwrap_or(0);
            let (size, inner) = (x.shape[axis], x.dims()[at + 1..].iter().product());
            let narrow = |terms: &Terms| terms.iter().map(|&(i, weight)| (i, weight as f32)).collect();
            let kernel = Kernel::Mix { x: x.place, size, inner, terms: terms.iter().map(narrow).collect() };
            let shape = x.shape.iter().enumerate().map(|(i, &size)| if i == axis { terms.len() } else { size });
            let y = self.slot(shape.collect(), x.order.clone());
            self.push(&node.name, kernel, &y);
            x = y;
        }
        self.set(node.outputs[0], x);
        Ok(())
    }
}

/// Which entry of an axis of `size` is shown at position `i`, which may lie outside.
fn source(i: i64, size: i64, mode: &PadMode) -> Option<usize> {
    let inside = match mode {
        PadMode::Constant(_) => i,
        PadMode::Edge => i.clamp(0, size - 1),
        PadMode::Wrap => i.rem_euclid(size),
        PadMode::Reflect if i < 0 => -i,
        PadMode::Reflect if i >= size => 2 * (size - 1) - i,
        PadMode::Reflect => i,
    };
    usize::try_from(inside).ok().filter(|_| inside < size)
}
