//! Losses and their gradients: PyTorch's values (`golden/loss.py`), finite differences in f64, every instruction set, and bad input.

#![allow(clippy::unwrap_used, clippy::panic)]

use percept_engine::reference::{self, Array};
use percept_engine::simd::Isa;
use percept_engine::{Input, Network, Settings};
use percept_graph::{Builder, DType, Graph, Params, Var};
use percept_learn::gradient::gradients;
use percept_learn::loss::{self, BinaryCrossEntropy, CrossEntropy, Ctc, MultiMargin, Reduction, Weighted};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    loss: String,
    settings: Given,
    inputs: Vec<Numbers>,
    value: Value,
    slope: Vec<Value>,
}

/// What PyTorch was told; weights say which input they are.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Given {
    weight: Option<usize>,
    pos_weight: Option<usize>,
    reduction: Option<String>,
    ignore_index: Option<i64>,
    label_smoothing: f32,
    margin: Option<f32>,
    squared: bool,
    delta: f32,
    blank: usize,
    zero_infinity: bool,
}

#[derive(Clone, Deserialize)]
struct Numbers {
    shape: Vec<usize>,
    kind: String,
    data: Vec<f64>,
}

/// A number, "inf", or null for NaN.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Infinite(String),
    Nan(()),
}

impl Value {
    fn get(&self) -> f64 {
        match self {
            Self::Number(x) => *x,
            Self::Infinite(name) => name.parse().unwrap(),
            Self::Nan(()) => f64::NAN,
        }
    }
}

impl Case {
    fn dtype(kind: &str) -> DType {
        if kind == "f32" { DType::F32 } else { DType::I64 }
    }

    /// Its loss and the gradient with respect to the first input.
    fn graph(&self) -> Graph {
        let net = Builder::new("loss");
        let input = |(i, numbers): (usize, &Numbers)| {
            net.input(&format!("x{i}"), Self::dtype(&numbers.kind), numbers.shape.iter().map(|&size| size.into()))
        };
        let inputs: Vec<Var<'_>> = self.inputs.iter().enumerate().map(input).collect();
        let given = &self.settings;
        let [weight, pos_weight] = [given.weight, given.pos_weight].map(|place| place.map(|i| inputs[i]));
        let reduction = if given.reduction.as_deref() == Some("sum") { Reduction::Sum } else { Reduction::Mean };
        let weighted = Weighted { weight, reduction };
        let (x, t) = (inputs[0], inputs[1]);
        let loss = match self.loss.as_str() {
            "cross_entropy" => {
                let ignore_index = given.ignore_index.unwrap_or(-100);
                let label_smoothing = given.label_smoothing;
                loss::cross_entropy(x, t, CrossEntropy { weight, ignore_index, label_smoothing, reduction })
            }
            "multi_margin_loss" => {
                let (margin, squared) = (given.margin.unwrap_or(1.0), given.squared);
                loss::multi_margin_loss(x, t, MultiMargin { margin, squared, weight, reduction })
            }
            "mse_loss" => loss::mse_loss(x, t, weighted),
            "l1_loss" => loss::l1_loss(x, t, weighted),
            "huber_loss" => loss::huber_loss(x, t, given.delta, weighted),
            "smooth_l1_loss" => loss::smooth_l1_loss(x, t, given.delta, weighted),
            "hinge_loss" => loss::hinge_loss(x, t, weighted),
            "binary_cross_entropy_with_logits" => {
                loss::binary_cross_entropy_with_logits(x, t, BinaryCrossEntropy { weight, pos_weight, reduction })
            }
            "ctc_loss" => {
                let ctc = Ctc { blank: given.blank, zero_infinity: given.zero_infinity, reduction };
                loss::ctc_loss(x, t, inputs[2], inputs[3], ctc)
            }
            other => panic!("{other}"),
        };
        let mut graph = net.finish(&[("loss", loss)]).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let slope = gradients(&mut graph, loss.id(), &[x.id()]).unwrap()[0].unwrap();
        graph.set_outputs([loss.id(), slope]);
        graph
    }

