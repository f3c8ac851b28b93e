//! Plain Rust on four lanes: runs anywhere, and compilers turn it into the 128-bit vectors that nearly every target has.

use super::{Kernel, Simd, operations};

/// Portable vectors.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

type V = [f32; 4];

#[inline(always)]
fn zip(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Simd for Scalar {
    type V = V;
    const LANES: usize = 4;
    /// Half of what there are: with larger tiles LLVM takes the vectors apart, and a matrix product runs at a third of the speed.
    const REGISTERS: usize = 8;

    unsafe fn enter<K: Kernel>(kernel: K) {
        // SAFETY: the caller vouches for the kernel's pointers; no CPU feature is needed.
        unsafe { kernel.run::<Scalar>() }
    }

    operations! {
        splat(x: f32) -> V { [x; 4] }
        load(p: *const f32) -> V { p.cast::<V>().read_unaligned() }
        load_part(p: *const f32, n: usize) -> V { std::array::from_fn(|i| if i < n { *p.add(i) } else { 0.0 }) }
        store(p: *mut f32, v: V) { p.cast::<V>().write_unaligned(v) }
        store_part(p: *mut f32, v: V, n: usize) { (0..n.min(4)).for_each(|i| *p.add(i) = v[i]) }
        load_twice(p: *const f32) -> V { Self::load_halves(p, p) }
        load_halves(low: *const f32, high: *const f32) -> V { [*low, *low.add(1), *high, *high.add(1)] }
        store_halves(low: *mut f32, high: *mut f32, v: V) {{
            Self::store_part(low, v, 2);
            Self::store_part(high, [v[2], v[3], 0.0, 0.0], 2);
        }}
        join(low: V, high: V, n: usize) -> V { std::array::from_fn(|i| if i < n { low[i] } else { high[i] }) }
        transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
            (0..16).for_each(|i| *to.add(i % 4 * to_row + i / 4) = *from.add(i / 4 * from_row + i % 4))
        }
        split(a: V, b: V) -> [V; 2] { [[a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]]] }
        merge(even: V, odd: V) -> [V; 2] { [[even[0], odd[0], even[1], odd[1]], [even[2], odd[2], even[3], odd[3]]] }
        add(a: V, b: V) -> V { zip(a, b, |a, b| a + b) }
        sub(a: V, b: V) -> V { zip(a, b, |a, b| a - b) }
        mul(a: V, b: V) -> V { zip(a, b, |a, b| a * b) }
        div(a: V, b: V) -> V { zip(a, b, |a, b| a / b) }
        min(a: V, b: V) -> V { zip(a, b, |a, b| if a < b { a } else { b }) }
        max(a: V, b: V) -> V { zip(a, b, |a, b| if a > b { a } else { b }) }
        // Rounds twice: `f32::mul_add` is a library call where the hardware has no FMA.
        mul_add(a: V, b: V, c: V) -> V { Self::add(Self::mul(a, b), c) }
        select_lt(a: V, b: V, x: V, y: V) -> V { std::array::from_fn(|i| if a[i] < b[i] { x[i] } else { y[i] }) }
        round(a: V) -> V { a.map(f32::round_ties_even) }
        sqrt(a: V) -> V { a.map(f32::sqrt) }
        exponent(a: V) -> V { a.map(|a| ((a.to_bits() >> 23) as i32 - 127) as f32) }
        scale(x: V, n: V) -> V {
            // In two halves, since a power of two has fewer exponents than the quotient of two of them.
            zip(x, n, |x, n| {
                let power = |n: f32| f32::from_bits(((n as i32 + 127) << 23) as u32);
                let half = (n * 0.5).round_ties_even();
                x * power(half) * power(n - half)
            })
        }
    }
}
