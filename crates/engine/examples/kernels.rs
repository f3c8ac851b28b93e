//! Times every kernel at the shapes of EfficientNet-Lite0, on one thread, as a fraction of the measured FMA peak.
//!
//! Taps in the padding count as work, though they are left out.
//!
//! `cargo run --release -p percept-engine --example kernels [FILTER]`; `PERCEPT_ISA` picks the instruction set.

use percept_engine::kernels::gradient::{Outer, SLACK, add_outer};
use percept_engine::kernels::*;
use percept_engine::simd::{AlignedBuf, Isa, flush_denormals};
use std::hint::black_box;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let isa = Isa::detect()?;
    let filter = std::env::args().nth(1).unwrap_or_default();
    flush_denormals();
    let peak = peak(isa);
    println!("{}: FMA peak {peak:.0} GFLOP/s (registers only), copy {:.1} GB/s", isa.name(), copy_rate());
    let report = |name: String, flop: f64, bytes: f64, mut run: Box<dyn FnMut()>| {
        if name.contains(&filter) {
            let seconds = best(&mut run);
            let rate = flop / seconds / 1e9;
            println!(
                "{name:<34} {:8.1} µs {rate:7.1} GFLOP/s {:5.1} % of peak {:6.1} GB/s",
                seconds * 1e6,
                100.0 * rate / peak,
                bytes / seconds / 1e9
            );
        }
    };
    // Side of the map, input and output channels.
    let pointwise = [
        (112, 32, 16),
        (112, 16, 96),
        (56, 96, 24),
        (56, 24, 144),
        (56, 144, 24),
        (28, 144, 40),
        (28, 40, 240),
        (28, 240, 40),
        (14, 240, 80),
        (14, 80, 480),
        (14, 480, 80),
        (14, 480, 112),
        (14, 112, 672),
        (14, 672, 112),
        (7, 672, 192),
        (7, 192, 1152),
        (7, 1152, 192),
        (7, 1152, 320),
        (7, 320, 1280),
    ];
    for (side, k, n) in pointwise {
        let (flop, bytes) = (2.0 * (side * side * k * n) as f64, 4.0 * (side * side * (k + n)) as f64);
        let window = window([side; 2], [1, 1], 1);
        report(format!("pointwise {side}² {k}→{n}"), flop, bytes, dense(isa, window, 1, k, n));
    }
    for (side, inputs, outputs, kernel, stride) in
        [(224, 3, 32, 3, 2), (56, 64, 64, 3, 1), (14, 256, 256, 3, 1), (7, 512, 512, 3, 1), (224, 3, 64, 7, 2)]
    {
        let window = window([side; 2], [kernel; 2], stride);
        let flop = 2.0 * (window.pixels() * kernel * kernel * inputs * outputs) as f64;
        let bytes = 4.0 * (side * side * inputs + window.pixels() * outputs) as f64;
        report(
            format!("conv {kernel}×{kernel} s{stride} {side}² {inputs}→{outputs}"),
            flop,
            bytes,
            dense(isa, window, 1, inputs, outputs),
        );
    }
    // As in ResNeXt, RegNet and DeepLab.
    for (side, channels, groups, stride, dilation) in [
        (56, 128, 32, 1, 1),
        (28, 256, 32, 1, 1),
        (28, 512, 32, 2, 1),
        (14, 512, 32, 1, 1),
        (7, 1024, 32, 1, 1),
        (28, 144, 6, 1, 1),
        (33, 256, 1, 1, 2),
        (33, 64, 1, 1, 6),
    ] {
        let window = Window { dilation: [dilation; 2], pad: [dilation; 2], ..window([side; 2], [3; 2], stride) };
        let flop = 2.0 * (window.pixels() * 9 * channels * channels / groups) as f64;
        let bytes = 4.0 * ((side * side + window.pixels()) * channels) as f64;
        let name = format!("conv 3×3 s{stride} d{dilation} {side}² {channels} in {groups} groups");
        report(name, flop, bytes, dense(isa, window, groups, channels, channels));
    }
    // As in ResNets and SqueezeNet; operations of the plain convolution.
    for (side, batch, inputs, outputs) in [
        (56, 1, 64, 64),
        (28, 1, 128, 128),
        (14, 1, 256, 256),
        (14, 8, 256, 256),
        (7, 1, 512, 512),
        (7, 8, 512, 512),
        (32, 1, 16, 16),
        (32, 8, 16, 16),
        (16, 8, 32, 32),
        (8, 8, 64, 64),
        (55, 1, 16, 64),
        (27, 1, 32, 128),
        (13, 1, 48, 192),
        (13, 1, 64, 256),
    ] {
        let window = Window { batch, ..window([side; 2], [3; 2], 1) };
        let flop = 2.0 * (window.pixels() * 9 * inputs * outputs) as f64;
        let bytes = 4.0 * (window.pixels() * (inputs + outputs)) as f64;
        let name = |how| format!("{how} {batch}×{side}² {inputs}→{outputs}");
        report(name("3×3 direct"), flop, bytes, dense(isa, window, 1, inputs, outputs));
        report(name("3×3 Winograd"), flop, bytes, minimal(isa, window, inputs, outputs));
    }
    for (side, channels, kernel, stride) in [
        (112, 32, 3, 1),
        (112, 96, 3, 2),
        (56, 144, 3, 1),
        (56, 144, 5, 2),
        (28, 240, 5, 1),
        (28, 240, 3, 2),
        (14, 480, 3, 1),
        (14, 480, 5, 1),
        (14, 672, 5, 1),
        (14, 672, 5, 2),
        (7, 1152, 5, 1),
        (7, 1152, 3, 1),
        (112, 96, 3, 1),
        (33, 288, 5, 1),
        (17, 720, 5, 1),
        (9, 1248, 5, 1),
    ] {
        let window = window([side; 2], [kernel; 2], stride);
        let flop = 2.0 * (window.pixels() * kernel * kernel * channels) as f64;
        let bytes = 4.0 * ((side * side + window.pixels()) * channels) as f64;
        let weights = DepthwiseWeights::pack(isa, channels, [kernel; 2], &values(channels * kernel * kernel));
        let (x, bias) = (values(side * side * channels), values(channels));
        let mut y = AlignedBuf::zeroed(window.pixels() * channels);
        let run = move || {
            let epilogue =
                Epilogue { bias: Some(&bias), residual: None, activation: Activation::Clip { min: 0.0, max: 6.0 } };
            let args = Depthwise { window, x: &x, weights: &weights, epilogue };
            // SAFETY: one call at a time.
            unsafe { depthwise(&args, Out::new(&mut y), 0..window.rows(), 0..channels) }
        };
        report(format!("depthwise {kernel}×{kernel} s{stride} {side}² {channels}"), flop, bytes, Box::new(run));
    }
    for (name, activation) in [
        ("hard swish", Activation::HardSwish),
        ("sigmoid", Activation::Sigmoid),
        ("tanh", Activation::Tanh),
        ("relu", Activation::Relu),
    ] {
        let (x, mut y) = (values(1 << 18), AlignedBuf::zeroed(1 << 18));
        report(
            format!("{name} of 2¹⁸"),
            x.len() as f64,
            8.0 * x.len() as f64,
            Box::new(move || activate(isa, activation, &x, &mut y)),
        );
    }
    let (m, n, k) = (1280, 81, 2048);
    let (a, b, mut c) = (values(k * m), values(k * n + SLACK), AlignedBuf::zeroed(m * n));
    let (flop, bytes) = (2.0 * (m * n * k) as f64, 4.0 * (m * k) as f64);
    // As many samples at once as logistic regression takes.
    let run = move || {
        for i in (0..k).step_by(256) {
            add_outer(isa, &Outer::dense(256, &a[i * m..], m, &b[i * n..], n), &mut c);
        }
    };
    report(format!("Aᵀ·B {m}×{n}, {k} samples"), flop, bytes, Box::new(run));
    let (x, mut y) = (vec![100u8; 224 * 224 * 3], AlignedBuf::zeroed(224 * 224 * 3));
    report(
        "bytes 224²".into(),
        2.0 * x.len() as f64,
        5.0 * x.len() as f64,
        Box::new(move || normalize_u8(isa, &x, &[0.1; 3], &[0.2; 3], &mut y)),
    );
    for (pixels, channels) in [(224 * 224, 3), (56 * 56, 144)] {
        let (x, b, mut y) = (values(pixels * channels), values(channels), AlignedBuf::zeroed(pixels * channels));
        let (flop, dims) = (x.len() as f64, [pixels, channels]);
        let run = move || {
            let (a_strides, b_strides) = (&[channels, 1], &[0, 1]);
            let args = Binary { op: BinaryOp::Mul, a: &x, b: &b, dims: &dims, a_strides, b_strides };
            // SAFETY: one call at a time.
            unsafe { binary(isa, &args, Out::new(&mut y), 0..pixels * channels) }
        };
        report(format!("multiply per channel {pixels}×{channels}"), flop, 8.0 * flop, Box::new(run));
        let (x, mut y) = (values(pixels * channels), AlignedBuf::zeroed(pixels * channels));
        let run = move || transpose(isa, [channels, pixels], &x, 0..pixels, &mut y, channels);
        report(format!("transpose {pixels}×{channels}"), 0.0, 8.0 * flop, Box::new(run));
    }
    Ok(())
}