    fn arrays(&self) -> Vec<Array> {
        let array = |numbers: &Numbers| Array {
            dtype: Self::dtype(&numbers.kind),
            shape: numbers.shape.clone(),
            data: numbers.data.clone(),
        };
        self.inputs.iter().map(array).collect()
    }

    /// Loss and gradient as the engine computes them.
    fn run(&self, settings: Settings) -> Result<[Vec<f32>; 2], String> {
        let mut network = Network::new(&self.graph(), &Params::new(), settings).unwrap();
        let floats: Vec<Vec<f32>> =
            self.inputs.iter().map(|list| list.data.iter().map(|&x| x as f32).collect()).collect();
        let integers: Vec<Vec<i64>> =
            self.inputs.iter().map(|list| list.data.iter().map(|&x| x as i64).collect()).collect();
        let given = self.inputs.iter().enumerate().map(|(i, list)| {
            let data = if list.kind == "f32" { Input::F32(&floats[i]) } else { Input::I64(&integers[i]) };
            (&list.shape[..], data)
        });
        let given: Vec<_> = given.collect();
        let plan = network.run(&given).map_err(|e| e.to_string())?;
        Ok([0, 1].map(|i| plan.output(i).1.to_vec()))
    }

    /// The engine against the reference on every instruction set, the same bits with one thread and three.
    fn check_engine(&self) {
        let expected = reference::run(&self.graph(), &Params::new(), &self.arrays()).unwrap();
        for isa in Isa::available() {
            let [one, three] = [1, 3].map(|threads| {
                self.run(Settings { isa, ..Settings::detect().unwrap() }.with_threads(threads).unwrap()).unwrap()
            });
            let bits = |lists: &[Vec<f32>; 2]| lists.concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&one), bits(&three), "{}", self.name);
            for (found, expected) in one.iter().zip(&expected) {
                let found = found.iter().map(|&x| f64::from(x));
                assert_close(&format!("{} {isa:?}", self.name), found, expected.data.iter().copied(), 3e-6);
            }
        }
    }
}

fn assert_close(
    what: &str,
    found: impl ExactSizeIterator<Item = f64>,
    expected: impl ExactSizeIterator<Item = f64>,
    tolerance: f64,
) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (x, y)) in found.zip(expected).enumerate() {
        let close = (x - y).abs() <= tolerance * (1.0 + y.abs()) || x == y || (x.is_nan() && y.is_nan());
        assert!(close, "{what}: element {i} is {x}, not {y}");
    }
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("golden/loss.json")).unwrap()
}

#[test]
fn the_reference_agrees_with_pytorch() {
    for case in cases() {
        let found = reference::run(&case.graph(), &Params::new(), &case.arrays()).unwrap();
        assert_close(&case.name, found[0].data.iter().copied(), [case.value.get()].into_iter(), 1e-10);
        assert_close(&case.name, found[1].data.iter().copied(), case.slope.iter().map(Value::get), 1e-10);
    }
}

#[test]
fn the_engine_agrees_with_the_reference() {
    cases().iter().for_each(Case::check_engine);
}

#[test]
fn gradients_agree_with_finite_differences() {
    for case in cases().iter().filter(|case| case.value.get().is_finite()) {
        let (graph, mut inputs) = (case.graph(), case.arrays());
        let found = reference::run(&graph, &Params::new(), &inputs).unwrap();
        for i in 0..inputs[0].data.len() {
            const STEP: f64 = 1e-5;
            let x = inputs[0].data[i];
            let mut at = |x: f64| {
                inputs[0].data[i] = x;
                reference::run(&graph, &Params::new(), &inputs).unwrap()[0].data[0]
            };
            let expected = (at(x + STEP) - at(x - STEP)) / (2.0 * STEP);
            at(x);
            assert_close(&case.name, [found[1].data[i]].into_iter(), [expected].into_iter(), 2e-6);
        }
    }
}

