//! Layer normalisation and its gradient, row by row; mean and variance are taken anew on the way back, while the row is in cache.

use crate::simd::{Isa, Kernel, Simd, read, write};

/// Rows of `n` that are normalised, and the factors that follow.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// Elements of a row.
    pub n: usize,
    /// The rows.
    pub x: &'a [f32],
    /// A factor for each element of a row.
    pub scale: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

impl LayerNorm<'_> {
    fn check(&self, len: usize) {
        assert!(self.n > 0 && self.scale.len() == self.n, "scale of {} for rows of {}", self.scale.len(), self.n);
        assert!(self.x.len() == len && len.is_multiple_of(self.n), "x of {} and {len} elements", self.x.len());
    }
}

/// Writes `(x − mean) / √(variance + epsilon) · scale + bias` of each row to `y`.
///
/// ```
/// use percept_engine::{kernels::{LayerNorm, layer_norm}, simd::Isa};
/// let rows = LayerNorm { n: 2, x: &[1.0, 3.0, -5.0, -5.0], scale: &[1.0, 10.0], epsilon: 0.0001 };
/// let mut y = [0.0; 4];
/// layer_norm(Isa::SCALAR, &rows, Some(&[0.0, 1.0]), &mut y);
/// assert!((y[0] + 1.0).abs() < 1e-4 && (y[1] - 11.0).abs() < 1e-3 && y[2..] == [0.0, 1.0]);
/// ```
pub fn layer_norm(isa: Isa, rows: &LayerNorm<'_>, bias: Option<&[f32]>, y: &mut [f32]) {
    rows.check(y.len());
    assert!(bias.is_none_or(|bias| bias.len() == rows.n), "bias for rows of {}", rows.n);
    // SAFETY: all slices have the lengths that were checked.
    unsafe { isa.run(Forward { rows, bias, y }) }
}

/// Writes the gradient with respect to `x` to `dx`, and adds those of scale and bias to the halves of `sums`.
pub fn layer_norm_grad(isa: Isa, rows: &LayerNorm<'_>, gradient: &[f32], dx: &mut [f32], sums: &mut [f32]) {
    rows.check(dx.len());
    assert!(gradient.len() == dx.len() && sums.len() == 2 * rows.n, "gradient and sums for rows of {}", rows.n);
    // SAFETY: all slices have the lengths that were checked.
    unsafe { isa.run(Backward { rows, gradient, dx, sums }) }
}

/// The vectors of a row: where each begins, and its lanes.
fn vectors<S: Simd>(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(S::LANES).map(move |i| (i, S::LANES.min(n - i)))
}

/// The sum of all lanes.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn total<S: Simd>(v: S::V) -> f32 {
    let mut lanes = [0.0; 16];
    // SAFETY: no vector has more lanes.
    unsafe { S::store(lanes.as_mut_ptr(), v) };
    lanes.iter().sum()
}

/// The mean of a row, and one over its standard deviation.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn statistics<S: Simd>(x: &[f32], epsilon: f32) -> [f32; 2] {
    let n = x.len() as f32;
    // SAFETY: vectors end with the row; the caller vouches for the instruction set.
    unsafe {
        let mut sum = S::splat(0.0);
        vectors::<S>(x.len()).for_each(|(i, lanes)| sum = S::add(sum, read::<S>(x.as_ptr().add(i), lanes)));
        let mean = total::<S>(sum) / n;
        let mut squares = S::splat(0.0);
        vectors::<S>(x.len()).for_each(|(i, lanes)| {
            let away = S::sub(read::<S>(x.as_ptr().add(i), lanes), S::splat(mean));
            let away = S::join(away, S::splat(0.0), lanes);
            squares = S::mul_add(away, away, squares);
        });
        [mean, 1.0 / (total::<S>(squares) / n + epsilon).sqrt()]
    }
}

struct Forward<'a> {
    rows: &'a LayerNorm<'a>,
    bias: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let LayerNorm { n, x, scale, epsilon } = *self.rows;
        for (x, y) in x.chunks_exact(n).zip(self.y.chunks_exact_mut(n)) {
            // SAFETY: vectors end with the row, which all slices have the length of.
            unsafe {
                let [mean, inverse] = statistics::<S>(x, epsilon).map(|v| S::splat(v));
                for (i, lanes) in vectors::<S>(n) {
                    let normal = S::mul(S::sub(read::<S>(x.as_ptr().add(i), lanes), mean), inverse);
                    let bias = self.bias.map_or(S::splat(0.0), |bias| read::<S>(bias.as_ptr().add(i), lanes));
                    let scaled = S::mul_add(normal, read::<S>(scale.as_ptr().add(i), lanes), bias);
                    write::<S>(y.as_mut_ptr().add(i), scaled, lanes);
                }
            }
        }
    }
}

struct Backward<'a> {
    rows: &'a LayerNorm<'a>,
    gradient: &'a [f32],
    dx: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let LayerNorm { n, x, scale, epsilon } = *self.rows;
        let (scales, biases) = self.sums.split_at_mut(n);
        let rows = x.chunks_exact(n).zip(self.gradient.chunks_exact(n));
        for ((x, dy), dx) in rows.zip(self.dx.chunks_exact_mut(n)) {
            // SAFETY: vectors end with the row, which all slices have the length of.
            unsafe {
                let [mean, inverse] = statistics::<S>(x, epsilon).map(|v| S::splat(v));
                let at = |i: usize, lanes: usize| {
                    let normal = S::mul(S::sub(read::<S>(x.as_ptr().add(i), lanes), mean), inverse);
                    (normal, read::<S>(dy.as_ptr().add(i), lanes))
                };
                let [mut slopes, mut products] = [S::splat(0.0); 2];
                for (i, lanes) in vectors::<S>(n) {
                    let (normal, dy) = at(i, lanes);
                    let (to_scale, to_bias) = (scales.as_mut_ptr().add(i), biases.as_mut_ptr().add(i));
                    write::<S>(to_scale, S::mul_add(normal, dy, read::<S>(to_scale, lanes)), lanes);
                    write::<S>(to_bias, S::add(dy, read::<S>(to_bias, lanes)), lanes);
                    // Lanes beyond the row are zero in the gradient.
                    let slope = S::mul(dy, read::<S>(scale.as_ptr().add(i), lanes));
                    slopes = S::add(slopes, slope);
                    products = S::mul_add(slope, normal, products);
                }
                let of = |sum| S::splat(total::<S>(sum) / n as f32);
                let (slopes, products) = (of(slopes), of(products));
                for (i, lanes) in vectors::<S>(n) {
                    let (normal, dy) = at(i, lanes);
                    let slope = S::sub(S::mul(dy, read::<S>(scale.as_ptr().add(i), lanes)), slopes);
                    let slope = S::sub(slope, S::mul(normal, products));
                    write::<S>(dx.as_mut_ptr().add(i), S::mul(inverse, slope), lanes);
                }
            }
        }
    }
}
