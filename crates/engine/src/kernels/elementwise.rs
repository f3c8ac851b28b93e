//! What treats each element by itself, and softmax.

use super::epilogue::{Activate, Activation};
use super::{Out, check_range};
use crate::simd::{Isa, Kernel, Simd, math, read, write};
use std::ops::Range;

/// Writes `activation(x)` to `y`.
///
/// ```
/// use percept_engine::{kernels::{activate, Activation}, simd::Isa};
/// let mut y = [0.0; 2];
/// activate(Isa::SCALAR, Activation::Relu, &[-1.0, 2.0], &mut y);
/// assert_eq!(y, [0.0, 2.0]);
/// ```
pub fn activate(isa: Isa, activation: Activation, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y");
    let pass = Activate { x: x.as_ptr(), y: y.as_mut_ptr(), rows: 1, stride: 0, len: x.len(), activation };
    // SAFETY: one run of the length of both slices.
    unsafe { isa.run(pass) }
}

/// An arithmetic operator of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a · b
    Mul,
    /// a / b
    Div,
    /// max(a, b)
    Max,
    /// min(a, b)
    Min,
}

/// The arguments of [`binary`].
#[derive(Clone, Copy)]
pub struct Binary<'a> {
    /// The operator.
    pub op: BinaryOp,
    /// First operand.
    pub a: &'a [f32],
    /// Second operand.
    pub b: &'a [f32],
    /// The output's dimensions, outermost first. The caller joins neighbouring dimensions where it can: runs over the last are what is fast.
    pub dims: &'a [usize],
    /// How far a step along each dimension goes in `a`, 0 where it is broadcast; the last is 0 or 1.
    pub a_strides: &'a [usize],
    /// The same for `b`.
    pub b_strides: &'a [usize],
}

/// Computes the flat output `elements` of `a op b` with numpy broadcasting.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
///
/// ```
/// use percept_engine::{kernels::{binary, Binary, BinaryOp, Out}, simd::Isa};
/// let mut y = [0.0; 4];
/// let sum = Binary { op: BinaryOp::Add, a: &[1.0, 2.0, 3.0, 4.0], b: &[10.0, 20.0], dims: &[2, 2], a_strides: &[2, 1], b_strides: &[0, 1] };
/// // SAFETY: one call.
/// unsafe { binary(Isa::SCALAR, &sum, Out::new(&mut y), 0..4) };
/// assert_eq!(y, [11.0, 22.0, 13.0, 24.0]);
/// ```
pub unsafe fn binary(isa: Isa, b: &Binary<'_>, out: Out<'_>, elements: Range<usize>) {
    let total = b.dims.iter().fold(1usize, |product, &size| product.saturating_mul(size));
    check_range(&elements, total, "elements");
    if elements.is_empty() {
        return;
    }
    assert_eq!(out.len, total, "output of {:?}", b.dims);
    for (operand, strides) in [(b.a, b.a_strides), (b.b, b.b_strides)] {
        assert_eq!(strides.len(), b.dims.len(), "strides");
        assert!(strides.last().is_none_or(|&s| s <= 1), "last stride of {strides:?}");
        let last =
            b.dims.iter().zip(strides).fold(0usize, |last, (d, s)| last.saturating_add((d - 1).saturating_mul(*s)));
        assert!(last < operand.len(), "operand of {} for {:?} with strides {strides:?}", operand.len(), b.dims);
    }
    // SAFETY: the greatest offsets into both operands and the output were checked; disjointness is the caller's.
    unsafe { isa.run(Elements { b, y: out.ptr, elements }) }
}

struct Elements<'a> {
    b: &'a Binary<'a>,
    y: *mut f32,
    elements: Range<usize>,
}

impl Kernel for Elements<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: passed on from the caller.
        unsafe {
            match self.b.op {
                BinaryOp::Add => self.rows::<S>(|a, b| S::add(a, b)),
                BinaryOp::Sub => self.rows::<S>(|a, b| S::sub(a, b)),
                BinaryOp::Mul => self.rows::<S>(|a, b| S::mul(a, b)),
                BinaryOp::Div => self.rows::<S>(|a, b| S::div(a, b)),
                BinaryOp::Max => self.rows::<S>(|a, b| S::max(a, b)),
                BinaryOp::Min => self.rows::<S>(|a, b| S::min(a, b)),
            }
        }
    }
}

