use super::draw::normal;
use super::*;
use crate::{NETWORKS, Network};
use percept_graph::{Builder, DType};

fn built(name: &str, classes: usize) -> Graph {
    Network::find(name).unwrap().build(32, classes).unwrap()
}

fn mean_and_variance(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (mean, values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
}

/// Whether mean and variance are within five standard errors of 0 and `variance`; `kurtosis` is the distribution's fourth
/// standardised moment.
fn assert_moments(values: &[f32], variance: f64, kurtosis: f64, what: &str) {
    let n = values.len() as f64;
    let (mean, found) = mean_and_variance(values);
    assert!(mean.abs() < 5.0 * (variance / n).sqrt(), "{what}: the mean is {mean}");
    let error = variance * ((kurtosis - 1.0) / n).sqrt();
    assert!((found - variance).abs() < 5.0 * error, "{what}: the variance is {found}, not {variance}");
}

#[test]
fn convolutions_have_the_variance_of_he_et_al() {
    for name in ["lenet", "mobilenetv2"] {
        let params = initialize(&built(name, 10), 3).unwrap();
        for (name, tensor) in params.iter().filter(|(_, tensor)| tensor.shape().len() == 4) {
            let &[to, _, height, width] = tensor.shape() else { continue };
            assert_moments(tensor.as_f32().unwrap(), 2.0 / (to * height * width) as f64, 3.0, name);
        }
    }
}

#[test]
fn linear_layers_are_uniform_within_their_bound() {
    let params = initialize(&built("lenet", 10), 3).unwrap();
    for layer in ["fc1", "fc2", "fc3"] {
        let weight = &params[&format!("{layer}.weight")];
        let fan_in = weight.shape()[1] as f64;
        for values in [weight, &params[&format!("{layer}.bias")]].map(|tensor| tensor.as_f32().unwrap()) {
            assert!(values.iter().all(|&v| f64::from(v).abs() <= 1.0 / fan_in.sqrt()));
            assert_moments(values, 1.0 / (3.0 * fan_in), 1.8, layer);
        }
    }
}

#[test]
fn normalisations_begin_as_the_identity() {
    let params = initialize(&built("mobilenetv2", 10), 3).unwrap();
    let firsts =
        [(".running_mean", 0.0), (".running_var", 1.0), ("features.0.1.weight", 1.0), ("features.0.1.bias", 0.0)];
    for (suffix, expected) in firsts {
        let mut found = params.iter().filter(|(name, _)| name.ends_with(suffix)).peekable();
        assert!(found.peek().is_some());
        assert!(found.all(|(_, tensor)| tensor.as_f32().unwrap().iter().all(|&v| v == expected)));
    }
}

#[test]
fn seeds_and_names_draw_numbers_of_their_own() {
    let graph = built("mobilenetv2", 10);
    let [first, again, other] = [1, 1, 2].map(|seed| initialize(&graph, seed).unwrap());
    assert_eq!(first, again);
    let drawn: Vec<_> = first.keys().filter(|name| first[*name].shape().len() > 1).collect();
    assert!(drawn.iter().all(|&name| first[name] != other[name]));
    // Both are 1x1 convolutions of one shape.
    assert_ne!(first["features.15.conv.0.0.weight"], first["features.16.conv.0.0.weight"]);
}

/// Two layers side by side, the parameters declared in either order.
fn siblings(names: [&str; 2]) -> Graph {
    let net = Builder::new("siblings");
    let x = net.input("x", DType::F32, ["N".into(), 6.into()]);
    let [a, b] = names.map(|name| x.linear(name, 4));
    net.finish(&[("y", a + b)]).unwrap()
}

#[test]
fn the_order_of_the_parameters_does_not_matter() {
    let [one, two] = [["a", "b"], ["b", "a"]].map(|names| initialize(&siblings(names), 5).unwrap());
    assert_eq!(one, two);
}

#[test]
fn neighbours_in_a_parameter_are_uncorrelated() {
    let key = key(9, "conv1.weight");
    for distance in [1, 2, 3, 8, 64, 1000] {
        let products: Vec<f32> = (0..100_000).map(|i| (normal(key, i) * normal(key, i + distance)) as f32).collect();
        let (mean, _) = mean_and_variance(&products);
        assert!(mean.abs() < 5.0 / 100_000_f64.sqrt(), "{distance}: {mean}");
    }
}

#[test]
fn all_networks_have_first_values() {
    for network in &NETWORKS {
        let graph = network.build(32, 3).unwrap();
        graph.check_params(&initialize(&graph, 0).unwrap()).unwrap();
    }
}

#[test]
fn a_parameter_without_a_rule_is_named() {
    let net = Builder::new("scaled");
    let x = net.input("x", DType::F32, ["N".into(), 6.into()]);
    let graph = net.finish(&[("y", x * net.parameter("scale", [6.into()]))]).unwrap();
    let message = initialize(&graph, 0).unwrap_err().to_string();
    assert!(message.contains("\"scale\": it is read by \"Mul_0\" (Mul)"), "{message}");
}

/// 300 × 200, as a matrix and as a filter of 5 × 5 taps.
const SHAPES: [&[usize]; 2] = [&[300, 200], &[300, 8, 5, 5]];

#[test]
fn rules_have_the_variance_of_their_papers() {
    for shape in SHAPES {
        let [fan_in, fan_out] = [200.0, if shape.len() == 2 { 300.0 } else { 7500.0 }];
        let rules = [
            (Init::XavierUniform, 2.0 / (fan_in + fan_out), 1.8),
            (Init::XavierNormal, 2.0 / (fan_in + fan_out), 3.0),
            (Init::KaimingUniform(Fan::In), 2.0 / fan_in, 1.8),
            (Init::KaimingNormal(Fan::In), 2.0 / fan_in, 3.0),
            (Init::KaimingUniform(Fan::Out), 2.0 / fan_out, 1.8),
            (Init::KaimingNormal(Fan::Out), 2.0 / fan_out, 3.0),
            (Init::Uniform(0.3), 0.03, 1.8),
            (Init::Normal(0.02), 4e-4, 3.0),
        ];
        for (init, variance, kurtosis) in rules {
            let values = init.draw(4, "weight", shape);
            assert_moments(&values, variance, kurtosis, &format!("{init:?} {shape:?}"));
            assert_eq!(values, init.draw(4, "weight", shape));
            assert_ne!(values, init.draw(5, "weight", shape));
            assert_ne!(values, init.draw(4, "other", shape));
        }
    }
    assert_eq!(Init::Constant(0.5).draw(0, "bias", &[3]), [0.5; 3]);
}

#[test]
fn matrices_are_orthogonal_along_their_shorter_side() {
    for shape in [&[24, 24][..], &[40, 7], &[7, 40], &[6, 2, 3, 3], &[1, 5], &[5]] {
        let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
        let values = Init::Orthogonal(2.0).draw(1, "weight", shape);
        let at = |vector: usize, i: usize| {
            f64::from(if rows <= columns { values[vector * columns + i] } else { values[i * columns + vector] })
        };
        for (a, b) in (0..rows.min(columns)).flat_map(|a| (0..=a).map(move |b| (a, b))) {
            let product: f64 = (0..rows.max(columns)).map(|i| at(a, i) * at(b, i)).sum();
            let expected = if a == b { 4.0 } else { 0.0 };
            assert!((product - expected).abs() < 1e-6, "{shape:?}, {a} and {b}: {product}");
        }
    }
    assert!(Init::Orthogonal(1.0).draw(1, "weight", &[0, 3]).is_empty());
}

#[test]
fn orthogonal_matrices_have_no_preferred_direction() {
    // The mean of an entry over draws is 0, that of its square one over the side.
    let entries: Vec<f32> = (0..4000).map(|seed| Init::Orthogonal(1.0).draw(seed, "weight", &[4, 4])[0]).collect();
    // The square of a coordinate on the sphere of 4 dimensions is Beta(1/2, 3/2): its fourth standardised moment is 2.
    assert_moments(&entries, 0.25, 2.0, "an entry");
}

#[test]
fn forget_gates_of_an_lstm_begin_open() {
    let bias = Init::LstmBias.draw(1, "bias", &[2, 8 * 3]);
    let ones: Vec<usize> = (0..48).filter(|&i| bias[i] == 1.0).collect();
    assert_eq!(ones, [6, 7, 8, 30, 31, 32]);
    assert_eq!(bias.iter().sum::<f32>(), 6.0);
}

#[test]
fn rules_of_ones_own_come_first_and_know_which_way_a_matrix_lies() {
    let net = Builder::new("product");
    let x = net.input("x", DType::F32, ["N".into(), 400.into()]);
    let graph = net
        .finish(&[("y", x.apply(percept_graph::ops::MatMul, &[net.parameter("w", [400.into(), 50.into()])]))])
        .unwrap();
    let rule = |fan| initialize_with(&graph, 1, move |name, _| (name == "w").then_some(Init::KaimingNormal(fan)));
    for (fan, size) in [(Fan::In, 400.0), (Fan::Out, 50.0)] {
        assert_moments(rule(fan).unwrap()["w"].as_f32().unwrap(), 2.0 / size, 3.0, "w");
    }
    let scaled = Builder::new("scaled");
    let x = scaled.input("x", DType::F32, ["N".into(), 6.into()]);
    let graph = scaled.finish(&[("y", x * scaled.parameter("scale", [6.into()]))]).unwrap();
    let params = initialize_with(&graph, 1, |_, _| Some(Init::Constant(1.0))).unwrap();
    assert_eq!(params["scale"].as_f32().unwrap(), [1.0; 6]);
}

#[test]
fn dirac_filters_pass_on_the_channel_of_their_number() {
    for shape in [[5, 3, 3, 3], [2, 3, 5, 1], [4, 4, 1, 1]] {
        let values = Init::Dirac.draw(1, "weight", &shape);
        let [to, from, height, width] = shape;
        let taps = height * width;
        for (i, filter) in values.chunks_exact(from * taps).enumerate() {
            if i < from {
                let ones: Vec<usize> = (0..from * taps).filter(|&k| filter[k] != 0.0).collect();
                assert_eq!(ones, [i * taps + height / 2 * width + width / 2], "filter {i} of {shape:?}");
                assert_eq!(filter[ones[0]], 1.0);
            } else {
                let bound = 1.0 / ((from * taps) as f32).sqrt();
                assert!(filter.iter().all(|x| x.abs() <= bound) && filter.iter().any(|x| *x != 0.0));
            }
        }
        assert_eq!(values.len(), to * from * taps);
    }
}
