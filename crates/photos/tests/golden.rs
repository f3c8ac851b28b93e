//! Decoding and resizing against Pillow and torchvision; `golden/make.py` wrote the expected pictures.

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use percept_photos::Error;
use percept_photos::decode::open;
use percept_photos::resize::{Filter, Preprocess};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn difference(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn every_encoding_decodes_as_in_pillow() {
    // Decoders round the inverse DCT and the colour conversion differently, and smooth halved colour differently.
    let tolerance = |name: &str| match name.rsplit_once('.').unwrap_or_default() {
        ("420", "jpg") => 60,
        ("lossy", "webp") => 60,
        (_, "jpg") => 4,
        _ => 1,
    };
    let mut seen = 0;
    for entry in fs::read_dir(golden("")).unwrap() {
        let expected = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = expected.strip_suffix(".expected.png") else {
            continue;
        };
        let difference = difference(&open(&golden(name)).unwrap(), &open(&golden(&expected)).unwrap());
        println!("{name}: {difference}");
        assert!(difference <= tolerance(name), "{name}: {difference}");
        seen += 1;
    }
    assert_eq!(seen, 23);
}

#[test]
fn preparing_agrees_with_torchvision() {
    let mut seen = 0;
    for entry in fs::read_dir(golden("")).unwrap() {
        let expected = entry.unwrap().file_name().into_string().unwrap();
        let [source, shorter_side, crop, filter, "png"] = expected.split('.').collect::<Vec<_>>()[..] else {
            continue;
        };
        let filter = if filter == "bicubic" { Filter::Bicubic } else { Filter::Bilinear };
        let preprocess = Preprocess::new(shorter_side.parse().unwrap(), crop.parse().unwrap(), filter).unwrap();
        let prepared = preprocess.apply(&open(&golden(&format!("{source}.png"))).unwrap());
        let difference = difference(&prepared, &open(&golden(&expected)).unwrap());
        println!("{expected}: {difference}");
        assert!(difference <= 1, "{expected}: {difference}");
        seen += 1;
    }
    assert_eq!(seen, 30);
}

#[test]
fn a_huge_picture_is_refused_before_it_is_decoded() {
    let error = open(&golden("huge.png")).unwrap_err();
    assert!(matches!(error, Error::TooLarge { width: 30_000, height: 30_000, .. }), "{error}");
    assert!(
        error.to_string().ends_with("huge.png has 30000 × 30000 pixels, over the limit of 100 million: scale it down")
    );
}