/// Numbers between −1 and 1: SplitMix64 (Steele et al. 2014).
fn numbers(seed: u64, count: usize) -> impl Iterator<Item = f64> {
    (1..=count as u64).map(move |i| {
        let mut z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0)
    })
}

fn floats(seed: u64, shape: &[usize], scale: f64) -> Numbers {
    let data = numbers(seed, shape.iter().product()).map(|x| f64::from((scale * x) as f32)).collect();
    Numbers { shape: shape.to_vec(), kind: "f32".into(), data }
}

/// Integers from `low` to less than `high`.
fn integers(seed: u64, shape: &[usize], low: i64, high: i64) -> Numbers {
    let width = (high - low) as f64;
    let data = numbers(seed, shape.iter().product()).map(|x| low as f64 + ((x + 1.0) / 2.0 * width).floor()).collect();
    Numbers { shape: shape.to_vec(), kind: "i64".into(), data }
}

fn case(loss: &str, settings: Given, inputs: Vec<Numbers>) -> Case {
    Case { name: loss.into(), loss: loss.into(), settings, inputs, value: Value::Nan(()), slope: Vec::new() }
}

#[test]
fn large_and_odd_sizes_agree_with_the_reference() {
    let plain = Given::default;
    let weighted = || Given { weight: Some(2), ..plain() };
    let smooth = || Given { label_smoothing: 0.1, ..plain() };
    let labels = integers(1, &[57], -1, 1003);
    let ignoring = Given { ignore_index: Some(-1), ..plain() };
    let scores = || floats(2, &[57, 1003], 8.0);
    let pixels = vec![floats(3, &[3, 21, 17, 19], 5.0), integers(4, &[3, 17, 19], 0, 21), floats(5, &[21], 1.0)];
    let wide = || vec![floats(6, &[129, 300], 4.0), floats(7, &[129, 300], 4.0)];
    let with = |mut inputs: Vec<Numbers>, shape: &[usize]| {
        inputs.push(floats(8, shape, 1.0));
        inputs
    };
    let ctc = || {
        let mut labels = integers(9, &[5, 7], 1, 11);
        // Padding is not looked at.
        labels.data[6] = -7.0;
        let lengths = |data: [i64; 5]| Numbers { data: data.map(|x| x as f64).to_vec(), ..integers(0, &[5], 0, 1) };
        vec![floats(10, &[40, 5, 11], 6.0), labels, lengths([40, 17, 40, 30, 39]), lengths([6, 7, 0, 1, 7])]
    };
    for case in [
        case("cross_entropy", ignoring, vec![scores(), labels]),
        case("cross_entropy", smooth(), vec![scores(), floats(11, &[57, 1003], 0.1)]),
        case("cross_entropy", smooth(), vec![floats(2, &[5000, 7], 9.0), integers(12, &[5000], 0, 7)]),
        case("cross_entropy", weighted(), pixels),
        case("multi_margin_loss", weighted(), vec![scores(), integers(13, &[57], 0, 1003), floats(14, &[1003], 1.0)]),
        case("mse_loss", plain(), wide()),
        case("l1_loss", plain(), wide()),
        case("huber_loss", Given { delta: 2.5, ..weighted() }, with(wide(), &[300])),
        case("smooth_l1_loss", Given { delta: 0.5, ..weighted() }, with(wide(), &[129, 1])),
        case("hinge_loss", weighted(), with(wide(), &[129, 300])),
        case("binary_cross_entropy_with_logits", Given { pos_weight: Some(2), ..plain() }, with(wide(), &[300])),
        case("binary_cross_entropy_with_logits", weighted(), with(wide(), &[])),
        case("ctc_loss", plain(), ctc()),
        case("ctc_loss", Given { blank: 3, zero_infinity: true, reduction: Some("sum".into()), ..plain() }, ctc()),
    ] {
        case.check_engine();
    }
}

