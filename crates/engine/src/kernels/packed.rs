//! The right-hand side of a product, packed into panels.

use super::layout::Block as Transposed;
use crate::simd::{AlignedBuf, Isa};
use std::ops::Range;

/// Rows of a panel that are filled at once.
const ROWS: usize = 16;
/// Floats of the widest row of a panel.
pub(super) const WIDEST: usize = 48;

/// B of `A·B` in panels of two vectors of columns, each panel row by row; of an odd number of vectors the last joins the last panel
/// where there are 32 registers, and is a panel of its own where there are fewer.
///
/// The columns of the last vector are padded with zeros.
#[derive(Clone)]
pub struct PackedB {
    pub(super) isa: Isa,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) data: AlignedBuf,
}

impl PackedB {
    /// Packs `B[k×n]`, whose element (i, j) is `b[i·strides[0] + j·strides[1]]`: `[n, 1]` for row-major, `[1, k]` for a transposed one.
    ///
    /// ```
    /// use percept_engine::{kernels::PackedB, simd::Isa};
    /// let b = PackedB::pack(Isa::SCALAR, 2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3, 1]);
    /// assert_eq!((b.k(), b.n(), b.panels()), (2, 3, 1));
    /// ```
    pub fn pack(isa: Isa, k: usize, n: usize, b: &[f32], strides: [usize; 2]) -> PackedB {
        let mut packed = PackedB::zeroed(isa, k, n);
        packed.panels_mut(Layout::strided(strides)).for_each(|mut panel| panel.fill(b));
        packed
    }

    /// A matrix of zeros, k × n.
    pub fn zeroed(isa: Isa, k: usize, n: usize) -> PackedB {
        PackedB { isa, k, n, data: AlignedBuf::zeroed(k * n.next_multiple_of(isa.lanes())) }
    }

    /// The panels, which can be filled one beside the other from a matrix that lies as `from` says.
    pub fn panels_mut(&mut self, from: Layout) -> impl Iterator<Item = Panel<'_>> {
        let (k, isa, all) = (self.k, self.isa, (0..self.panels()).map(|p| self.columns(p)).collect::<Vec<_>>());
        let mut rest = &mut self.data[..];
        all.into_iter().filter(move |_| k > 0).map(move |columns| {
            let width = columns.len().next_multiple_of(isa.lanes());
            let (data, behind) = std::mem::take(&mut rest).split_at_mut(k * width);
            rest = behind;
            Panel { isa, columns, width, data, from }
        })
    }

    /// Rows of B.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns of B.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Panels of columns: the unit in which columns are divided among threads.
    pub fn panels(&self) -> usize {
        self.view().panels()
    }

    /// The columns of a panel.
    pub fn columns(&self, panel: usize) -> Range<usize> {
        self.view().columns(panel)
    }

    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    pub(super) fn view(&self) -> View<'_> {
        View { isa: self.isa, k: self.k, n: self.n, first: 0, data: &self.data }
    }
}

/// Packed columns: all of a [`PackedB`], or one of its panels.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) isa: Isa,
    pub(super) k: usize,
    pub(super) n: usize,
    /// The first row that counts.
    pub(super) first: usize,
    pub(super) data: &'a [f32],
}

impl View<'_> {
    /// The same from a row on.
    pub(super) fn below(self, first: usize) -> Self {
        Self { first, ..self }
    }

    pub(super) fn panels(&self) -> usize {
        match self.n.div_ceil(self.isa.lanes()) {
            vectors if vectors > 1 && self.isa.wide() => vectors / 2,
            vectors => vectors.div_ceil(2),
        }
    }

    pub(super) fn columns(&self, panel: usize) -> Range<usize> {
        let width = 2 * self.isa.lanes();
        let end = if panel + 1 == self.panels() { self.n } else { (panel + 1) * width };
        panel * width..end
    }
}

