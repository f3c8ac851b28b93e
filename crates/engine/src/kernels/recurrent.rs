//! What the gates of recurrent layers do to a row of hidden units, and its gradients, as functions of vectors.
//!
//! Products with `R` come before and after, by [`gemm_add`](super::gemm_add). All names of gates are those of [`percept_graph::ops`].

use crate::simd::{Isa, Kernel, Simd, math, read, write};

/// A function of the entries at one place of `M` rows, which it replaces, and of `N` others.
pub(crate) trait Pointwise<const M: usize, const N: usize> {
    /// The new entries.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`.
    unsafe fn of<S: Simd>(&self, rows: [S::V; M], others: [S::V; N]) -> [S::V; M];
}

/// Applies a function at all places of rows of one length.
pub(crate) fn pointwise<const M: usize, const N: usize>(
    isa: Isa,
    f: impl Pointwise<M, N>,
    mut rows: [&mut [f32]; M],
    others: [&[f32]; N],
) {
    let len = rows[0].len();
    let same = rows.iter().all(|row| row.len() == len) && others.iter().all(|row| row.len() == len);
    assert!(same, "rows of {len} and of other lengths");
    let rows = std::array::from_fn(|i| rows[i].as_mut_ptr());
    // SAFETY: all rows have `len` floats, and those written are borrowed exclusively.
    unsafe { isa.run(Each { f, rows, others: others.map(<[f32]>::as_ptr), len }) }
}

struct Each<F, const M: usize, const N: usize> {
    f: F,
    rows: [*mut f32; M],
    others: [*const f32; N],
    len: usize,
}

impl<F: Pointwise<M, N>, const M: usize, const N: usize> Kernel for Each<F, M, N> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for i in (0..self.len).step_by(S::LANES) {
            let n = S::LANES.min(self.len - i);
            // SAFETY: the rows are `len` long (`pointwise` checked).
            unsafe {
                let rows = std::array::from_fn(|row| read::<S>(self.rows[row].add(i), n));
                let others = std::array::from_fn(|row| read::<S>(self.others[row].add(i), n));
                let new = self.f.of::<S>(rows, others);
                for (row, new) in self.rows.iter().zip(new) {
                    write::<S>(row.add(i), new, n);
                }
            }
        }
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident<$S:ident>([$($row:ident),*], [$($other:ident),*]) $body:block)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl Pointwise<{ [$(stringify!($row)),*].len() }, { [$(stringify!($other)),*].len() }> for $name {
            #[inline(always)]
            unsafe fn of<$S: Simd>(
                &self,
                [$($row),*]: [$S::V; [$(stringify!($row)),*].len()],
                [$($other),*]: [$S::V; [$(stringify!($other)),*].len()],
            ) -> [$S::V; [$(stringify!($row)),*].len()] {
                // SAFETY: arithmetic only; the caller vouches for the instruction set.
                unsafe { $body }
            }
        }
    )*};
}

