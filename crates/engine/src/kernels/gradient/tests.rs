//! The kernels of the way back on every instruction set against plain loops in f64, over odd shapes and in parts.

use super::*;
use crate::kernels::tests::{SIDES, cases, close, values};
use crate::kernels::{Out, Window};
use crate::simd::Isa;
use proptest::prelude::*;

prop_compose! {
    /// Windows of every kind, of those with tiles in one half of the cases; with pictures, and end padding that differs.
    pub(super) fn windows()(batch in 1usize..3, input in [1..SIDES[0], 1..SIDES[1]], odd in [1usize..6, 1usize..6], tiled in 0usize..8, strides in [1usize..4, 1usize..4],
                 dilations in [1usize..3, 1usize..3], pad in [0usize..4, 0usize..4], end in [0usize..4, 0usize..4]) -> Window {
        let tile = [[3, 1], [3, 2], [5, 1], [5, 2]].get(tiled).copied();
        let kernel = tile.map_or(odd, |[k, _]| [k, k]);
        let stride = tile.map_or(strides, |[_, s]| [s, s]);
        let dilation = if tile.is_some() { [1, 1] } else { dilations };
        let output = [0, 1].map(|i| {
            let reach = dilation[i] * (kernel[i] - 1) + 1;
            (input[i] + pad[i] + end[i]).checked_sub(reach).map_or(0, |room| room / stride[i] + 1)
        });
        Window { batch, input, output, kernel, stride, dilation, pad }
    }
}

/// Calls `visit(input pixel, output pixel, tap)` for all that meet in a picture.
pub(super) fn meetings(w: &Window, mut visit: impl FnMut(usize, usize, usize)) {
    for (oy, ox) in (0..w.output[0]).flat_map(|y| (0..w.output[1]).map(move |x| (y, x))) {
        for (ky, kx) in (0..w.kernel[0]).flat_map(|y| (0..w.kernel[1]).map(move |x| (y, x))) {
            let y = (oy * w.stride[0] + ky * w.dilation[0]).wrapping_sub(w.pad[0]);
            let x = (ox * w.stride[1] + kx * w.dilation[1]).wrapping_sub(w.pad[1]);
            if y < w.input[0] && x < w.input[1] {
                visit(y * w.input[1] + x, oy * w.output[1] + ox, ky * w.kernel[1] + kx);
            }
        }
    }
}

/// Some channels of some pixels, `stride` apart; the room between them holds what must not matter.
fn block(
    x: &[f32],
    c: usize,
    pixels: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    stride: usize,
) -> Vec<f32> {
    let mut to = vec![1e30; pixels.len() * stride];
    for (row, pixel) in to.chunks_exact_mut(stride).zip(pixels) {
        row[..columns.len()].copy_from_slice(&x[pixel * c + columns.start..pixel * c + columns.end]);
    }
    to
}

