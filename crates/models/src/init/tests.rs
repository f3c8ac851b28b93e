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