impl Panel<'_> {
    /// Copies columns whose elements are neighbours in memory, in another order than that of the rows: the taps of a filter for each channel.
    fn fill_shuffled(&mut self, x: &[f32]) {
        let Panel { isa, width, from: Layout { rows, columns, .. }, .. } = *self;
        let (k, mut block) = (self.data.len() / width, [0.0; ROWS * WIDEST]);
        for q in (0..k).step_by(ROWS) {
            let counts = [self.columns.len(), ROWS.min(k - q)];
            Transposed { x: &x[q..], row: columns.steps[1], counts, y: &mut block, y_row: width }.run_on(isa);
            for (q, row) in (q..k).zip(block.chunks_exact(width)).take(ROWS) {
                let to = q % rows.steps[1] * rows.inner + q / rows.steps[1];
                self.data[to * width..][..counts[0]].copy_from_slice(&row[..counts[0]]);
            }
        }
    }
}

/// Where the elements of a matrix lie in a slice: (i, j) is `rows` of i and `columns` of j behind `first`.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Where element (0, 0) lies.
    pub first: usize,
    /// Steps from row to row.
    pub rows: Axis,
    /// Steps from column to column.
    pub columns: Axis,
}

impl Layout {
    /// Rows and columns that are evenly spaced.
    pub fn strided([row, column]: [usize; 2]) -> Layout {
        Layout { first: 0, rows: Axis::even(row), columns: Axis::even(column) }
    }
}

/// Runs of `inner` entries that are `steps[1]` apart; the runs are `steps[0]` apart.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Axis {
    pub inner: usize,
    pub steps: [usize; 2],
}

impl Axis {
    /// Entries that are evenly spaced.
    pub fn even(step: usize) -> Axis {
        Axis { inner: usize::MAX, steps: [0, step] }
    }

    fn at(&self, i: usize) -> usize {
        i / self.inner * self.steps[0] + i % self.inner * self.steps[1]
    }
}

/// A panel of a [`PackedB`], to be filled.
pub struct Panel<'a> {
    pub(super) isa: Isa,
    pub(super) columns: Range<usize>,
    /// Columns with the padding.
    pub(super) width: usize,
    pub(super) data: &'a mut [f32],
    from: Layout,
}

impl Panel<'_> {
    /// Copies the panel's columns of B, all of which lies in `b`.
    ///
    /// Some rows of a column after the other: where columns are far apart in memory, such a part of one is few lines of the cache, and the rows
    /// that it goes to stay in the L1 cache.
    pub fn fill(&mut self, b: &[f32]) {
        let (Layout { first, rows, columns }, k) = (self.from, self.data.len() / self.width);
        let last = first + rows.at(k - 1) + columns.at(self.columns.end - 1);
        assert!(last < b.len(), "b of {}, which should reach to {last}", b.len());
        if columns.inner == usize::MAX && columns.steps[1] == 1 {
            for (i, row) in self.data.chunks_exact_mut(self.width).enumerate() {
                let from = &b[first + rows.at(i) + self.columns.start..][..self.columns.len()];
                row[..from.len()].copy_from_slice(from);
            }
            return;
        }
        if rows.inner >= k && rows.steps[1] == 1 && columns.inner == usize::MAX {
            let x = &b[first + self.columns.start * columns.steps[1]..];
            let counts = [self.columns.len(), k];
            return Transposed { x, row: columns.steps[1], counts, y: self.data, y_row: self.width }.run_on(self.isa);
        }
        if rows.inner < k
            && k.is_multiple_of(rows.inner)
            && rows.steps == [1, k / rows.inner]
            && columns.inner == usize::MAX
        {
            return self.fill_shuffled(&b[first + self.columns.start * columns.steps[1]..]);
        }
        let inner = rows.inner.clamp(1, k);
        for i in (0..inner).step_by(ROWS) {
            let count = ROWS.min(inner - i);
            for (lane, j) in self.columns.clone().enumerate() {
                for run in 0..k / inner {
                    let from = &b[first + columns.at(j) + run * rows.steps[0] + i * rows.steps[1]..];
                    let to = &mut self.data[(run * inner + i) * self.width + lane..];
                    for row in 0..count {
                        to[row * self.width] = from[row * rows.steps[1]];
                    }
                }
            }
        }
    }
}