#[test]
fn pictures_that_lie_channels_last_and_layers_before_a_loss_are_read_right() {
    let net = Builder::new("net");
    let x = net.input("x", DType::F32, [2.into(), 3.into(), 6.into(), 5.into()]);
    let y = x.max_pool(2, 1);
    let labels = net.input("labels", DType::I32, [2.into(), 5.into(), 4.into()]);
    let target = net.input("target", DType::F32, [2.into(), 3.into(), 5.into(), 4.into()]);
    let both = loss::cross_entropy(y, labels, CrossEntropy::default()) + loss::mse_loss(y, target, Weighted::default());
    let mut graph = net.finish(&[("loss", both)]).unwrap();
    let slopes = gradients(&mut graph, both.id(), &[x.id(), target.id()]).unwrap();
    graph.set_outputs([both.id(), slopes[0].unwrap(), slopes[1].unwrap()]);
    let lists = [floats(1, &[2, 3, 6, 5], 2.0), integers(2, &[2, 5, 4], 0, 3), floats(3, &[2, 3, 5, 4], 2.0)];
    let dtypes = [DType::F32, DType::I32, DType::F32];
    let arrays =
        [0, 1, 2].map(|i| Array { dtype: dtypes[i], shape: lists[i].shape.clone(), data: lists[i].data.clone() });
    let expected = reference::run(&graph, &Params::new(), &arrays).unwrap();
    let [x, t] = [0, 2].map(|i| lists[i].data.iter().map(|&x| x as f32).collect::<Vec<_>>());
    let labels: Vec<_> = lists[1].data.iter().map(|&x| x as i32).collect();
    let mut network = Network::new(&graph, &Params::new(), Settings::detect().unwrap()).unwrap();
    let given = [Input::F32(&x), Input::I32(&labels), Input::F32(&t)];
    let given: Vec<_> = lists.iter().zip(given).map(|(list, data)| (&list.shape[..], data)).collect();
    let plan = network.run(&given).unwrap();
    for (i, expected) in expected.iter().enumerate() {
        let found: Vec<_> = plan.output(i).1.iter().map(|&x| f64::from(x)).collect();
        assert_close("pictures", found.into_iter(), expected.data.iter().copied(), 1e-6);
    }
}

#[test]
fn labels_and_lengths_that_make_no_sense_are_errors_of_the_run() {
    let settings = || Settings::detect().unwrap();
    let wrong = |case: Case, expected: &str| {
        let message = case.run(settings()).unwrap_err();
        assert_eq!(message, format!("node \"Loss_0\" (Loss): {expected}"));
        let message = reference::run(&case.graph(), &Params::new(), &case.arrays()).unwrap_err().to_string();
        assert!(message.ends_with(expected), "{message}");
    };
    let list = |shape: &[usize], data: &[i64]| Numbers {
        shape: shape.to_vec(),
        kind: "i64".into(),
        data: data.iter().map(|&x| x as f64).collect(),
    };
    let scores = || floats(1, &[3, 4], 1.0);
    let out = "label 4 at position 1 is none of 4 classes, which count from 0";
    wrong(case("cross_entropy", Given::default(), vec![scores(), list(&[3], &[0, 4, 9])]), out);
    let out = "label -1 at position 2 is none of 4 classes, which count from 0";
    wrong(case("multi_margin_loss", Given::default(), vec![scores(), list(&[3], &[0, 3, -1])]), out);
    let ctc = |labels: &[i64], times: &[i64], lengths: &[i64], blank: usize| {
        let inputs = vec![floats(1, &[5, 2, 4], 1.0), list(&[2, 3], labels), list(&[2], times), list(&[2], lengths)];
        case("ctc_loss", Given { blank, ..Given::default() }, inputs)
    };
    let labels = &[1, 2, 3, 1, 9, 1];
    wrong(ctc(labels, &[5, 6], &[3, 1], 0), "sequence 1 has 6 scores: there are 0 to 5");
    wrong(ctc(labels, &[5, 5], &[-1, 1], 0), "sequence 0 has -1 labels: there are 0 to 3");
    let out = "sequence 1: label 9 at position 1 is none of 4 classes, which count from 0";
    wrong(ctc(labels, &[5, 5], &[3, 2], 0), out);
    wrong(
        ctc(labels, &[5, 5], &[3, 1], 4),
        "the blank: label 4 at position 0 is none of 4 classes, which count from 0",
    );
    assert!(ctc(labels, &[5, 5], &[3, 1], 0).run(settings()).is_ok());
}

