//! Convolutions of every kind, and what is run together with them, against plain loops and against the layers one by one.

use super::tests::{ACTIVATIONS, cases, check, convolution, epilogues, sized, values, windows};
use super::*;
use crate::simd::Isa;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(2048))]

    #[test]
    fn conv_is_the_convolution(w in windows(), groups in 1usize..4, i in 0usize..24, o in 0usize..40, parts in epilogues(), cut in 0usize..999) {
        let (shape, outputs) = ([o * groups, i, w.kernel[0], w.kernel[1]], o * groups);
        let (x, weights) = (values(w.input_pixels() * i * groups, 1), values(shape.iter().product(), 2));
        let (bias, residual) = (values(outputs, 3), values(w.pixels() * outputs, 4));
        let epilogue = Epilogue { bias: parts.0.then_some(&bias), residual: parts.1.then_some(&residual), activation: parts.2 };
        let want = convolution(&w, shape, groups, &x, &weights, &epilogue);
        check(&want, w.pixels(), cut, |isa, out, pixels| {
            let weights = ConvWeights::pack(isa, groups, shape, &weights);
            let mut scratch = vec![f32::NAN; weights.scratch_len(&w)];
            let args = Conv { window: w, x: &x, weights: &weights, ldc: outputs, epilogue };
            let some = cut % (weights.panels() + 1);
            // SAFETY: one call at a time.
            unsafe {
                conv(&args, out, pixels.clone(), 0..some, &mut scratch);
                conv(&args, out, pixels, some..weights.panels(), &mut scratch);
            }
        });
    }

    #[test]
    fn conv_pool_is_its_layers(w in windows(), p in windows(), large in 1usize..4, sizes in [0usize..20, 0usize..40], bias in any::<bool>(), inner in 0usize..9, cut in 0usize..999) {
        let w = sized(w, w.input.map(|side| side * large));
        let p = sized(Window { batch: w.batch, ..p }, w.output);
        let [inputs, n] = sizes;
        let (x, filters, biases) = (values(w.input_pixels() * inputs, 1), values(w.taps() * inputs * n, 2), values(n, 3));
        let epilogue = Epilogue { bias: bias.then_some(&biases), residual: None, activation: ACTIVATIONS[inner] };
        for isa in Isa::available() {
            let weights = ConvWeights::pack(isa, 1, [n, inputs, w.kernel[0], w.kernel[1]], &filters);
            let layer = Conv { window: w, x: &x, weights: &weights, ldc: n, epilogue };
            let both = ConvPool { conv: layer, pool: p };
            let mut scratch = vec![f32::NAN; both.scratch_len()];
            let mut map = vec![f32::NAN; w.pixels() * n];
            let (mut want, mut got) = (vec![f32::NAN; p.pixels() * n], vec![f32::NAN; p.pixels() * n]);
            let row = cut % (p.rows() + 1);
            // SAFETY: one call at a time.
            unsafe {
                conv(&layer, Out::new(&mut map), 0..w.pixels(), 0..weights.panels(), &mut scratch);
                let args = Pool { window: p, kind: PoolKind::Max, channels: n, x: &map };
                pool(isa, &args, Out::new(&mut want), 0..p.pixels());
                conv_pool(&both, Out::new(&mut got), row..p.rows(), &mut scratch);
                conv_pool(&both, Out::new(&mut got), 0..row, &mut scratch);
            }
            let differs = got.iter().zip(&want).position(|(a, b)| a.to_bits() != b.to_bits());
            prop_assert!(differs.is_none(), "{}: element {differs:?}", isa.name());
        }
    }

    #[test]
    fn depthwise_is_the_convolution(w in windows(), tiled in any::<bool>(), n in 0usize..70, parts in epilogues(), cut in 0usize..99) {
        // Half of the cases have a form that has tiles of its own.
        let w = if tiled { Window { kernel: w.kernel.map(|k| if k % 2 == 0 { 3 } else { 5 }), stride: w.stride.map(|s| s.min(2)), dilation: [1, 1], ..w } } else { w };
        let (x, weights) = (values(w.input_pixels() * n, 1), values(n * w.kernel[0] * w.kernel[1], 2));
        let (bias, residual) = (values(n, 3), values(w.pixels() * n, 4));
        let epilogue = Epilogue { bias: parts.0.then_some(&bias), residual: parts.1.then_some(&residual), activation: parts.2 };
        let want = convolution(&w, [n, 1, w.kernel[0], w.kernel[1]], n, &x, &weights, &epilogue);
        check(&want, w.rows(), cut, |isa, out, rows| {
            let weights = DepthwiseWeights::pack(isa, n, w.kernel, &weights);
            let args = Depthwise { window: w, x: &x, weights: &weights, epilogue };
            let some = cut % (n + 1);
            // SAFETY: one call at a time.
            unsafe {
                depthwise(&args, out, rows.clone(), 0..some);
                depthwise(&args, out, rows, some..n);
            }
        });
    }

    #[test]
    fn bottleneck_is_its_layers(w in windows(), large in 1usize..5, form in 0usize..3, expand in any::<bool>(),
                                sizes in [0usize..20, 0usize..80, 0usize..40], parts in epilogues(), inner in [0usize..3, 0usize..3],
                                stem in prop::option::of((1usize..4, [1usize..4, 1usize..4], [1usize..3, 1usize..3], [0usize..3, 0usize..3])), cut in 0usize..999) {
        let w = Window { kernel: if form > 0 { w.kernel.map(|k| [3, 5, 7][k % 3]) } else { w.kernel }, ..w };
        let w = if form > 1 { Window { stride: w.stride.map(|s| s.min(2)), dilation: [1, 1], pad: w.kernel.map(|k| k / 2), ..w } } else { w };
        let w = if cfg!(miri) { w } else { sized(w, w.input.map(|side| side * large)) };
        let [inputs, n, outputs] = sizes;
        // The first convolution: 1×1, or one of few channels that ends with the depthwise convolution's input.
        let first = Window { output: w.input, kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0], ..w };
        let stem = stem.filter(|_| expand).map(|(few, kernel, stride, pad)| {
            let side = |i: usize| (w.input[i].max(1) * stride[i] + kernel[i]).saturating_sub(stride[i] + pad[i]).max(1);
            (few, Window { input: [side(0), side(1)], kernel, stride, pad, ..first })
        });
        let (inputs, first_window) = stem.map_or((inputs, first), |(few, window)| (few, window));
        let stem = stem.map(|(_, window)| window);
        let filter = inputs * first_window.taps();
        let inner = inner.map(|i| ACTIVATIONS[i]);
        let taps = w.kernel[0] * w.kernel[1];
        for isa in Isa::available() {
            let n = if expand { n } else { n.next_multiple_of(isa.lanes()) };
            let inputs = if expand { inputs } else { n };
            let x = values(if expand { first_window.input_pixels() } else { w.input_pixels() } * inputs, 1);
            let (first, filters, last) = (values(n * filter, 2), values(n * taps, 3), values(outputs * n, 4));
            let (biases, residual) = ([values(n, 5), values(n, 6), values(outputs, 7)], values(w.pixels() * outputs, 8));
            let bias = |i: usize| (cut % (i + 2) > 0).then_some(&biases[i][..]);
            let epilogue = Epilogue { bias: bias(2), residual: parts.1.then_some(&residual), activation: parts.2 };
            // Layer by layer.
            let pointwise = |w: Window, output: [usize; 2]| Window { input: output, output, kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0], ..w };
            let dense = |window: Window, shape: [usize; 2], x: &[f32], weights: &[f32], epilogue| {
                let weights = ConvWeights::pack(isa, 1, [shape[1], shape[0], window.kernel[0], window.kernel[1]], weights);
                let mut y = vec![f32::NAN; window.pixels() * shape[1]];
                let mut scratch = vec![f32::NAN; weights.scratch_len(&window)];
                let conv_args = Conv { window, x, weights: &weights, ldc: shape[1], epilogue };
                // SAFETY: one call at a time.
                unsafe { conv(&conv_args, Out::new(&mut y), 0..window.pixels(), 0..weights.panels(), &mut scratch) };
                y
            };
            let between = |i: usize| Epilogue { bias: bias(i), residual: None, activation: inner[i] };
            let wide = if expand { dense(first_window, [inputs, n], &x, &first, between(0)) } else { x.clone() };
            let weights = DepthwiseWeights::pack(isa, n, w.kernel, &filters);
            let mut middle = vec![f32::NAN; w.pixels() * n];
            let args = Depthwise { window: w, x: &wide, weights: &weights, epilogue: between(1) };
            // SAFETY: one call at a time.
            unsafe { depthwise(&args, Out::new(&mut middle), 0..w.rows(), 0..n) };
            let want = dense(pointwise(w, w.output), [n, outputs], &middle, &last, epilogue);
            // Fused, in two bands of rows; and divided by channels.
            let layer = |weights, kernel, i: usize| Layer { weights, kernel, bias: bias(i), activation: inner[i] };
            let expand = expand.then(|| layer(&first, first_window.kernel, 0));
            let weights = BottleneckWeights::pack(isa, [inputs, n, outputs], expand.as_ref(), &layer(&filters, w.kernel, 1), &last);
            let args = Bottleneck { window: w, stem, x: &x, weights: &weights, epilogue };
            let mut scratch = vec![f32::NAN; weights.scratch_len(&w, stem.as_ref())];
            let (mut bands, mut channels) = (vec![f32::NAN; want.len()], vec![f32::NAN; want.len()]);
            let mut middle = vec![f32::NAN; weights.middle_len(&w)];
            let (row, panel, pixel) = (cut % (w.rows() + 1), cut % (weights.panels() + 1), cut % (w.pixels() + 1));
            // SAFETY: one call at a time.
            unsafe {
                bottleneck(&args, Out::new(&mut bands), row..w.rows(), &mut scratch);
                bottleneck(&args, Out::new(&mut bands), 0..row, &mut scratch);
                bottleneck_middle(&args, Out::new(&mut middle), panel..weights.panels(), &mut scratch);
                bottleneck_middle(&args, Out::new(&mut middle), 0..panel, &mut scratch);
                bottleneck_project(&args, &middle, Out::new(&mut channels), 0..pixel, 0..weights.output_panels());
                bottleneck_project(&args, &middle, Out::new(&mut channels), pixel..w.pixels(), 0..weights.output_panels());
            }
            for (how, got) in [("bands", bands), ("channels", channels)] {
                let differs = got.iter().zip(&want).position(|(a, b)| a.to_bits() != b.to_bits());
                prop_assert!(differs.is_none(), "{} in {how}: element {differs:?}", isa.name());
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes an hour; bands of one line are in `conv_is_the_convolution`")]
fn conv_by_bands_is_the_convolution() {
    // Bands of a large picture, and of several small ones.
    let plain = Window {
        batch: 0,
        input: [0; 2],
        output: [0; 2],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [1, 1],
    };
    for (batch, input, stride, [i, o]) in
        [(2, [30, 50], 1, [48, 8]), (1, [45, 40], 2, [64, 33]), (5, [8, 9], 1, [200, 4])]
    {
        let w = sized(Window { batch, stride: [stride; 2], ..plain }, input);
        let shape = [o, i, 3, 3];
        let (x, weights) = (values(w.input_pixels() * i, 1), values(shape.iter().product(), 2));
        let epilogue = Epilogue::default();
        let want = convolution(&w, shape, 1, &x, &weights, &epilogue);
        check(&want, w.pixels(), 137, |isa, out, pixels| {
            let weights = ConvWeights::pack(isa, 1, shape, &weights);
            let mut scratch = vec![f32::NAN; weights.scratch_len(&w)];
            let args = Conv { window: w, x: &x, weights: &weights, ldc: o, epilogue };
            // SAFETY: one call at a time.
            unsafe { conv(&args, out, pixels, 0..weights.panels(), &mut scratch) };
        });
    }
}
