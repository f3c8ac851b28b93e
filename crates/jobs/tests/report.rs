//! The report and the model card say what they were given, whatever the names are.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_jobs::calibration::Calibration;
use percept_jobs::event::Timing;
use percept_jobs::finetune::Epoch;
use percept_jobs::report::{Look, Mistake, Picture, Report, Stage};
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
        from_scratch: false,
        retrained: false,
        stages: Vec::new(),
        best_epoch: false,
        divided: false,
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
        calibration: Some(Calibration::new(&probabilities, &truth, 1.5, true).unwrap()),
        known: None,
        latency_ms_p50: 4.2,
        latency_ms_p99: 9.0,
        examples: Vec::new(),
        sheet: vec![Picture(vec![1, 2, 3])],
        mistakes: vec![Mistake {
            picture: Picture(vec![0xff]),
            heats: Some([Picture(vec![7]), Picture(vec![8])]),
            path: "a/<b>.jpg".into(),
            truth: NASTY.into(),
            predicted: "class 1".into(),
            probability: 0.9,
        }],
        looks: vec![Look { label: NASTY.into(), picture: Picture(vec![9]) }],
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
fn heat_maps_are_there_if_the_network_has_any() {
    let with = report(2).html().unwrap();
    assert!(with.contains("What it looks at") && with.contains("its answer") && with.contains("spoke for the name"));
    let mut without = report(2);
    (without.looks, without.mistakes[0].heats) = (Vec::new(), None);
    let without = without.html().unwrap();
    assert!(!without.contains("What it looks at") && !without.contains("its answer"));
    assert!(!without.contains("spoke for the name") && without.contains("alt=\"Photo of"));
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

fn stage(name: &str, before: Option<f64>, accuracy: f64, kept: bool, epochs: usize) -> Stage {
    let epochs = (0..epochs).map(|i| Epoch { loss: 1.0 / (i + 1) as f64, accuracy: Some(accuracy), nll: None });
    Stage { name: name.into(), accuracy, before, kept, seconds: 90.0, epochs: epochs.collect() }
}

/// The page and the card, with line breaks as spaces.
fn texts(report: &Report) -> [String; 2] {
    let html = report.html().unwrap();
    let shown = html.split("</style>").nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    [shown, report.model_card().unwrap()]
}

fn all_say(report: &Report, expected: &[&str], never: &[&str]) {
    for text in texts(report) {
        expected.iter().for_each(|part| assert!(text.contains(part), "lacks {part:?}: {text}"));
        never.iter().for_each(|part| assert!(!text.contains(part), "has {part:?}: {text}"));
    }
}

#[test]
fn a_classifier_on_top_is_told_as_one() {
    let said = ["stayed as it was", "logistic regression", "20 augmented views", "Apache-2.0"];
    all_say(&report(2), &said, &["went on learning", "slightly optimistic", "<svg viewBox=\"0 0 360"]);
    all_say(&Report { views: 0, ..report(2) }, &["logistic regression"], &["0 augmented", "20 augmented"]);
}

#[test]
fn a_retrained_network_is_told_with_its_stages() {
    let stages =
        vec![stage("Top blocks", Some(0.75), 0.74, false, 1), stage("Whole network", Some(0.75), 0.8404, true, 8)];
    let kept = Report { stages, retrained: true, views: 0, ..report(2) };
    let said = ["Classifier on top", "−1.0", "+9.0", "not kept", "kept: this is the model", "slightly optimistic"];
    all_say(&kept, &said, &["stayed as it was", "augmented views of each", "fitted once more"]);
    let [html, card] = texts(&kept);
    assert!(html.contains("the top blocks, then the whole network went on learning"), "{html}");
    assert!(html.contains("gone through in 8 epochs"));
    assert!(card.contains("the whole network went on learning") && !card.contains("top blocks, then"), "{card}");
    assert_eq!(html.matches("<svg viewBox=\"0 0 360").count(), 2, "a chart of one epoch, or none of eight");

    let stages = vec![stage("Whole network", Some(0.75), 0.70, false, 3)];
    let [html, card] = texts(&Report { stages, ..report(2) });
    assert!(html.contains("so the classifier on top is the model") && html.contains("20 augmented views"), "{html}");
    assert!(card.contains("stayed as it was") && card.contains("−5.0 points); not kept"), "{card}");
}

#[test]
fn a_network_from_zero_owes_nothing_to_a_licence() {
    let scratch = Report {
        network: "lenet".into(),
        licence: "none: trained from zero".into(),
        from_scratch: true,
        retrained: true,
        refitted: false,
        views: 0,
        stages: vec![stage("Whole network", None, 0.98, true, 2)],
        ..report(2)
    };
    let never =
        ["none: trained", "slightly optimistic", "regularisation", "Classifier on top", "logistic", "licence of"];
    all_say(&scratch, &["began from zero, without weights", "98.0%", "flatters the stated probabilities"], &never);
    assert!(!scratch.model_card().unwrap().contains("license:"));
}

#[test]
fn it_says_which_photos_it_was_measured_on() {
    all_say(
        &report(2),
        &["held out", "The strength of regularisation and the temperature were chosen"],
        &["test part"],
    );
    all_say(&Report { divided: true, ..report(2) }, &["the validation part of the data set"], &["whole scenes"]);
    let retrained = Report {
        tested: true,
        retrained: true,
        stages: vec![stage("Whole network", Some(0.7), 0.8, true, 2)],
        ..report(2)
    };
    all_say(&retrained, &["test part", "slightly optimistic"], &["flatters"]);
    let best = Report { tested: false, best_epoch: true, ..retrained };
    all_say(&best, &["the epoch to end with, the stage that is kept and the temperature were chosen"], &["test part"]);
}
