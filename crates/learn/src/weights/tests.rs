use super::*;
use percept_engine::{Input, Network, Settings};
use percept_graph::{Builder, DType, Recurrence, ops};
use proptest::prelude::*;
use std::fs;

/// A file of this header, and so many bytes of data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn read_bytes(bytes: &[u8]) -> Result<Params> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.safetensors");
    fs::write(&path, bytes).unwrap();
    read(&path)
}

#[test]
fn every_type_comes_back_to_the_bit_and_f64_as_f32() {
    let tensors = [
        ("f32", vec![2, 2], TensorData::F32(vec![0.1, -0.0, f32::MIN_POSITIVE / 8.0, f32::INFINITY])),
        ("none", vec![3, 0], TensorData::F32(vec![])),
        ("scalar", vec![], TensorData::I64(vec![i64::MIN])),
        ("i32", vec![2], TensorData::I32(vec![i32::MAX, -1])),
        ("i8", vec![1, 2], TensorData::I8(vec![-128, 127])),
        ("u8", vec![1], TensorData::U8(vec![200])),
        ("bool", vec![2], TensorData::Bool(vec![true, false])),
    ];
    let mut params: Params =
        tensors.into_iter().map(|(name, shape, data)| (name.into(), Tensor::new(shape, data).unwrap())).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.safetensors");
    let metadata = Metadata::from([("format".into(), "pt".into())]);
    write(&path, &params, &metadata).unwrap();
    assert_eq!(read_with_metadata(&path).unwrap(), (params.clone(), metadata));

    params.insert("f64".into(), Tensor::new([1], TensorData::F64(vec![1.0 / 3.0])).unwrap());
    write(&path, &params, &Metadata::new()).unwrap();
    assert_eq!(read(&path).unwrap()["f64"], Tensor::f32([1], vec![1.0 / 3.0]).unwrap());
}

/// Written by `tests/golden/weights.py` with PyTorch and the package safetensors.
#[test]
fn pytorchs_file_is_read_and_half_precision_widened() {
    let params = read_bytes(include_bytes!("../../tests/golden/weights.safetensors")).unwrap();
    let expected: [(&str, &[usize], &[f32]); 4] = [
        ("layer.bf16", &[3], &[1.0, -2.5, f32::INFINITY]),
        ("layer.f16", &[2, 1], &[0.333_251_95, 5.960_464_5e-8]),
        ("layer.f32", &[1, 2], &[0.1, -1e-40]),
        ("layer.f64", &[], &[std::f32::consts::PI]),
    ];
    for (name, shape, values) in expected {
        assert_eq!(params[name], Tensor::f32(shape, values.to_vec()).unwrap(), "{name}");
    }
    assert_eq!(params["num_batches_tracked"].as_i64().unwrap(), [7]);
    assert_eq!(params.len(), 5);
}

/// Written by the same script.
#[test]
fn pytorchs_recurrent_layers_say_the_same_and_go_back_to_the_bit() {
    let net = Builder::new("recurrent");
    let x = net.input("x", DType::F32, ["T".into(), 2.into(), 3.into()]);
    let below = x.lstm("lstm", 4, Recurrence::default()).sequence;
    let lstm = below.lstm("lstm", 4, Recurrence::default().layer(1)).sequence;
    let gru = x.gru("gru", 2, Recurrence::default().bidirectional()).sequence;
    let rows = ops::Reshape { shape: vec![(-1).into(), 8.into()], allowzero: false };
    let y = lstm.apply(ops::Concat { axis: 2 }, &[gru]).apply(rows, &[]).linear("fc", 2);
    let graph = net.finish(&[("y", y)]).unwrap();

    let theirs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/recurrent.safetensors");
    let params = load(&theirs, &graph).unwrap();
    let golden = include_str!("../../tests/golden/recurrent.json");
    let golden: HashMap<String, Vec<f32>> = serde_json::from_str(golden).unwrap();
    let mut engine = Network::new(&graph, &params, Settings::detect().unwrap()).unwrap();
    let plan = engine.run(&[(&[5, 2, 3], Input::F32(&golden["x"]))]).unwrap();
    let (_, found) = plan.output(0);
    let close = found.iter().zip(&golden["y"]).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close && found.len() == golden["y"].len(), "{found:?}, PyTorch says {:?}", golden["y"]);

    let folder = tempfile::tempdir().unwrap();
    let ours = folder.path().join("ours.safetensors");
    save(&ours, &graph, &params).unwrap();
    assert_eq!(read(&ours).unwrap(), read(&theirs).unwrap());
}