impl Elements<'_> {
    /// Goes through the elements by runs of the last dimension; divides only where the last but one begins anew, for runs may be short.
    ///
    /// # Safety
    /// The operands have the greatest offsets that dimensions and strides reach, `y` has all elements, and the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn rows<S: Simd>(&self, op: impl Fn(S::V, S::V) -> S::V) {
        let Binary { a, b, dims, a_strides, b_strides, .. } = *self.b;
        let inner = dims.len().saturating_sub(1);
        let run = dims.last().copied().unwrap_or(1);
        let steps = [a_strides, b_strides].map(|s| s.last().copied().unwrap_or(0));
        let rows = if inner > 0 { dims[inner - 1] } else { 1 };
        let row_steps = [a_strides, b_strides].map(|s| if inner > 0 { s[inner - 1] } else { 0 });
        let mut at = self.elements.start;
        while at < self.elements.end {
            let mut left = at / run;
            let mut from = [0, 1].map(|side| at % run * steps[side]);
            for d in (0..inner).rev() {
                let i = left % dims[d];
                left /= dims[d];
                from = [from[0] + i * a_strides[d], from[1] + i * b_strides[d]];
            }
            for _ in at / run % rows..rows {
                let column = if at == self.elements.start { at % run } else { 0 };
                let n = (run - column).min(self.elements.end - at);
                // SAFETY: the run ends inside the last dimension, and `binary` checked the greatest offsets.
                unsafe {
                    let (a, b, y) =
                        (a.as_ptr().wrapping_add(from[0]), b.as_ptr().wrapping_add(from[1]), self.y.add(at));
                    for i in (0..n).step_by(S::LANES) {
                        let lanes = S::LANES.min(n - i);
                        let operand = |p: *const f32, step: usize| {
                            if step == 0 { S::splat(*p) } else { read::<S>(p.add(i), lanes) }
                        };
                        write::<S>(y.add(i), op(operand(a, steps[0]), operand(b, steps[1])), lanes);
                    }
                }
                at += n;
                if at == self.elements.end {
                    return;
                }
                // The next run begins at its first column.
                from = [0, 1].map(|side| from[side] - column * steps[side] + row_steps[side]);
            }
        }
    }
}

/// Writes the softmax of each run of `n` elements of `x` to `y`; the greatest is subtracted first, so nothing overflows.
///
/// ```
/// use percept_engine::{kernels::softmax, simd::Isa};
/// let mut y = [0.0; 2];
/// softmax(Isa::SCALAR, 2, &[1000.0, 1000.0], &mut y);
/// assert_eq!(y, [0.5, 0.5]);
/// ```
pub fn softmax(isa: Isa, n: usize, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y");
    assert!(if n == 0 { x.is_empty() } else { x.len().is_multiple_of(n) }, "x of {} in rows of {n}", x.len());
    if n > 0 {
        // SAFETY: both slices are whole rows of `n`.
        unsafe { isa.run(Softmax { n, x, y }) }
    }
}

struct Softmax<'a> {
    n: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        const LANES: usize = 16;
        for (x, y) in self.x.chunks_exact(self.n).zip(self.y.chunks_exact_mut(self.n)) {
            let max = x.iter().copied().fold(f32::NEG_INFINITY, |a, b| if a > b { a } else { b });
            // SAFETY: vectors and their tails lie inside the row.
            unsafe {
                for i in (0..x.len()).step_by(S::LANES) {
                    let lanes = S::LANES.min(x.len() - i);
                    let e = math::exp::<S>(S::sub(S::load_part(x.as_ptr().add(i), lanes), S::splat(max)));
                    S::store_part(y.as_mut_ptr().add(i), e, lanes);
                }
            }
            let mut sums = [0.0; LANES];
            for chunk in y.chunks(LANES) {
                for (sum, e) in sums.iter_mut().zip(chunk) {
                    *sum += e;
                }
            }
            let total: f32 = sums.iter().sum();
            for e in y {
                *e /= total;
            }
        }
    }
}