/// Padding that keeps the size (at stride 1) or halves it.
fn window(input: [usize; 2], kernel: [usize; 2], stride: usize) -> Window {
    let output = input.map(|side| side.div_ceil(stride));
    let pad = [0, 1].map(|i| ((output[i] - 1) * stride + kernel[i]).saturating_sub(input[i]) / 2);
    Window { batch: 1, input, output, kernel, stride: [stride; 2], dilation: [1, 1], pad }
}

fn dense(isa: Isa, window: Window, groups: usize, inputs: usize, outputs: usize) -> Box<dyn FnMut()> {
    let shape = [outputs, inputs / groups, window.kernel[0], window.kernel[1]];
    let weights = ConvWeights::pack(isa, groups, shape, &values(shape.iter().product()));
    let (x, bias) = (values(window.input_pixels() * inputs), values(outputs));
    let mut y = AlignedBuf::zeroed(window.pixels() * outputs);
    let mut scratch = AlignedBuf::zeroed(weights.scratch_len(&window));
    Box::new(move || {
        let epilogue =
            Epilogue { bias: Some(&bias), residual: None, activation: Activation::Clip { min: 0.0, max: 6.0 } };
        let args = Conv { window, x: &x, weights: &weights, ldc: outputs, epilogue };
        // SAFETY: one call at a time.
        unsafe { conv(&args, Out::new(&mut y), 0..window.pixels(), 0..weights.panels(), &mut scratch) }
    })
}

