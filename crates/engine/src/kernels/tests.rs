//! Every kernel on every instruction set against plain loops in f64, over odd shapes, whole and in parts.

use super::*;
use crate::reference::arithmetic::{erf, normal};
use crate::simd::Isa;
use proptest::prelude::*;

pub(super) const ACTIVATIONS: [Activation; 15] = [
    Activation::None,
    Activation::Relu,
    Activation::Clip { min: -0.25, max: 0.5 },
    Activation::LeakyRelu(0.1),
    Activation::Sigmoid,
    Activation::HardSigmoid { alpha: 0.2, beta: 0.4 },
    Activation::HardSwish,
    Activation::Tanh,
    Activation::Silu,
    Activation::Exp,
    Activation::Abs,
    Activation::Neg,
    Activation::Softplus,
    Activation::Erf,
    Activation::Gelu,
];

pub(super) fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Clip { min, max } => x.max(f64::from(min)).min(f64::from(max)),
        Activation::LeakyRelu(alpha) => {
            if x < 0.0 {
                f64::from(alpha) * x
            } else {
                x
            }
        }
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Exp => x.exp(),
        Activation::Log => x.ln(),
        Activation::Sqrt => x.sqrt(),
        Activation::Abs => x.abs(),
        Activation::Neg => -x,
        Activation::Softplus => x.exp().ln_1p(),
        Activation::Erf => erf(x),
        Activation::Gelu => x * normal(x),
        Activation::Pow(p) => x.powf(p.into()),
    }
}

/// Two by two pixels, side by side.
pub(super) fn halved(w: Window) -> Window {
    Window { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pad: [0, 0], output: w.input.map(|side| side / 2), ..w }
}

/// So many cases; fewer where every load is checked by an interpreter.
pub(super) fn cases(count: u32) -> ProptestConfig {
    match cfg!(miri) {
        true => ProptestConfig { cases: 3, failure_persistence: None, ..ProptestConfig::default() },
        false => ProptestConfig::with_cases(count),
    }
}

/// Up to how high and how wide pictures are.
pub(super) const SIDES: [usize; 2] = if cfg!(miri) { [6, 9] } else { [18, 40] };

/// Reproducible values in −0.5..0.5.
pub(super) fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

pub(super) fn close(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(g) - w).abs() <= 2e-5 * (1.0 + w.abs()), "{what}: element {i} is {g}, not {w}");
    }
}