functions! {
    /// Gates, new cell and state from sums without bias, old cell and biases; the old state is not looked at.
    Lstm<S>([i, o, f, n, c, _h], [bias_i, bias_o, bias_f, bias_n]) {
        let [i, o, f] = [S::add(i, bias_i), S::add(o, bias_o), S::add(f, bias_f)];
        let [i, o, f] = [math::sigmoid::<S>(i), math::sigmoid::<S>(o), math::sigmoid::<S>(f)];
        let n = math::tanh::<S>(S::add(n, bias_n));
        let c = S::mul_add(f, c, S::mul(i, n));
        [i, o, f, n, c, S::mul(o, math::tanh::<S>(c))]
    }
    /// Gradients of the sums from gates, old and new cell and the gradient of the output, and what reaches the old states but by the sums.
    LstmGrad<S>([i, o, f, n, dh, dc], [old, new, dy]) {
        let (dh, squashed) = (S::add(dh, dy), math::tanh::<S>(new));
        let through = S::mul(dh, S::mul(o, bell::<S>(squashed)));
        let dc = S::add(dc, through);
        let di = S::mul(S::mul(dc, n), slope::<S>(i));
        let d_o = S::mul(S::mul(dh, squashed), slope::<S>(o));
        let df = S::mul(S::mul(dc, old), slope::<S>(f));
        let dn = S::mul(S::mul(dc, i), bell::<S>(n));
        [di, d_o, df, dn, S::splat(0.0), S::mul(dc, f)]
    }
    /// The first two gates, and the state times `r`, which `R` multiplies then.
    GruReset<S>([z, r, _both], [bias_z, bias_r, h]) {
        let [z, r] = [math::sigmoid::<S>(S::add(z, bias_z)), math::sigmoid::<S>(S::add(r, bias_r))];
        [z, r, S::mul(r, h)]
    }
    /// The last gate and the new state after [`GruReset`].
    Gru<S>([n, h], [z, bias]) {
        let n = math::tanh::<S>(S::add(n, bias));
        [n, blend::<S>(z, n, h)]
    }
    /// All gates and the new state, if `r` multiplies `q`, which `R` and its bias make of the old state.
    GruAfter<S>([z, r, n, h], [q, bias_z, bias_r, bias_n]) {
        let [z, r] = [math::sigmoid::<S>(S::add(z, bias_z)), math::sigmoid::<S>(S::add(r, bias_r))];
        let n = math::tanh::<S>(S::mul_add(r, q, S::add(n, bias_n)));
        [z, r, n, blend::<S>(z, n, h)]
    }
    /// Gradients of the sums of `z` and of the last gate, and what reaches the old state past the gates.
    GruGrad<S>([z, n, dh], [old, dy]) {
        let dh = S::add(dh, dy);
        let dz = S::mul(S::mul(dh, S::sub(old, n)), slope::<S>(z));
        let dn = S::mul(S::mul(dh, S::sub(S::splat(1.0), z)), bell::<S>(n));
        [dz, dn, S::mul(dh, z)]
    }
    /// The gradient of the sum of `r` from that of `r` times the old state, and what reaches the old state by it.
    GruResetGrad<S>([r, dh], [both, old]) {
        [S::mul(S::mul(both, old), slope::<S>(r)), S::mul_add(both, r, dh)]
    }
    /// The gradients of the sum of `r` and of `q` from that of the last gate.
    GruAfterGrad<S>([r, q], [dn]) {
        [S::mul(S::mul(dn, q), slope::<S>(r)), S::mul(dn, r)]
    }
    /// A sum that goes on.
    Plus<S>([sum], [x]) {
        [S::add(sum, x)]
    }
    /// The new state, twice.
    Tanh<S>([y, _h], [bias]) {
        let y = math::tanh::<S>(S::add(y, bias));
        [y, y]
    }
    /// The gradient of the sum, and nothing that reaches the old state otherwise.
    TanhGrad<S>([y, dh], [dy]) {
        [S::mul(S::add(dh, dy), bell::<S>(y)), S::splat(0.0)]
    }
    /// As [`Tanh`].
    Relu<S>([y, _h], [bias]) {
        let y = S::max(S::add(y, bias), S::splat(0.0));
        [y, y]
    }
    /// As [`TanhGrad`].
    ReluGrad<S>([y, dh], [dy]) {
        let zero = S::splat(0.0);
        [S::select_lt(zero, y, S::add(dh, dy), zero), zero]
    }
}

/// The slope of the logistic function where it is `y`.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn slope<S: Simd>(y: S::V) -> S::V {
    // SAFETY: arithmetic only; the caller vouches for the instruction set.
    unsafe { S::sub(y, S::mul(y, y)) }
}

/// The slope of tanh where it is `y`.
///
/// # Safety
/// As [`slope`].
#[inline(always)]
unsafe fn bell<S: Simd>(y: S::V) -> S::V {
    // SAFETY: as in `slope`.
    unsafe { S::sub(S::splat(1.0), S::mul(y, y)) }
}

/// `(1 − z)·n + z·h`.
///
/// # Safety
/// As [`slope`].
#[inline(always)]
unsafe fn blend<S: Simd>(z: S::V, n: S::V, h: S::V) -> S::V {
    // SAFETY: as in `slope`.
    unsafe { S::mul_add(z, S::sub(h, n), n) }
}