#[test]
fn weights_of_another_network_are_refused() {
    let net = Builder::new("small");
    let y = net.input("x", DType::F32, ["N".into(), 2.into(), 1.into(), 1.into()]).batch_norm("bn", 1e-5);
    let graph = net.finish(&[("y", y)]).unwrap();
    let params = percept_models::initialize(&graph, 0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.safetensors");
    let with = |name: &str, tensor: Tensor| {
        let mut params = params.clone();
        params.insert(name.into(), tensor);
        write(&path, &params, &Metadata::new()).unwrap();
        load(&path, &graph)
    };
    let count = || Tensor::new([], TensorData::I64(vec![3])).unwrap();
    assert_eq!(with("bn.num_batches_tracked", count()).unwrap(), params);
    let message = with("fc.bias", Tensor::scalar(0.0)).unwrap_err().to_string();
    assert!(message.ends_with("does not hold the weights of \"small\": tensor \"fc.bias\" is none of its parameters"));
    let message = with("bn.bias", Tensor::scalar(0.0)).unwrap_err().to_string();
    assert!(message.contains("\"bn.bias\"") && message.contains("f32[2]"), "{message}");
    assert!(save(&path, &graph, &Params::new()).unwrap_err().to_string().contains("has no value"));
}

#[test]
fn other_types_are_named() {
    let message = read_bytes(&file(r#"{"w":{"dtype":"U16","shape":[1],"data_offsets":[0,2]}}"#, &[0, 0])).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("some.safetensors") && message.contains("tensor \"w\" is of type U16"), "{message}");
}

#[test]
fn hostile_files_are_refused() {
    let tensor =
        |shape: &str, offsets: &str| format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
    let hostile = [
        Vec::new(),
        vec![1, 2, 3],
        u64::MAX.to_le_bytes().to_vec(),
        99_999_999u64.to_le_bytes().to_vec(),
        file("{", &[]),
        file(r#"["w"]"#, &[]),
        file(&tensor("[1]", "[0,4]"), &[0; 3]),
        file(&tensor("[1]", "[0,4]"), &[0; 5]),
        file(&tensor("[2]", "[0,4]"), &[0; 4]),
        file(&tensor("[1]", "[4,8]"), &[0; 8]),
        file(&tensor("[1]", "[4,0]"), &[0; 4]),
        file(&tensor("[-1]", "[0,4]"), &[0; 4]),
        file(&tensor("[4611686018427387904]", "[0,4]"), &[0; 4]),
        file(&tensor("[4294967296,4294967296,0]", "[0,0]"), &[]),
        file(&tensor("[1]", "[0,18446744073709551615]"), &[0; 4]),
        // Two tensors in one place.
        file(
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            &[0; 4],
        ),
    ];
    for bytes in hostile {
        let message = read_bytes(&bytes).unwrap_err().to_string();
        assert!(message.contains("some.safetensors cannot be used as safetensors"), "{bytes:?}: {message}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(read(folder.path()).is_err());
    let missing = read(&folder.path().join("missing")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read "), "{missing}");
}

proptest! {
    /// A byte changed anywhere, or an end cut off, gives tensors or an error, never a panic.
    #[test]
    fn damage_is_survived(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let golden = include_bytes!("../../tests/golden/weights.safetensors");
        let mut bytes = golden.to_vec();
        bytes[place.index(golden.len())] = byte;
        read_bytes(&bytes).ok();
        prop_assert!(read_bytes(&golden[..cut.index(golden.len())]).is_err());
    }
}
