use super::*;

/// Applies an operation of one operand to a slice.
struct Map<'a, const OP: usize> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<const OP: usize> Kernel for Map<'_, OP> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for i in (0..self.x.len()).step_by(S::LANES) {
            let n = S::LANES.min(self.x.len() - i);
            // SAFETY: parts end with the slices, which are equally long.
            unsafe {
                let x = S::load_part(self.x.as_ptr().add(i), n);
                let y = match OP {
                    0 => math::exp::<S>(x),
                    1 => math::tanh::<S>(x),
                    2 => math::sigmoid::<S>(x),
                    3 => S::round(x),
                    4 => S::min(x, S::splat(1.0)),
                    6 => math::log::<S>(x),
                    7 => math::softplus::<S>(x),
                    8 => math::erf::<S>(x),
                    _ => S::max(x, S::splat(1.0)),
                };
                S::store_part(self.y.as_mut_ptr().add(i), y, n);
            }
        }
    }
}

fn map<const OP: usize>(isa: Isa, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    // SAFETY: the slices are equally long.
    unsafe { isa.run(Map::<OP> { x, y: &mut y }) };
    y
}

fn units_apart(got: f32, want: f64) -> f64 {
    let unit = f64::from((want as f32).abs().max(f32::MIN_POSITIVE).next_up())
        - f64::from((want as f32).abs().max(f32::MIN_POSITIVE));
    (f64::from(got) - want).abs() / unit
}

#[test]
fn transcendental_functions_are_within_a_few_units_in_the_last_place() {
    let step = if cfg!(miri) { 1000 } else { 1 };
    let x: Vec<f32> =
        (-87_000..=88_000).step_by(step).map(|i| i as f32 / 1000.0 + 1e-5).chain([1e-20, -1e-20, 0.0]).collect();
    for isa in Isa::available() {
        let [exp, tanh, sigmoid] = [map::<0>(isa, &x), map::<1>(isa, &x), map::<2>(isa, &x)];
        let (mut worst, mut at) = ([0f64; 3], [0f32; 3]);
        for (i, &v) in x.iter().enumerate() {
            let v = f64::from(v);
            for (j, (got, want)) in
                [(exp[i], v.exp()), (tanh[i], v.tanh()), (sigmoid[i], 1.0 / (1.0 + (-v).exp()))].into_iter().enumerate()
            {
                let units = units_apart(got, want);
                if units > worst[j] {
                    (worst[j], at[j]) = (units, v as f32);
                }
            }
        }
        assert!(worst[0] <= 1.5 && worst[1] <= 2.5 && worst[2] <= 2.5, "{}: {worst:?} at {at:?}", isa.name());
    }
}

#[test]
fn logarithm_and_error_function_are_as_near() {
    let step = if cfg!(miri) { 1000 } else { 1 };
    let small = (-87_000..=88_000).step_by(step).map(|i| i as f32 / 1000.0 + 1e-5);
    let x: Vec<f32> = small.chain([1e-20, -1e-20, 0.0, 4.0, -4.0]).collect();
    let positive: Vec<f32> = (0x0080_0000u32..0x7f80_0000).step_by(10_007 * step).map(f32::from_bits).collect();
    for isa in Isa::available() {
        let worst = |got: Vec<f32>, x: &[f32], exact: fn(f64) -> f64| {
            got.iter().zip(x).map(|(&got, &x)| units_apart(got, exact(x.into()))).fold(0.0, f64::max)
        };
        let log = worst(map::<6>(isa, &positive), &positive, f64::ln);
        let softplus = worst(map::<7>(isa, &x), &x, |x| x.max(0.0) + (-x.abs()).exp().ln_1p());
        let erf = worst(map::<8>(isa, &x), &x, crate::reference::arithmetic::erf);
        assert!(log <= 1.5 && softplus <= 3.0 && erf <= 4.0, "{}: {log} {softplus} {erf}", isa.name());
    }
}