fn minimal(isa: Isa, window: Window, inputs: usize, outputs: usize) -> Box<dyn FnMut()> {
    let weights = WinogradWeights::pack(isa, 4, [outputs, inputs], &values(outputs * inputs * 9));
    let (x, bias) = (values(window.input_pixels() * inputs), values(outputs));
    let mut y = AlignedBuf::zeroed(window.pixels() * outputs);
    let mut scratch = AlignedBuf::zeroed(weights.scratch_len());
    Box::new(move || {
        let epilogue = Epilogue { bias: Some(&bias), residual: None, activation: Activation::Relu };
        let args = Winograd { window, x: &x, weights: &weights, ldc: outputs, epilogue };
        // SAFETY: one call at a time.
        unsafe { winograd(&args, Out::new(&mut y), 0..weights.tiles(&window), 0..weights.panels(), &mut scratch) }
    })
}

fn values(n: usize) -> AlignedBuf {
    let mut buffer = AlignedBuf::zeroed(n);
    for (i, x) in buffer.iter_mut().enumerate() {
        *x = (i * 7919 % 1000) as f32 / 1000.0 - 0.5;
    }
    buffer
}

/// The shortest time of a call, over a quarter of a second.
fn best(run: &mut dyn FnMut()) -> f64 {
    let (begin, mut shortest) = (Instant::now(), f64::MAX);
    while begin.elapsed().as_secs_f64() < 0.25 {
        let start = Instant::now();
        run();
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    shortest
}

/// GFLOP/s of multiply-adds that never leave the registers; for plain Rust, of multiplications followed by additions.
fn peak(isa: Isa) -> f64 {
    const STEPS: usize = 10_000;
    /// Enough sums to hide the latency of an FMA.
    const SUMS: usize = 12;
    macro_rules! sums {
        ($splat:expr, $fma:expr) => {{
            let (a, b) = (black_box($splat(0.5)), black_box($splat(1.0)));
            let mut sums = [$splat(0.0); SUMS];
            for _ in 0..STEPS {
                for sum in &mut sums {
                    *sum = $fma(a, *sum, b);
                }
            }
            black_box(sums);
        }};
    }
    /// # Safety
    /// The CPU has AVX-512.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512() {
        use std::arch::x86_64::*;
        sums!(_mm512_set1_ps, _mm512_fmadd_ps)
    }
    /// # Safety
    /// The CPU has AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2() {
        use std::arch::x86_64::*;
        sums!(_mm256_set1_ps, _mm256_fmadd_ps)
    }
    let splat = |x: f32| [x; 4];
    let multiply_add = |a: [f32; 4], b: [f32; 4], c: [f32; 4]| std::array::from_fn(|i| a[i] * b[i] + c[i]);
    let seconds = match isa.name() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` exists only where the CPU has it.
        "avx512" => best(&mut || unsafe { avx512() }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        "avx2" => best(&mut || unsafe { avx2() }),
        _ => best(&mut || sums!(splat, multiply_add)),
    };
    2.0 * (STEPS * SUMS * isa.lanes()) as f64 / seconds / 1e9
}

/// GB/s read and written by copying 64 MB.
fn copy_rate() -> f64 {
    let (x, mut y) = (values(16 << 20), AlignedBuf::zeroed(16 << 20));
    let seconds = best(&mut || y.copy_from_slice(&x));
    8.0 * x.len() as f64 / seconds / 1e9
}
