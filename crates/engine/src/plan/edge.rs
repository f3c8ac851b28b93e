//! Values on the edges of a plan: where they lie, and in which order their axes follow each other in memory.
//!
//! The order is the layout tag of an edge. Pictures lie channels-last, `[0, 2, 3, 1]` in terms of ONNX's `N, C, H, W`; a transposition
//! only relabels its input and moves nothing. A blocked layout would be another kind of tag here.

use super::step::Place;

/// A value of the plan.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) place: Place,
    /// Sizes of the axes in the graph's order.
    pub(super) shape: Vec<usize>,
    /// The axes from the outermost to the innermost in memory, where they lie densely.
    pub(super) order: Vec<usize>,
}

/// The order of a tensor in row-major form.
pub(super) fn plain(rank: usize) -> Vec<usize> {
    (0..rank).collect()
}

/// The number of an axis that may be counted from the end, as ONNX does with negative numbers.
pub(crate) fn from_front(axis: i64, rank: usize) -> usize {
    if axis < 0 { rank.wrapping_add_signed(axis as isize) } else { axis as usize }
}

/// Pictures with the channels innermost.
pub(super) const CHANNELS_LAST: [usize; 4] = [0, 2, 3, 1];

impl Edge {
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Distance in memory of neighbours along each axis.
    pub(super) fn strides(&self) -> Vec<usize> {
        let mut strides = vec![0; self.shape.len()];
        let mut distance = 1;
        for &axis in self.order.iter().rev() {
            strides[axis] = distance;
            distance *= self.shape[axis];
        }
        strides
    }

    /// Whether the elements already lie as `order` asks: axes of size 1 do not count.
    pub(super) fn lies_in(&self, order: &[usize]) -> bool {
        let wide = |order: &[usize]| order.iter().copied().filter(|&axis| self.shape[axis] != 1).collect::<Vec<_>>();
        self.len() == 0 || wide(&self.order) == wide(order)
    }

    /// The sizes of the axes in memory order.
    pub(super) fn dims(&self) -> Vec<usize> {
        self.order.iter().map(|&axis| self.shape[axis]).collect()
    }

    /// For each axis of a result of shape `shape`, the distance in memory along it; 0 where this value is broadcast.
    pub(super) fn broadcast_strides(&self, shape: &[usize]) -> Vec<usize> {
        let (own, missing) = (self.strides(), shape.len() - self.shape.len());
        (0..shape.len())
            .map(|axis| match axis.checked_sub(missing) {
                Some(i) if self.shape[i] != 1 => own[i],
                _ => 0,
            })
            .collect()
    }
}