proptest! {
    #![proptest_config(cases(2048))]

    #[test]
    fn depthwise_gradients_are_those_of_the_definition(w in windows(), c in 1usize..70, cut in 0usize..99, from in 0usize..99) {
        let [inputs, outputs] = [w.input, w.output].map(|[h, w]| h * w);
        let taps_len = w.kernel[0] * w.kernel[1];
        let (x, dy) = (values(w.batch * inputs * c, 1), values(w.batch * outputs * c, 2));
        let taps = values(taps_len * c, 3);
        let (mut dx, mut sums) = (vec![0.0; x.len()], vec![0.0; taps.len()]);
        for picture in 0..w.batch {
            meetings(&w, |i, o, t| for ch in 0..c {
                let dy = f64::from(dy[(picture * outputs + o) * c + ch]);
                dx[(picture * inputs + i) * c + ch] += dy * f64::from(taps[t * c + ch]);
                sums[t * c + ch] += dy * f64::from(x[(picture * inputs + i) * c + ch]);
            });
        }
        for isa in Isa::available() {
            let (mut got, mut got_sums) = (vec![f32::NAN; x.len()], vec![0.0; taps.len()]);
            let (row, column) = (cut % (w.input[0] + 1), from % (c + 1));
            let rows = [0..row, row..w.input[0]];
            for picture in 0..w.batch {
                for (rows, columns) in rows.iter().flat_map(|r| [0..column, column..c].map(|c| (r.clone(), c))) {
                    let stride = columns.len().max(1).next_multiple_of(isa.lanes()) + cut % 3;
                    let seen = seen_by(&w, &rows);
                    let pixels = (picture * w.output[0] + seen.start) * w.output[1]..(picture * w.output[0] + seen.end) * w.output[1];
                    let gradient = block(&dy, c, pixels, columns.clone(), stride);
                    let d = DepthwiseBlock { window: w, channels: c, picture, rows: rows.clone(), columns: columns.clone(), gradient: &gradient, stride };
                    let pixels = (picture * w.input[0] + rows.start) * w.input[1]..(picture * w.input[0] + rows.end) * w.input[1];
                    depthwise_weight_grad(isa, &d, &block(&x, c, pixels, columns, stride), &mut got_sums);
                    // SAFETY: one call at a time.
                    unsafe { depthwise_input_grad(isa, &d, &taps, Out::new(&mut got)) };
                }
            }
            close(&got, &dx, isa.name());
            close(&got_sums, &sums, isa.name());
        }
    }

    #[test]
    fn outer_products_are_added(samples in 0usize..40, rows in 1usize..40, columns in 1usize..130, apart in 0usize..3, runs in 0usize..4, turns in 1usize..4) {
        // Samples of the right side may overlap, runs lie apart, and so do the rows of the result.
        let (lda, ldb, ldc) = (rows + apart, (columns + 2).saturating_sub(apart).max(1), columns + apart);
        let (a_run, b_run) = (samples * lda + 5, samples * ldb + 3);
        let (a_turn, b_turn) = (runs * a_run + 2, runs * b_run + 1);
        let (a, mut b) = (values(turns * a_turn + rows, 1), values(turns * b_turn + columns, 2));
        let start = values(rows * ldc, 3);
        b.resize(b.len() + SLACK, f32::NAN);
        let want: Vec<f64> = (0..rows * ldc).map(|at| {
            let (i, j) = (at / ldc, at % ldc);
            let sample = |s: usize| {
                let (turn, run, s) = (s / samples / runs, s / samples % runs, s % samples);
                let (a, b) = (&a[turn * a_turn + run * a_run..], &b[turn * b_turn + run * b_run..]);
                f64::from(a[s * lda + i]) * f64::from(b[s * ldb + j])
            };
            let sum: f64 = (0..turns * runs * samples).map(|s| if j < columns { sample(s) } else { 0.0 }).sum();
            f64::from(start[at]) + sum
        }).collect();
        for isa in Isa::available() {
            let mut c = start.clone();
            let (runs, turns) = ([runs, a_run, b_run], [turns, a_turn, b_turn]);
            add_outer(isa, &Outer { samples, a: &a, rows, lda, b: &b, columns, ldb, runs, turns, ldc }, &mut c);
            close(&c, &want, isa.name());
        }
    }

    #[test]
    fn loading_is_its_formula(pixels in 0usize..50, c in 1usize..50, mask in 0usize..3, affine in 0usize..3, clamp in any::<bool>(), cut in 0usize..99, first in 0usize..20, more in 0usize..20) {
        let (n, wide) = (pixels * c, first + c + more);
        let (x, z, p) = (values(pixels * wide, 1), values(n, 2), values(n, 3));
        let (list, mask_list) = (values(3 * c, 4), values(3 * c, 5));
        let mask_of = Mask { x: &p, coefficients: (mask == 2).then_some(&mask_list[..]), clamp: [-0.1, 0.2] };
        let bounds = if clamp { [-0.125, 0.25] } else { Load::stored(c, &x).clamp };
        let l = Load {
            channels: c,
            x: &x,
            columns: [first, wide],
            mask: (mask > 0).then_some(mask_of),
            affine: (affine > 0).then_some((&list[..], (affine == 2).then_some(&z[..]))),
            clamp: bounds,
        };
        let want: Vec<f64> = (0..n).map(|i| {
            let of = |list: &[f32], k: usize| f64::from(list[k * c + i % c]);
            let before = f64::from(p[i]);
            let before = if mask == 2 { before * of(&mask_list, 0) + of(&mask_list, 2) } else { before };
            let inside = mask == 0 || before > f64::from(-0.1f32) && before < f64::from(0.2f32);
            let mut v = if inside { f64::from(x[i / c * wide + first + i % c]) } else { 0.0 };
            if affine > 0 { v = v * of(&list, 0) + of(&list, 2); }
            if affine == 2 { v += of(&list, 1) * f64::from(z[i]); }
            v.max(f64::from(bounds[0])).min(f64::from(bounds[1]))
        }).collect();
        for isa in Isa::available() {
            let mut whole = vec![f32::NAN; n];
            load(isa, &l, 0..pixels, 0..c, &mut whole, c);
            close(&whole, &want, isa.name());
            let (first, column) = (cut % (pixels + 1), cut % (c + 1));
            let stride = (c - column).next_multiple_of(isa.lanes());
            let mut part = vec![f32::NAN; (pixels - first) * stride];
            load(isa, &l, first..pixels, column..c, &mut part, stride);
            for (row, pixel) in part.chunks(stride.max(1)).zip(first..pixels) {
                prop_assert_eq!(&row[..c - column], &whole[pixel * c + column..(pixel + 1) * c]);
            }
        }
    }

    #[test]
    fn sums_are_those_of_the_channels(pixels in 0usize..150, c in 1usize..50, with_gradient in any::<bool>(), cut in 0usize..999) {
        let (x, shift) = (values(pixels * c, 1), values(c, 2));
        let columns = cut % (c + 1)..c;
        let stride = columns.len() + cut % 3;
        let gradient = values(pixels * stride, 3);
        let mut want = vec![1.0; 2 * c];
        for (pixel, (i, ch)) in (0..pixels).flat_map(|p| columns.clone().enumerate().map(move |i| (p, i))) {
            let x = f64::from(x[pixel * c + ch]) - f64::from(shift[ch]);
            let u = if with_gradient { f64::from(gradient[pixel * stride + i]) } else { x };
            want[ch] += u;
            want[c + ch] += u * x;
        }
        for isa in Isa::available() {
            let mut sums = vec![1.0; 2 * c];
            let gradient = with_gradient.then_some((&gradient[..], stride));
            channel_sums(isa, &ChannelSums { channels: c, x: &x, pixels: 0..pixels, columns: columns.clone(), gradient, shift: &shift }, &mut sums);
            close(&sums, &want, isa.name());
        }
    }
}

/// Lengths that are too large a number are refused, not taken for small ones.
#[test]
#[should_panic(expected = "sides of")]
fn samples_that_lie_absurdly_far_apart_are_refused() {
    let far = usize::MAX / 2 + 1;
    let (a, b) = ([1.0; 3], [1.0; 3 + SLACK]);
    add_outer(Isa::SCALAR, &Outer { lda: far, ldb: far, ..Outer::dense(3, &a, 1, &b, 1) }, &mut [0.0]);
}

#[test]
#[should_panic(expected = "for 0..2 by")]
fn an_absurd_distance_of_pixels_is_refused() {
    load(Isa::SCALAR, &Load::stored(1, &[1.0; 2]), 0..2, 0..1, &mut [0.0; 2], usize::MAX / 2 + 1);
}

#[test]
#[should_panic(expected = "gradient of")]
fn an_absurd_distance_of_gradients_is_refused() {
    let gradient = Some((&[1.0; 2][..], usize::MAX / 2 + 1));
    let all = ChannelSums { channels: 1, x: &[1.0; 2], pixels: 0..2, columns: 0..1, gradient, shift: &[0.0] };
    channel_sums(Isa::SCALAR, &all, &mut [0.0; 2]);
}
