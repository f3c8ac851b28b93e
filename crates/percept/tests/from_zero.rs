//! Networks that are trained from zero on small pictures, by the whole program.

#![allow(clippy::unwrap_used)]

mod common;

use common::{CONFIG, finished, percept, photos};
use percept_graph::onnx::Model;
use std::fs;

/// With steps that move nothing, the model holds the values that the network began with.
#[test]
fn airbench_begins_with_filters_of_the_photos_and_their_negatives() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    photos(root);
    let mut plan = CONFIG.to_string();
    for (from, to) in [
        ("\"lenet\"", "\"airbench94\""),
        ("size = 28", "size = 32"),
        ("refit = true", "refit = false"),
        ("epochs = 30", "epochs = 1"),
        ("epochs = 12", "epochs = 1"),
        ("learning_rate = 1e-3", "learning_rate = 1e-9"),
        ("learning_rate = 2e-3", "learning_rate = 1e-9"),
    ] {
        assert!(plan.contains(from), "{from}");
        plan = plan.replace(from, to);
    }
    fs::write(root.join("plan.toml"), plan).unwrap();
    finished(percept(root, 2, &["train", "--config", "plan.toml", "--out", "run"]));

    let model = Model::read(&root.join("run/model.onnx")).unwrap();
    let stem = model.params.values().find(|tensor| tensor.shape() == [24, 3, 2, 2]).unwrap().as_f32().unwrap();
    let (filters, negatives) = stem.split_at(stem.len() / 2);
    let largest = filters.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    assert!(largest > 0.0);
    assert!(filters.iter().zip(negatives).all(|(a, b)| (a + b).abs() < 1e-4 * largest), "{stem:?}");
}

#[test]
fn small_pictures_are_moved_and_sometimes_covered_but_not_turned() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    photos(root);
    let arguments = ["train", "photos", "--network", "lenet", "--from-scratch", "--time-limit", "3s", "--out", "run"];
    finished(percept(root, 2, &arguments));
    let config = fs::read_to_string(root.join("run/config.toml")).unwrap();
    for line in ["area = [1.0, 1.0]", "shift = 0.1", "rotation = 0.0", "[augment.occlusion]\nprobability = 0.5"] {
        assert!(config.contains(line), "{line} in {config}");
    }
}
