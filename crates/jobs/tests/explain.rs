//! Heat maps against PyTorch's (`golden/explain.py` made them), and on networks of which it is known where they look.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use base64::{Engine, engine::general_purpose::STANDARD};
use image::{Rgb, RgbImage};
use percept_engine::{Input, Network, Settings};
use percept_graph::onnx::Model;
use percept_graph::{Builder, DType, Params, Tensor};
use percept_jobs::classifier::{Classifier, Options};
use percept_jobs::explain::{GradCam, Heat, Method, explain};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Golden {
    size: u32,
    picture: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    maps: Vec<Maps>,
}

#[derive(Deserialize)]
struct Maps {
    rows: usize,
    columns: usize,
    grad_cam: String,
    occlusion: String,
}

fn golden() -> (RgbImage, Vec<Case>) {
    let golden: Golden = serde_json::from_str(include_str!("golden/explain.json")).unwrap();
    let pixels = STANDARD.decode(golden.picture).unwrap();
    (RgbImage::from_raw(golden.size, golden.size, pixels).unwrap(), golden.cases)
}

fn numbers(base64: &str) -> Vec<f32> {
    let bytes = STANDARD.decode(base64).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn open(folder: &Path, name: &str, model: &[u8]) -> (PathBuf, Classifier) {
    let path = folder.join(format!("{name}.onnx"));
    std::fs::write(&path, model).unwrap();
    let classifier = Classifier::open(&path, &Options::default(), &Settings::detect().unwrap()).unwrap();
    (path, classifier)
}

/// Fails unless all values agree to a share of the greatest.
fn agree(found: &Heat, expected: &[f32], tolerance: f32, what: &str) {
    let scale = expected.iter().fold(0.0f32, |scale, v| scale.max(v.abs()));
    let difference = found.values.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{what}: {difference:.1e} of {scale:.1e}");
    assert_eq!(found.values.len(), expected.len(), "{what}");
    assert!(difference <= tolerance * scale, "{what}: {difference} of {scale}");
}

#[test]
fn heat_maps_are_those_of_pytorch_for_every_kind_of_head() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, cases) = golden();
    let (mut checked, mut lit) = (0, 0);
    for case in cases {
        let (_, mut classifier) = open(folder.path(), &case.name, &STANDARD.decode(&case.model).unwrap());
        let mut cam = classifier.grad_cam(&Settings::detect().unwrap()).unwrap().unwrap();
        for (class, maps) in case.maps.iter().enumerate() {
            let what = format!("{} {class}", case.name);
            let heat = classifier.heat(&mut cam, &picture, class).unwrap();
            assert_eq!((heat.rows, heat.columns), (maps.rows, maps.columns), "{what}");
            agree(&heat, &numbers(&maps.grad_cam), 1e-4, &what);
            lit += usize::from(heat.maximum().2 > 0.0);
            let heat = classifier.occlude(&picture, class).unwrap();
            agree(&heat, &numbers(&maps.occlusion), 1e-3, &format!("{what}, occlusion"));
            checked += 1;
        }
    }
    assert_eq!(checked, 15);
    assert!(lit >= 10, "only {lit} maps show something");
}

const SIDE: usize = 28;

