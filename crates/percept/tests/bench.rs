//! `percept bench` as a user runs it: figures, profile, check, and what it refuses.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_graph::onnx::Model;
use percept_graph::{Builder, DType, Params, Tensor};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn bench(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_percept"));
    command.arg("bench").args(args).current_dir(folder).env_remove("PERCEPT_ISA").output().unwrap()
}

/// Runs and gives back what was measured.
#[track_caller]
fn measured(args: &[&str], folder: &Path) -> Value {
    let output = bench(&[args, &["--format", "json", "--time", "0.05s"]].concat(), folder);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    for figure in ["images_per_second", "latency_ms_p50", "latency_ms_p99", "gflops", "batch", "threads", "runs"] {
        assert!(value[figure].as_f64().unwrap() > 0.0, "{figure}: {value}");
    }
    assert!(value["peak_memory_bytes"].is_u64() && value["isa"].is_string(), "{value}");
    value
}

#[track_caller]
fn refuses(args: &[&str], folder: &Path, code: i32, words: &[&str]) {
    let output = bench(&[args, &["--time", "0.05s"]].concat(), folder);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    assert!(output.stdout.is_empty());
}

/// A small classifier as Percept writes them: bytes in, a temperature and softmax at the end.
fn classifier(path: &Path) {
    let net = Builder::new("net");
    let x = net.input("image", DType::U8, ["N".into(), 12.into(), 12.into(), 3.into()]).cast(DType::F32);
    let x = x.transpose(&[0, 3, 1, 2]) / net.constant(Tensor::scalar(255.0));
    let x = x.conv("conv", 8, 3, |conv| conv.padding(1)).relu().global_average_pool().flatten();
    let logits = x.linear("fc", 5) / net.constant(Tensor::scalar(1.5));
    let graph = net.finish(&[("probabilities", logits.softmax())]).unwrap();
    let mut params = Params::new();
    for value in graph.parameters() {
        let shape = value.ty.concrete().unwrap();
        let data = (0..shape.iter().product()).map(|i: usize| (i % 7) as f32 / 10.0 - 0.3).collect();
        params.insert(value.name.clone(), Tensor::f32(shape, data).unwrap());
    }
    Model { graph, params, ..Model::default() }.write(path).unwrap();
}

#[test]
fn figures_of_a_model_and_of_a_network() {
    let folder = tempfile::tempdir().unwrap();
    classifier(&folder.path().join("net.onnx"));
    let value = measured(&["net.onnx", "--batch", "3", "--isa", "scalar", "--threads", "2"], folder.path());
    assert_eq!((&value["batch"], &value["threads"], &value["isa"]), (&3.into(), &2.into(), &"scalar".into()));
    assert_eq!((&value["train"], value.get("profile"), value.get("difference")), (&false.into(), None, None));
    let value = measured(&["--network", "lenet", "--classes", "10"], folder.path());
    assert_eq!((&value["batch"], &value["model"]), (&1.into(), &"lenet".into()));
}

#[test]
fn the_instruction_set_asked_for_wins() {
    let folder = tempfile::tempdir().unwrap();
    classifier(&folder.path().join("net.onnx"));
    let run = |isa: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_percept"));
        let command = command.args(["bench", "net.onnx", "--time", "0.05s"]).args(args).env("PERCEPT_ISA", isa);
        command.current_dir(folder.path()).output().unwrap()
    };
    assert_eq!(run("sse9", &["--isa", "scalar"]).status.code(), Some(0));
    let output = run("sse9", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("PERCEPT_ISA") && said.contains("sse9") && said.contains("scalar"), "{said}");
}

#[test]
fn training_a_model_with_softmax_and_a_network() {
    let folder = tempfile::tempdir().unwrap();
    classifier(&folder.path().join("net.onnx"));
    for model in [&["net.onnx"][..], &["--network", "lenet"]] {
        let value = measured(&[model, &["--train", "--batch", "4"]].concat(), folder.path());
        assert_eq!((&value["train"], &value["batch"]), (&true.into(), &4.into()));
    }
}