#[test]
fn special_values_keep_their_meaning() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 89.0, -200.0, -0.0];
    for isa in Isa::available() {
        let exp = map::<0>(isa, &x);
        assert!(exp[0].is_nan());
        assert_eq!(exp[1..], [f32::INFINITY, 0.0, f32::INFINITY, 0.0, 1.0]);
        let tanh = map::<1>(isa, &x);
        assert!(tanh[0].is_nan());
        assert_eq!(tanh[1..], [1.0, -1.0, 1.0, -1.0, 0.0]);
        let sigmoid = map::<2>(isa, &x);
        assert!(sigmoid[0].is_nan());
        assert_eq!(sigmoid[1..], [1.0, 0.0, 1.0, 0.0, 0.5]);
        let log = map::<6>(isa, &[f32::NAN, f32::INFINITY, -1.0, 0.0, -0.0, 1.0]);
        assert!(log[0].is_nan() && log[2].is_nan());
        assert_eq!([log[1], log[3], log[4], log[5]], [f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0]);
        let softplus = map::<7>(isa, &x);
        assert!(softplus[0].is_nan());
        assert_eq!(softplus[1..5], [f32::INFINITY, 0.0, 89.0, 0.0]);
        let erf = map::<8>(isa, &x);
        assert!(erf[0].is_nan());
        assert_eq!(erf[1..], [1.0, -1.0, 1.0, -1.0, 0.0]);
        assert_eq!(map::<3>(isa, &[0.5, 1.5, -2.5, 2.4]), [0.0, 2.0, -2.0, 2.0]);
        // The second operand where either is NaN.
        assert_eq!((map::<4>(isa, &x)[0], map::<5>(isa, &x)[0]), (1.0, 1.0));
    }
}

#[test]
fn a_tail_gives_the_bits_of_a_whole_vector() {
    let x: Vec<f32> = (0..64).map(|i| (i as f32 - 31.0) / 7.0).collect();
    for isa in Isa::available() {
        let whole = map::<1>(isa, &x);
        for n in 0..x.len() {
            assert_eq!(map::<1>(isa, &x[..n]), whole[..n], "{} {n}", isa.name());
        }
    }
}

/// Loads, joins and stores halves of vectors.
struct Halves<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Halves<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (n, x, y) = (S::LANES / 2, self.x.as_ptr(), self.y.as_mut_ptr());
        // SAFETY: the slices have room for two vectors.
        unsafe {
            let (twice, both) = (S::load_twice(x), S::load_halves(x.add(n), x));
            S::store_halves(y.add(n), y, S::join(twice, both, 1));
            S::store_halves(y.add(2 * n), y.add(3 * n), S::join(both, twice, n));
        }
    }
}

#[test]
fn halves_of_vectors_are_joined_and_written_where_they_belong() {
    for isa in Isa::available() {
        let (lanes, half) = (isa.lanes(), isa.lanes() / 2);
        let x: Vec<f32> = (0..2 * lanes).map(|i| i as f32).collect();
        let mut y = vec![f32::NAN; 2 * lanes];
        // SAFETY: both slices have room for two vectors.
        unsafe { isa.run(Halves { x: &x, y: &mut y }) };
        let (first, second) = (&x[..half], &x[half..lanes]);
        let joined = [&x[..1], &second[1..]].concat();
        assert_eq!(y, [first, &joined, second, first].concat(), "{}", isa.name());
    }
}

#[test]
fn an_instruction_set_is_chosen_by_name() {
    assert_eq!(Isa::named("scalar"), Ok(Isa::SCALAR));
    assert_eq!(Isa::named("avx9"), Err(IsaError::Unknown("avx9".into())));
    let message = IsaError::Unknown("avx9".into()).to_string();
    assert!(message.contains("\"avx9\"") && message.contains("scalar"), "{message}");
    for isa in Isa::available() {
        assert_eq!(Isa::named(isa.name()), Ok(isa));
    }
}

#[test]
fn denormals_are_flushed_in_the_thread_that_asks() {
    let product = || std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5);
    let flushed = std::thread::spawn(move || {
        flush_denormals();
        product()
    });
    let flushed = flushed.join().unwrap();
    if cfg!(all(target_arch = "x86_64", not(miri))) {
        assert_eq!(flushed, 0.0);
    }
    assert!(product() > 0.0);
}
