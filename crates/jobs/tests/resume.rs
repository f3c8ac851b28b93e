//! Runs of text and sound that are interrupted go on, and end with the bits of runs that were left alone.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_jobs::event::Event;
use percept_jobs::text::{Plan, Source, sentences};
use percept_jobs::{Result, Settings, sound, text};
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

type Job<'a> = &'a dyn Fn(&Path, &mut dyn FnMut(Event)) -> Result<()>;

/// Runs a job whole, and another time with an end at each of these points of its curves; checks that the same comes of both.
fn compare(root: &Path, train: Job<'_>, resume: Job<'_>, ends: &[(&str, u64)]) {
    let (whole, broken) = (root.join("whole"), root.join("broken"));
    train(&whole, &mut |_| ()).unwrap();
    let mut job = train;
    for end in ends {
        // As if the process ended in the middle of it.
        let mut events = |event: Event| match &event {
            Event::Metric { name, step, .. } if (&**name, *step) == *end => resume_unwind(Box::new("the end")),
            _ => {}
        };
        assert!(catch_unwind(AssertUnwindSafe(|| job(&broken, &mut events))).is_err(), "{end:?}");
        let again = train(&broken, &mut |_| ()).unwrap_err().to_string();
        assert!(again.contains("is an unfinished run: go on with `percept ") && !broken.exists(), "{again}");
        job = resume;
    }
    let mut begun = Vec::new();
    resume(&broken, &mut |event| {
        if let Event::Progress { done } = event {
            begun.push(done);
        }
    })
    .unwrap();
    assert!(begun.iter().any(|&done| done > 0) && begun.first() != Some(&1), "{begun:?}");
    let files = |run: &Path| -> BTreeSet<_> { fs::read_dir(run).unwrap().map(|e| e.unwrap().file_name()).collect() };
    assert_eq!(files(&whole), files(&broken));
    for file in ["model.onnx", "metrics.json", "curves.json", "config.toml"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(broken.join(file)).unwrap(), "{file}");
    }
    for (name, words) in [("report.html", "</html>"), ("MODEL_CARD.md", "## How good it is")] {
        assert!(fs::read_to_string(broken.join(name)).unwrap().contains(words), "{name}");
    }
    let none = resume(&broken, &mut |_| ()).unwrap_err().to_string();
    assert!(none.contains("there is no unfinished run") && none.contains("it is finished"), "{none}");
}

fn compare_text(root: &Path, plan: &Plan, ends: &[(&str, u64)]) {
    let settings = Settings::detect().unwrap();
    let train = |out: &Path, events: &mut dyn FnMut(Event)| {
        let source = Source::open(plan.text())?;
        text::train(plan.clone(), &source, out, "percept text train", &settings, events).map(drop)
    };
    let resume = |out: &Path, events: &mut dyn FnMut(Event)| text::resume(out, &settings, events).map(drop);
    compare(root, &train, &resume, ends);
}

#[test]
fn a_character_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("song.txt");
    fs::write(&file, "über die Brücke geht es hin und her\n".repeat(40)).unwrap();
    let plan = Plan::Characters(text::Config {
        text: file.clone(),
        embedding: 8,
        hidden: 16,
        batch: 4,
        unroll: 8,
        steps: Some(62),
        ..Default::default()
    });
    // Between two checkpoints, before the first, and within a time through the text, when states are carried.
    compare_text(folder.path(), &plan, &[("text/loss", 2), ("text/loss", 30), ("text/loss", 61)]);

    let settings = Settings::detect().unwrap();
    let out = folder.path().join("other");
    let mut events = |event: Event| {
        if matches!(event, Event::Metric { .. }) {
            resume_unwind(Box::new("the end"));
        }
    };
    let source = Source::open(&file).unwrap();
    catch_unwind(AssertUnwindSafe(|| text::train(plan, &source, &out, "", &settings, &mut events))).unwrap_err();
    fs::write(&file, "another text\n".repeat(40)).unwrap();
    let changed = text::resume(&out, &settings, &mut |_| ()).unwrap_err().to_string();
    assert!(changed.starts_with("the text has changed since"), "{changed}");
}

#[test]
fn a_classifier_of_sentences_in_folds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines.txt");
    let line = |i: usize| {
        let (label, word) = if i.is_multiple_of(2) { ("good", "splendid") } else { ("bad", "dreadful") };
        format!("{label} film {} was {word} , scene {}\n", i % 7, i % 5)
    };
    fs::write(&file, (0..80).map(line).collect::<String>()).unwrap();
    let plan = Plan::Sentences(sentences::Config {
        text: file,
        folds: Some(2),
        embedding: 8,
        filters: 4,
        batch: 10,
        epochs: Some(5),
        ..Default::default()
    });
    compare_text(folder.path(), &plan, &[("text/fold-1/loss", 6), ("text/fold-2/loss", 11), ("text/loss", 23)]);
}

/// A 16-bit WAV file at 8 kHz: 0.2 s of a tone.
fn wav(path: &Path, hertz: f32) {
    let sample = |i: u32| (9000.0 * (std::f32::consts::TAU * hertz * i as f32 / 8000.0).sin()) as i16;
    let data: Vec<u8> = (0..1600).flat_map(|i| sample(i).to_le_bytes()).collect();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend([8000u32, 16000].iter().flat_map(|x| x.to_le_bytes()));
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_recogniser_of_sounds() {
    let folder = tempfile::tempdir().unwrap();
    let tones = folder.path().join("tones");
    fs::create_dir(&tones).unwrap();
    for (class, hertz) in [("low", 300.0), ("high", 2000.0)] {
        for (speaker, pitch) in [("ann", 1.0), ("bob", 1.1)] {
            (0..6).for_each(|n| wav(&tones.join(format!("{class}_{speaker}_{n}.wav")), hertz * pitch + n as f32));
        }
    }
    let config =
        sound::Config { recordings: tones, batch: 8, steps: Some(30), learning_rate: None, ..Default::default() };
    let settings = Settings::detect().unwrap();
    let train = |out: &Path, events: &mut dyn FnMut(Event)| {
        sound::train(config.clone(), out, "percept sound train", &settings, events).map(drop)
    };
    let resume = |out: &Path, events: &mut dyn FnMut(Event)| sound::resume(out, &settings, events).map(drop);
    compare(folder.path(), &train, &resume, &[("sound/loss", 9), ("sound/loss", 29)]);
}