#[test]
fn a_profile_has_a_row_for_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("where.html");
    for train in [false, true] {
        let mut args = vec!["--network", "lenet", "--batch", "2", "--profile", "--page", "where.html"];
        args.extend(train.then_some("--train"));
        let value = measured(&args, folder.path());
        let profile = &value["profile"];
        for figure in ["peak_gflops", "read_gb_per_second", "write_gb_per_second"] {
            assert!(profile[figure].as_f64().unwrap() > 0.0, "{figure}");
        }
        let (steps, kinds) = (profile["steps"].as_array().unwrap(), profile["kinds"].as_array().unwrap());
        let total: f64 = steps.iter().map(|row| row["share"].as_f64().unwrap()).sum();
        assert!((total - 1.0).abs() < 1e-6, "{total}");
        let times: Vec<_> = steps.iter().map(|row| row["ms"].as_f64().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        let has = |kind: &str| kinds.iter().any(|row| row["kind"] == kind && row["ms"].as_f64().unwrap() > 0.0);
        let expected: &[&str] = match train {
            false => &["Conv 5x5, MaxPool", "Gemm"],
            true => &["Conv 5x5", "ConvInputGrad 5x5", "ConvWeightGrad 5x5", "MaxPoolGrad", "SGD with momentum"],
        };
        assert!(expected.iter().all(|kind| has(kind)), "{expected:?} in {kinds:?}");
        let conv = steps.iter().find(|row| row["kind"] == expected[0]).unwrap();
        assert!(["compute", "memory"].contains(&conv["bound"].as_str().unwrap()), "{conv}");
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(page.contains("Conv 5x5") && page.contains("</html>"));
        std::fs::remove_file(&path).unwrap();
    }
    let output = bench(&["--network", "lenet", "--time", "0.05s", "--profile"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("GFLOP/s") && said.contains("of peak") && said.contains("Conv 5x5"), "{said}");
}

#[test]
fn a_check_passes_what_is_right_and_stops_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    classifier(&folder.path().join("net.onnx"));
    for model in [&["net.onnx"][..], &["--network", "lenet", "--train"]] {
        let value = measured(&[model, &["--check"]].concat(), folder.path());
        assert!(value["difference"].as_f64().unwrap() < 1e-5, "{value}");
    }
    let said = bench(&["net.onnx", "--check", "--time", "0.05s"], folder.path()).stderr;
    assert!(String::from_utf8_lossy(&said).contains("differs from the reference by"));
    // In f32 nothing is left of x.
    let net = Builder::new("cancels");
    let x = net.input("x", DType::F32, ["N".into(), 8.into()]);
    let large = net.constant(Tensor::scalar(1e9));
    let graph = net.finish(&[("y", x + large - large)]).unwrap();
    Model { graph, ..Model::default() }.write(&folder.path().join("cancels.onnx")).unwrap();
    refuses(&["cancels.onnx", "--check"], folder.path(), 1, &["cancels.onnx", "differs from the reference"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    classifier(&root.join("net.onnx"));
    std::fs::write(root.join("mine.html"), "precious").unwrap();
    refuses(&["net.onnx", "--isa", "sse9"], root, 2, &["sse9", "avx512"]);
    refuses(&["net.onnx", "--batch", "0"], root, 2, &["--batch"]);
    refuses(&["net.onnx", "--network", "lenet"], root, 2, &["--network"]);
    refuses(&["net.onnx", "--classes", "5"], root, 2, &["--classes"]);
    refuses(&["net.onnx", "--page", "a.html"], root, 2, &["--profile"]);
    refuses(&[], root, 2, &["MODEL"]);
    assert_eq!(bench(&["net.onnx", "--seconds", "0.05", "-q"], root).status.code(), Some(0));
    refuses(&["--network", "lenet-5"], root, 1, &["lenet-5", "resnet18"]);
    refuses(&["net.onnx", "--profile", "--page", "mine.html"], root, 1, &["mine.html exists already"]);
    assert_eq!(std::fs::read(root.join("mine.html")).unwrap(), b"precious");
    let net = Builder::new("fixed");
    let x = net.input("x", DType::F32, [2.into(), 8.into()]);
    let graph = net.finish(&[("y", x.relu())]).unwrap();
    Model { graph, ..Model::default() }.write(&root.join("fixed.onnx")).unwrap();
    refuses(&["fixed.onnx", "--batch", "3"], root, 1, &["fixed.onnx", "--batch 2"]);
    refuses(&["fixed.onnx", "--train"], root, 1, &["fixed.onnx", "no weights"]);
    assert_eq!(measured(&["fixed.onnx"], root)["batch"], 2);
}
