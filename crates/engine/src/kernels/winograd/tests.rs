//! Winograd's convolution against the definition, over odd shapes, and the same bits however its work is cut.

use super::*;
use crate::kernels::tests::{ACTIVATIONS, cases, close, convolution, set_output, values};
use crate::simd::Isa;
use proptest::prelude::*;

/// Up to how many channels there are.
const CHANNELS: [usize; 2] = if cfg!(miri) { [5, 6] } else { [70, 90] };

prop_compose! {
    /// Windows of 3×3 with 0 to 3 pictures and padding that differs from side to side.
    fn windows()(batch in 0usize..4, input in [1usize..21, 1usize..21], pad in [0usize..3, 0usize..3], end in [0usize..3, 0usize..3]) -> Window {
        let mut w = Window { batch, input, output: [0; 2], kernel: [3; 2], stride: [1; 2], dilation: [1; 2], pad };
        set_output(&mut w, end);
        w
    }
}

/// Computes all by one call, with what it may not read not being numbers.
fn whole(c: &Winograd<'_>) -> Vec<f32> {
    let (tiles, weights) = (c.weights.tiles(&c.window), c.weights);
    let mut y = vec![f32::NAN; c.window.pixels() * c.ldc];
    let mut scratch = vec![f32::NAN; weights.scratch_len()];
    // SAFETY: one call.
    unsafe { winograd(c, Out::new(&mut y), 0..tiles, 0..weights.panels(), &mut scratch) };
    y
}

fn same(a: &[f32], b: &[f32], what: &str) {
    let differs = a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits());
    assert!(differs.is_none(), "{what}: element {differs:?}");
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn winograd_is_the_convolution(w in windows(), tile in 1usize..3, inputs in 0..CHANNELS[0], outputs in 0..CHANNELS[1], bias in any::<bool>(), residual in any::<bool>(),
                                   activation in prop::sample::select(&ACTIVATIONS[..]), cut in 0usize..999, gap in 1usize..20) {
        let (x, weights) = (values(w.input_pixels() * inputs, 1), values(outputs * inputs * 9, 2));
        let (biases, residuals) = (values(outputs, 3), values(w.pixels() * outputs, 4));
        let epilogue = Epilogue { bias: bias.then_some(&biases), residual: residual.then_some(&residuals), activation };
        let want = convolution(&w, [outputs, inputs, 3, 3], 1, &x, &weights, &epilogue);
        for isa in Isa::available() {
            let weights = WinogradWeights::pack(isa, 2 * tile, [outputs, inputs], &weights);
            let c = Winograd { window: w, x: &x, weights: &weights, ldc: outputs, epilogue };
            let all = whole(&c);
            close(&all, &want, isa.name());
            let (tiles, panels) = (weights.tiles(&w), weights.panels());
            let (tile, panel) = (cut % (tiles + 1), cut % (panels + 1));
            // In parts of each axis.
            let mut parts = vec![f32::NAN; all.len()];
            let mut scratch = vec![f32::NAN; weights.scratch_len()];
            for (tiles, panels) in [(tile..tiles, 0..panel), (0..tile, 0..panel), (0..tiles, panel..panels)] {
                // SAFETY: one call at a time.
                unsafe { winograd(&c, Out::new(&mut parts), tiles, panels, &mut scratch) };
            }
            same(&parts, &all, isa.name());
            // Transformed first, multiplied later.
            let mut later = vec![f32::NAN; all.len()];
            let mut patches = vec![f32::NAN; weights.patches_len(tiles)];
            // SAFETY: one call at a time.
            unsafe {
                winograd_patches(&c, Out::new(&mut patches), 0..tiles, tile..tiles);
                winograd_patches(&c, Out::new(&mut patches), 0..tiles, 0..tile);
                winograd_products(&c, &patches, 0..tiles, Out::new(&mut later), tile..tiles, 0..panels, &mut scratch);
                winograd_products(&c, &patches, 0..tiles, Out::new(&mut later), 0..tile, 0..panels, &mut scratch);
            }
            same(&later, &all, isa.name());
            // As some columns of a wider matrix.
            let wide = whole(&Winograd { ldc: outputs + gap, ..c });
            let (columns, between): (Vec<_>, Vec<_>) = wide.iter().enumerate().partition(|(i, _)| i % (outputs + gap) < outputs);
            same(&columns.into_iter().map(|(_, &y)| y).collect::<Vec<_>>(), &all, isa.name());
            prop_assert!(between.iter().all(|(_, y)| y.is_nan()), "{}", isa.name());
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes an hour")]
fn a_picture_does_not_depend_on_its_batch() {
    for (tile, side) in [(4, 5), (4, 7), (2, 7), (4, 14)] {
        let w = |batch| Window {
            batch,
            input: [side; 2],
            output: [side; 2],
            kernel: [3; 2],
            stride: [1; 2],
            dilation: [1; 2],
            pad: [1; 2],
        };
        let (x, weights) = (values(5 * side * side * 24, 1), values(40 * 24 * 9, 2));
        for isa in Isa::available() {
            let weights = WinogradWeights::pack(isa, tile, [40, 24], &weights);
            let (weights, epilogue) = (&weights, Epilogue::default());
            let of = |batch, x| whole(&Winograd { window: w(batch), x, weights, ldc: 40, epilogue });
            let all = of(5, &x[..]);
            let single: Vec<f32> = x.chunks(x.len() / 5).flat_map(|x| of(1, x)).collect();
            same(&all, &single, isa.name());
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "of rounding, not of memory, and takes an hour")]
fn errors_are_near_those_of_a_plain_sum() {
    let side = 14;
    let (inputs, outputs) = (512, 32);
    let window = Window {
        batch: 1,
        input: [side; 2],
        output: [side; 2],
        kernel: [3; 2],
        stride: [1; 2],
        dilation: [1; 2],
        pad: [1; 2],
    };
    // As behind a Relu.
    let x: Vec<f32> = values(side * side * inputs, 1).iter().map(|x| x.max(0.0)).collect();
    let weights = values(outputs * inputs * 9, 2);
    let want = convolution(&window, [outputs, inputs, 3, 3], 1, &x, &weights, &Epilogue::default());
    let largest = want.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    for (isa, tile) in Isa::available().into_iter().flat_map(|isa| [(isa, 2), (isa, 4)]) {
        let weights = WinogradWeights::pack(isa, tile, [outputs, inputs], &weights);
        let got = whole(&Winograd { window, x: &x, weights: &weights, ldc: outputs, epilogue: Epilogue::default() });
        let error = got.iter().zip(&want).fold(0.0, |most: f64, (&g, w)| most.max((f64::from(g) - w).abs()));
        assert!(error < 1e-5 * largest, "{}: {error:e} of {largest}", isa.name());
    }
}
