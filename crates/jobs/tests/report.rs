//! The report and the model card say what they were given, whatever the names are.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_jobs::event::Timing;
use percept_jobs::report::{Mistake, Picture, Report};
use percept_learn::metrics::Metrics;

const NASTY: &str = "<script>alert(1)</script>|\"&";

/// A report on two photos of each class, of which the first class's second is named wrong.
fn report(classes: usize) -> Report {
    let truth: Vec<usize> = (0..2 * classes).map(|i| i % classes).collect();
    let mut probabilities = vec![0.1 / (classes - 1) as f32; 2 * classes * classes];
    for (i, &class) in truth.iter().enumerate() {
        let said = if i == classes { 1 } else { class };
        probabilities[i * classes + said] = 0.9;
    }
    let mut labels: Vec<String> = (0..classes).map(|i| format!("class {i}")).collect();
    labels[0] = NASTY.into();
    Report {
        title: "shop".into(),
        command: "percept train shop".into(),
        config: "seed = 0".into(),
        network: "efficientnet-lite0".into(),
        licence: "Apache-2.0".into(),
        labels,
        resize: 256,
        input: 224,
        bytes: 13_800_000,
        machine: "2 threads".into(),
        photos: 10,
        scenes: 8,
        views: 20,
        tested: false,
        refitted: true,
        metrics: Metrics::new(&probabilities, classes, &truth).unwrap(),
        latency_ms_p50: 4.2,
        latency_ms_p99: 9.0,
        examples: Vec::new(),
        sheet: vec![Picture(vec![1, 2, 3])],
        mistakes: vec![Mistake {
            picture: Picture(vec![0xff]),
            path: "a/<b>.jpg".into(),
            truth: NASTY.into(),
            predicted: "class 1".into(),
            probability: 0.9,
        }],
        skipped: Vec::new(),
        timings: vec![Timing { phase: "Reading photos", seconds: 2.0 }],
        hints: Vec::new(),
    }
}

#[test]
fn figures_appear_as_measured_and_names_cannot_become_markup() {
    let html = report(2).html().unwrap();
    for expected in
        ["75.0%", "95&nbsp;% interval 30.1–95.4%", "4.2 ms", "13.8 MB", "flatters", "data:image&#x2f;jpeg;base64,AQID"]
    {
        let unescaped = html.replace("&#x2f;", "/");
        assert!(unescaped.contains(&expected.replace("&#x2f;", "/")), "{expected}");
    }
    assert!(!html.contains("<script>alert"), "a name became markup");
    assert!(!html.contains("src=\"http") && !html.contains("href="), "the page needs something from elsewhere");
    let card = report(2).model_card().unwrap();
    assert!(!card.contains("<script>") && card.contains("| accuracy | 75.0% (95 % interval 30.1–95.4%) |"), "{card}");
}

#[test]
fn many_classes_and_empty_lists_are_no_trouble() {
    let mut many = report(300);
    many.mistakes.clear();
    many.sheet.clear();
    many.timings.clear();
    let html = many.html().unwrap();
    assert!(html.contains("There was none.") && html.contains("class 299"));
    assert!(html.len() < 1_000_000, "{}", html.len());
    many.tested = true;
    assert!(many.html().unwrap().contains("Nothing was learned or chosen on them"));
}