#[test]
fn what_does_not_fit_is_refused_when_the_graph_is_made() {
    let net = Builder::new("net");
    let input =
        |name: &str, dtype: DType, shape: &[usize]| net.input(name, dtype, shape.iter().map(|&size| size.into()));
    let refused = |loss: Var<'_>, expected: &str| {
        let message = net.finish(&[("loss", loss)]).unwrap_err().to_string();
        assert!(message.ends_with(expected), "{message}");
    };
    let f32 = |name: &str, shape: &[usize]| input(name, DType::F32, shape);
    let x = || f32("x", &[2, 3]);
    let labels = |shape: &[usize]| input("t", DType::I64, shape);
    refused(loss::cross_entropy(x(), labels(&[3]), CrossEntropy::default()), "i64[3] are not the labels of f32[2, 3]");
    let integers = "needs labels and lengths that are i64 or i32, not f32";
    refused(loss::cross_entropy(x(), f32("t", &[2]), CrossEntropy::default()), integers);
    let smooth = CrossEntropy { label_smoothing: 1.5, ..Default::default() };
    refused(loss::cross_entropy(x(), labels(&[2]), smooth), "label_smoothing is 1.5: it must be from 0 to 1");
    let weight = CrossEntropy { weight: Some(f32("w", &[2])), ..Default::default() };
    refused(loss::cross_entropy(x(), labels(&[2]), weight), "needs a weight for each of 3 classes, not f32[2]");
    let weight = Weighted { weight: Some(f32("w", &[2])), ..Default::default() };
    refused(loss::mse_loss(x(), f32("t", &[2, 3]), weight), "the weight f32[2] does not broadcast to f32[2, 3]");
    refused(loss::l1_loss(x(), f32("t", &[2]), Weighted::default()), "should have the same type");
    let (t, a, b) = (labels(&[2, 4]), input("a", DType::I64, &[2]), input("b", DType::I64, &[2]));
    refused(loss::ctc_loss(f32("s", &[5, 3, 4]), t, a, b, Ctc::default()), "needs labels [3, S] and lengths [3]");
}

#[test]
fn a_loss_that_is_only_looked_at_makes_no_gradient() {
    let net = Builder::new("net");
    let x = net.input("x", DType::F32, [64.into(), 512.into()]);
    let labels = net.input("labels", DType::I64, [64.into()]);
    let graph = net.finish(&[("loss", loss::cross_entropy(x, labels, CrossEntropy::default()))]).unwrap();
    let mut network = Network::new(&graph, &Params::new(), Settings::detect().unwrap()).unwrap();
    assert!(network.plan(&percept_graph::Bindings::new()).unwrap().arena_bytes() < 4096);
}

#[test]
fn targets_that_are_learned_have_a_gradient_where_it_is_known() {
    let net = Builder::new("net");
    let [x, t] = ["x", "t"].map(|name| net.input(name, DType::F32, [3.into()]));
    let bce = loss::binary_cross_entropy_with_logits(x, t, BinaryCrossEntropy::default());
    let mut graph = net.finish(&[("loss", bce)]).unwrap();
    let message = gradients(&mut graph, bce.id(), &[t.id()]).unwrap_err().to_string();
    assert!(message.starts_with("node \"Loss_0\" (Loss) has no derivative"), "{message}");
}