/// Runs a kernel with every instruction set, over the whole range and cut at `cut`: the first must be close to `want`, the second have the same bits.
pub(super) fn check(want: &[f64], units: usize, cut: usize, mut run: impl FnMut(Isa, Out<'_>, Range<usize>)) {
    let cut = cut % (units + 1);
    for isa in Isa::available() {
        let mut whole = vec![f32::NAN; want.len()];
        run(isa, Out::new(&mut whole), 0..units);
        close(&whole, want, isa.name());
        let mut parts = vec![f32::NAN; want.len()];
        run(isa, Out::new(&mut parts), cut..units);
        run(isa, Out::new(&mut parts), 0..cut);
        assert!(
            whole.iter().zip(&parts).all(|(a, b)| a.to_bits() == b.to_bits()),
            "{} cut at {cut} of {units}",
            isa.name()
        );
    }
}

/// A convolution with groups by its definition, NHWC and OIHW.
pub(super) fn convolution(
    w: &Window,
    [o, i, kh, kw]: [usize; 4],
    groups: usize,
    x: &[f32],
    weights: &[f32],
    epilogue: &Epilogue<'_>,
) -> Vec<f64> {
    let mut y = Vec::new();
    for p in 0..w.pixels() {
        let (b, oy, ox) = (p / w.output[1] / w.output[0], p / w.output[1] % w.output[0], p % w.output[1]);
        for c in 0..o {
            let mut sum = epilogue.bias.map_or(0.0, |b| f64::from(b[c]));
            for (ky, kx, ci) in (0..kh).flat_map(|y| (0..kw).flat_map(move |x| (0..i).map(move |c| (y, x, c)))) {
                let iy = (oy * w.stride[0] + ky * w.dilation[0]).wrapping_sub(w.pad[0]);
                let ix = (ox * w.stride[1] + kx * w.dilation[1]).wrapping_sub(w.pad[1]);
                if iy < w.input[0] && ix < w.input[1] {
                    let from = ((b * w.input[0] + iy) * w.input[1] + ix) * i * groups + c / (o / groups) * i + ci;
                    sum += f64::from(x[from]) * f64::from(weights[((c * i + ci) * kh + ky) * kw + kx]);
                }
            }
            sum += epilogue.residual.map_or(0.0, |r| f64::from(r[p * o + c]));
            y.push(exact(epilogue.activation, sum));
        }
    }
    y
}

/// Fills in the output of a window with so much padding at the end.
pub(super) fn set_output(w: &mut Window, end: [usize; 2]) {
    w.output = [0, 1].map(|i| {
        let reach = w.dilation[i] * (w.kernel[i] - 1) + 1;
        (w.input[i] + w.pad[i] + end[i]).checked_sub(reach).map_or(0, |room| room / w.stride[i] + 1)
    });
}

/// The same window over another input, padded at the end as at the start.
pub(super) fn sized(mut w: Window, input: [usize; 2]) -> Window {
    let end = w.pad;
    w.input = input;
    set_output(&mut w, end);
    w
}

prop_compose! {
    /// Windows of every kind, with 0 to 2 pictures of 0 pixels and more and end padding that differs from the padding at the start.
    pub(super) fn windows()(batch in 0usize..3, input in [0..SIDES[0], 0..SIDES[1]], kernel in [1usize..6, 1usize..6], stride in [1usize..4, 1usize..4],
                 dilation in [1usize..3, 1usize..3], pad in [0usize..4, 0usize..4], end in [0usize..4, 0usize..4]) -> Window {
        let mut w = Window { batch, input, output: [0; 2], kernel, stride, dilation, pad };
        set_output(&mut w, end);
        w
    }
}

/// Which parts of an epilogue there are.
pub(super) fn epilogues() -> impl Strategy<Value = (bool, bool, Activation)> {
    (any::<bool>(), any::<bool>(), prop::sample::select(&ACTIVATIONS[..]))
}

proptest! {
    #![proptest_config(cases(2048))]

    #[test]
    fn gemm_is_the_product(m in 0usize..40, k in 0usize..70, n in 0usize..130, pad in 0usize..3, parts in epilogues(), cut in 0usize..99, transposed in any::<bool>()) {
        let (lda, ldc) = (k + pad, n + pad);
        let (a, b, bias, residual) = (values(m * lda, 1), values(k * n, 2), values(n, 3), values(m * n, 4));
        let strides = if transposed { [1, k] } else { [n, 1] };
        let epilogue = Epilogue { bias: parts.0.then_some(&bias), residual: parts.1.then_some(&residual), activation: parts.2 };
        let mut want = Vec::new();
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let sum: f64 = (0..k).map(|l| f64::from(a[i * lda + l]) * f64::from(b[l * strides[0] + j * strides[1]])).sum();
            let sum = sum + epilogue.bias.map_or(0.0, |b| f64::from(b[j])) + epilogue.residual.map_or(0.0, |r| f64::from(r[i * n + j]));
            want.push(exact(epilogue.activation, sum));
        }
        for isa in Isa::available() {
            let packed = PackedB::pack(isa, k, n, &b, strides);
            let mut c = vec![f32::NAN; m * ldc];
            let product = Gemm { m, a: &a, lda, b: &packed, ldc, epilogue };
            let some = cut % (packed.panels() + 1);
            let rows = cut % (m + 1);
            for (rows, panels) in [(0..rows, 0..some), (rows..m, 0..some), (0..m, some..packed.panels())] {
                // SAFETY: one call at a time.
                unsafe { gemm(&product, Out::new(&mut c), rows, panels) };
            }
            let dense: Vec<f32> = c.chunks(ldc.max(1)).flat_map(|row| row[..n].to_vec()).collect();
            close(&dense, &want, isa.name());
            prop_assert!(c.chunks(ldc.max(1)).all(|row| row[n..].iter().all(|x| x.is_nan())), "written beyond the columns");
            let mut whole = vec![f32::NAN; m * ldc];
            // SAFETY: one call at a time.
            unsafe { gemm(&product, Out::new(&mut whole), 0..m, 0..packed.panels()) };
            prop_assert!(whole.iter().zip(&c).all(|(a, b)| a.to_bits() == b.to_bits()), "{} depends on the partition", isa.name());
        }
    }

    #[test]
    fn pool_takes_the_greatest_or_the_mean(w in windows(), n in 0usize..40, halves in any::<bool>(), kind in 0usize..3, pad_end in [0usize..3, 0usize..3], cut in 0usize..999) {
        let kind = [PoolKind::Max, PoolKind::Average, PoolKind::AverageWithPadding { pad_end }][kind];
        let (w, n) = if halves { (halved(w), 1) } else { (w, n) };
        let x = values(w.input_pixels() * n, 1);
        let mut want = Vec::new();
        for (p, c) in (0..w.pixels()).flat_map(|p| (0..n).map(move |c| (p, c))) {
            let (b, oy, ox) = (p / w.output[1] / w.output[0], p / w.output[1] % w.output[0], p % w.output[1]);
            let (mut found, mut padding) = (Vec::new(), 0);
            for (ky, kx) in (0..w.kernel[0]).flat_map(|y| (0..w.kernel[1]).map(move |x| (y, x))) {
                let iy = (oy * w.stride[0] + ky * w.dilation[0]) as isize - w.pad[0] as isize;
                let ix = (ox * w.stride[1] + kx * w.dilation[1]) as isize - w.pad[1] as isize;
                let [h, width] = w.input.map(|s| s as isize);
                if (0..h).contains(&iy) && (0..width).contains(&ix) {
                    found.push(f64::from(x[((b * w.input[0] + iy as usize) * w.input[1] + ix as usize) * n + c]));
                } else if iy < h + pad_end[0] as isize && ix < width + pad_end[1] as isize {
                    padding += 1;
                }
            }
            let sum: f64 = found.iter().sum();
            want.push(match kind {
                _ if found.is_empty() => 0.0,
                PoolKind::Max => found.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                PoolKind::Average => sum / found.len() as f64,
                PoolKind::AverageWithPadding { .. } => sum / (found.len() + padding) as f64,
            });
        }
        check(&want, w.pixels(), cut, |isa, out, pixels| {
            let args = Pool { window: w, kind, channels: n, x: &x };
            // SAFETY: one call at a time.
            unsafe { pool(isa, &args, out, pixels) }
        });
    }

    #[test]
    fn binary_broadcasts(dims in prop::collection::vec(0usize..9, 0..5), broadcast in prop::collection::vec(0usize..4, 5), op in 0usize..6, cut in 0usize..999) {
        let op = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Max, BinaryOp::Min][op];
        let mut sizes = [1, 1];
        let mut strides = [vec![0; dims.len()], vec![0; dims.len()]];
        for d in (0..dims.len()).rev() {
            for side in 0..2 {
                if broadcast[d] != side {
                    strides[side][d] = sizes[side];
                    sizes[side] *= dims[d];
                }
            }
        }
        let (a, b) = (values(sizes[0], 1), values(sizes[1], 2).iter().map(|x| x + 1.5).collect::<Vec<_>>());
        let total: usize = dims.iter().product();
        let want: Vec<f64> = (0..total).map(|flat| {
            let (mut left, mut at) = (flat, [0, 0]);
            for d in (0..dims.len()).rev() {
                at = [at[0] + left % dims[d] * strides[0][d], at[1] + left % dims[d] * strides[1][d]];
                left /= dims[d];
            }
            let (a, b) = (f64::from(a[at[0]]), f64::from(b[at[1]]));
            [a + b, a - b, a * b, a / b, a.max(b), a.min(b)][op as usize]
        }).collect();
        check(&want, total, cut, |isa, out, elements| {
            let args = Binary { op, a: &a, b: &b, dims: &dims, a_strides: &strides[0], b_strides: &strides[1] };
            // SAFETY: one call at a time.
            unsafe { binary(isa, &args, out, elements) }
        });
    }

    #[test]
    fn softmax_is_a_distribution(rows in 0usize..5, n in 0usize..70) {
        let x: Vec<f32> = values(rows * n, 1).iter().map(|x| x * 40.0).collect();
        let mut want = Vec::new();
        for row in x.chunks(n.max(1)) {
            let e: Vec<f64> = row.iter().map(|&x| f64::from(x).exp()).collect();
            want.extend(e.iter().map(|x| x / e.iter().sum::<f64>()));
        }
        for isa in Isa::available() {
            let mut y = vec![f32::NAN; x.len()];
            softmax(isa, n, &x, &mut y);
            close(&y, &want, isa.name());
        }
    }

    #[test]
    fn bytes_are_scaled_and_shifted(pixels in 0usize..60, channels in 1usize..7) {
        let x: Vec<u8> = (0..pixels * channels).map(|i| (i * 37) as u8).collect();
        let (scale, shift) = (values(channels, 1), values(channels, 2));
        let want: Vec<f64> = x.iter().enumerate().map(|(i, &x)| f64::from(x) * f64::from(scale[i % channels]) + f64::from(shift[i % channels])).collect();
        for isa in Isa::available() {
            let mut y = vec![f32::NAN; x.len()];
            normalize_u8(isa, &x, &scale, &shift, &mut y);
            close(&y, &want, isa.name());
        }
    }

    #[test]
    fn columns_that_end_with_half_a_vector_have_the_bits_of_other_columns(m in 0usize..60, k in 0usize..40, whole in 0usize..4, parts in epilogues()) {
        for isa in Isa::available() {
            // The same product with columns of zeros behind, which make the last vector whole.
            let [n, wide] = [2 * whole + 1, 2 * whole + 2].map(|halves| halves * isa.lanes() / 2);
            let (a, b, bias, residual) = (values(m * k, 1), values(k * n, 2), values(n, 3), values(m * n, 4));
            let widened = |x: &[f32]| x.chunks(n).flat_map(|row| [row, &vec![0.0; wide - n]].concat()).collect::<Vec<_>>();
            let run = |n: usize, b: &[f32], bias: &[f32], residual: &[f32]| {
                let epilogue = Epilogue { bias: parts.0.then_some(bias), residual: parts.1.then_some(residual), activation: parts.2 };
                let (b, mut c) = (PackedB::pack(isa, k, n, b, [n, 1]), vec![f32::NAN; m * n]);
                gemm_whole(&Gemm { m, a: &a, lda: k, b: &b, ldc: n, epilogue }, &mut c);
                c
            };
            let (got, want) = (run(n, &b, &bias, &residual), run(wide, &widened(&b), &widened(&bias), &widened(&residual)));
            let want = want.chunks(wide).flat_map(|row| &row[..n]);
            prop_assert!(got.iter().zip(want).all(|(x, y)| x.to_bits() == y.to_bits()), "{} {m}×{k}×{n}", isa.name());
        }
    }

    #[test]
    fn transposing_twice_changes_nothing(m in 0usize..40, n in 0usize..40, cut in 0usize..40) {
        let (x, cut) = (values(m * n, 1), cut % (n + 1));
        for isa in Isa::available() {
            let (mut y, mut z) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            transpose(isa, [m, n], &x, 0..cut, &mut y[..cut * m], m);
            transpose(isa, [m, n], &x, cut..n, &mut y[cut * m..], m);
            transpose(isa, [n, m], &y, 0..m, &mut z, n);
            prop_assert_eq!(&x, &z);
            prop_assert!((0..n).all(|j| (0..m).all(|i| y[j * m + i] == x[i * n + j])));
            let (row, mut apart) = (m + cut % 3, vec![7.0; n * (m + cut % 3)]);
            transpose(isa, [m, n], &x, 0..n, &mut apart, row);
            let element = |i: usize| if i % row < m { x[i % row * n + i / row] } else { 7.0 };
            prop_assert!(apart.iter().enumerate().all(|(i, &y)| y == element(i)));
        }
    }
}

#[test]
fn every_activation_is_its_formula() {
    let x: Vec<f32> = values(1001, 1).iter().map(|x| x * 30.0).collect();
    for (isa, activation) in Isa::available().into_iter().flat_map(|isa| ACTIVATIONS.map(|a| (isa, a))) {
        let mut y = vec![f32::NAN; x.len()];
        activate(isa, activation, &x, &mut y);
        close(
            &y,
            &x.iter().map(|&x| exact(activation, f64::from(x))).collect::<Vec<_>>(),
            &format!("{} {activation:?}", isa.name()),
        );
    }
}

#[test]
fn nan_is_not_hidden_by_a_clamp() {
    for isa in Isa::available() {
        for activation in ACTIVATIONS {
            let mut y = [0.0];
            activate(isa, activation, &[f32::NAN], &mut y);
            assert!(y[0].is_nan(), "{} {activation:?}", isa.name());
        }
    }
}