/// A model of byte pictures that answers "marked" if the pixels from (16, 4) to (20, 8) are bright, and has no feature map.
fn of_a_mark() -> Model {
    let net = Builder::new("mark");
    let side = SIDE as i64;
    let x = net.input("image", DType::U8, ["N".into(), side.into(), side.into(), 3.into()]).cast(DType::F32);
    let graph = net.finish(&[("p", x.flatten().linear("fc", 2).softmax())]).unwrap();
    let mut weight = vec![0.0; 2 * SIDE * SIDE * 3];
    for (x, y) in (16..20).flat_map(|x| (4..8).map(move |y| (x, y))) {
        weight[(y * SIDE + x) * 3] = 1e-3;
    }
    let params: Params = [
        ("fc.weight".to_string(), Tensor::f32([2, SIDE * SIDE * 3], weight).unwrap()),
        ("fc.bias".to_string(), Tensor::f32([2], vec![-2.0, 0.0]).unwrap()),
    ]
    .into();
    let metadata = [
        ("percept.labels".to_string(), r#"["marked", "plain"]"#.to_string()),
        ("percept.preprocess".into(), r#"{"shorter_side":28,"crop":28,"filter":"bilinear"}"#.into()),
    ];
    Model { graph, params, metadata: metadata.into() }
}

#[test]
fn occlusion_finds_the_patch_that_the_answer_depends_on_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (model, mut classifier) = open(folder.path(), "mark", &of_a_mark().to_bytes().unwrap());
    let settings = Settings::detect().unwrap();
    assert!(classifier.grad_cam(&settings).unwrap().is_none(), "it has no feature map");
    // Twice as wide as high: the network sees the middle, from 28 to 84.
    let photo = folder.path().join("photo.png");
    let bright = |x: u32, y: u32| (28 + 32..28 + 40).contains(&x) && (8..16).contains(&y);
    RgbImage::from_fn(112, 56, |x, y| if bright(x, y) { Rgb([255; 3]) } else { Rgb([40; 3]) }).save(&photo).unwrap();
    let out = folder.path().join("heat.png");
    let found = explain(&mut classifier, &photo, None, Method::Both, Some(&out), &settings).unwrap();
    assert_eq!((&*found.answer.label, &*found.explained.label), ("marked", "marked"));
    assert!(found.grad_cam.is_none() && found.note.is_some());
    let map = found.occlusion.unwrap();
    assert!((60.0..68.0).contains(&map.maximum.x) && (8.0..16.0).contains(&map.maximum.y), "{:?}", map.maximum);
    assert!(map.maximum.value > 1.0 && found.covered.unwrap() < 0.4, "{:?} {:?}", map.maximum, found.covered);
    for (i, value) in map.heat.values.iter().enumerate() {
        // Cells are 2 pixels wide and patches 8, so those of the columns 6 to 11 and rows 0 to 5 touch the mark.
        let touches = (6..=11).contains(&(i % 14)) && (0..=5).contains(&(i / 14));
        assert_eq!(value.abs() > 1e-5, touches, "{i}: {value}");
    }
    // The photo and one heat map, no less than 320 pixels wide.
    assert_eq!(image::open(&out).unwrap().into_rgb8().dimensions(), (2 * 336 + 12, 168 + 8));

    let refused = |class, method, out: Option<&Path>| {
        let (_, mut classifier) = open(folder.path(), "again", &std::fs::read(&model).unwrap());
        explain(&mut classifier, &photo, class, method, out, &settings).unwrap_err().to_string()
    };
    assert!(refused(None, Method::GradCam, None).contains("--method occlusion"));
    assert!(refused(Some("mark"), Method::Both, None).contains("2 classes, such as \"marked\""));
    assert!(refused(Some("2"), Method::Both, None).contains("\"plain\""));
    assert!(refused(None, Method::Both, Some(&out)).contains("exists already"));
}

#[test]
fn any_output_and_any_element_of_a_batch_of_any_size_can_be_asked_for() {
    let net = Builder::new("targets");
    let x = net.input("x", DType::F32, ["N".into(), 3.into(), 8.into(), 8.into()]);
    let map = x.conv("conv", 3, 1, |conv| conv).relu();
    let pooled = map.global_average_pool().flatten();
    let outputs = [("number", pooled.linear("number", 1)), ("answers", pooled.linear("answers", 2).sigmoid())];
    let graph = net.finish(&outputs).unwrap();
    let identity: Vec<f32> = (0..9).map(|i| f32::from(u8::from(i % 4 == 0))).collect();
    let params: Params = [
        ("conv.weight".to_string(), Tensor::f32([3, 3, 1, 1], identity).unwrap()),
        ("conv.bias".to_string(), Tensor::f32([3], vec![0.0; 3]).unwrap()),
        ("number.weight".to_string(), Tensor::f32([1, 3], vec![64.0, -64.0, 0.0]).unwrap()),
        ("number.bias".to_string(), Tensor::f32([1], vec![5.0]).unwrap()),
        // So sure that a sigmoid has no slope left.
        ("answers.weight".to_string(), Tensor::f32([2, 3], vec![0.0, 6400.0, 0.0, 0.0, 0.0, 64.0]).unwrap()),
        ("answers.bias".to_string(), Tensor::f32([2], vec![100.0, 0.0]).unwrap()),
    ]
    .into();
    let settings = Settings::detect().unwrap();
    let network = Network::new(&graph, &params, settings.clone()).unwrap();
    // A pixel in each channel.
    let mut picture = vec![0.0; 2 * 3 * 64];
    (picture[3], picture[64 + 20], picture[128 + 40]) = (1.0, 2.0, 3.0);
    for batch in [1, 2] {
        let shape = [batch, 3, 8, 8];
        for (output, element, place, value) in [(0, 0, 3, 1.0), (1, 0, 20, 200.0), (1, 1, 40, 3.0)] {
            let mut cam = GradCam::new(&network, &shape, output, &settings).unwrap().unwrap();
            let heat = cam.heat(Input::F32(&picture[..batch * 192]), element).unwrap();
            let mut expected = vec![0.0; 64];
            expected[place] = value;
            agree(&heat, &expected, 1e-5, &format!("output {output}, element {element}, batch of {batch}"));
            assert!(cam.heat(Input::F32(&picture[..batch * 192]), 2).is_err());
        }
    }
    assert!(GradCam::new(&network, &[1, 3, 8, 8], 2, &settings).is_err());
    assert!(GradCam::new(&network, &[1, 1, 8, 8], 0, &settings).is_err());
}

#[test]
fn heat_maps_have_the_same_bits_at_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, cases) = golden();
    for case in cases {
        let (path, _) = open(folder.path(), &case.name, &STANDARD.decode(&case.model).unwrap());
        let maps = [1, 3].map(|threads| {
            let settings = Settings::detect().unwrap().with_threads(threads).unwrap();
            let mut classifier = Classifier::open(&path, &Options::default(), &settings).unwrap();
            let mut cam = classifier.grad_cam(&settings).unwrap().unwrap();
            (classifier.heat(&mut cam, &picture, 1).unwrap(), classifier.occlude(&picture, 1).unwrap())
        });
        assert_eq!(maps[0], maps[1], "{}", case.name);
    }
}
