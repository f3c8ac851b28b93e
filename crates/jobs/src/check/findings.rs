//! What was found, as it is printed and written: paths and labels as the user knows them, worst first.

use super::Checked;
use crate::Result;
use percept_learn::metrics::wilson;
use percept_photos::scan::Part;
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Pictures of one scene that make a burst.
const BURST: usize = 3;
/// A picture is tiny if it has to be enlarged by more than this.
const ENLARGED: u32 = 2;

/// All that was found.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// How many pictures were looked at.
    pub pictures: usize,
    /// Each class, with its pictures and, where labels were judged, its scenes.
    pub classes: Vec<Class>,
    /// Files that cannot be used.
    pub unreadable: Vec<Unreadable>,
    /// Pictures with nothing on them.
    pub blank: Vec<String>,
    /// Pictures that have to be enlarged a lot.
    pub tiny: Vec<Tiny>,
    /// Groups of copies, exact or near, whatever their classes and parts.
    pub duplicates: Vec<Vec<String>>,
    /// Copies in different classes.
    pub contradictions: Vec<Copies>,
    /// Copies in different parts of the data set, of one class.
    pub leaks: Vec<Copies>,
    /// Whether labels were judged.
    pub labels_judged: bool,
    /// Probable wrong labels, worst first; no picture of a contradiction is among them.
    pub suspects: Vec<Suspect>,
    /// Classes that cannot be told apart, most alike first.
    pub alike: Vec<Alike>,
    /// Pictures of one class and scene, at least three, largest first.
    pub bursts: Vec<Vec<String>>,
    /// What the above comes to, and what to do about it.
    pub findings: Vec<Finding>,
    /// The page with the pictures.
    pub report: PathBuf,
    /// Proposed moves and exclusions, for a folder of class folders.
    pub plan: Option<PathBuf>,
}

/// A class.
#[derive(Debug, Serialize)]
pub struct Class {
    /// Its name.
    pub label: String,
    /// How many pictures it has.
    pub pictures: usize,
    /// How many scenes they show.
    pub scenes: Option<usize>,
}

/// A file that cannot be used.
#[derive(Debug, Serialize)]
pub struct Unreadable {
    /// The file.
    pub picture: String,
    /// Why.
    pub reason: String,
}

/// A small picture.
#[derive(Debug, Serialize)]
pub struct Tiny {
    /// The picture.
    pub picture: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Pictures that are copies of each other.
#[derive(Debug, Serialize)]
pub struct Copies {
    /// Whether they are the same to the byte.
    pub exact: bool,
    /// The pictures.
    pub pictures: Vec<Labelled>,
    /// The label that they probably should have, where labels were judged.
    pub believed: Option<String>,
}

/// A picture and where it is filed.
#[derive(Debug, Serialize)]
pub struct Labelled {
    /// The picture.
    pub picture: String,
    /// Its label.
    pub label: String,
    /// Its part of the data set, if that is divided: `train`, `val` or `test`.
    pub part: Option<&'static str>,
}

/// A label that is probably wrong.
#[derive(Debug, Serialize)]
pub struct Suspect {
    /// The picture.
    pub picture: String,
    /// Its label.
    pub label: String,
    /// The label that is more probable.
    pub suggested: String,
    /// How improbable its label is, from 0 to 1.
    pub score: f32,
}

/// Two classes that cannot be told apart.
#[derive(Debug, Serialize)]
pub struct Alike {
    /// Their labels.
    pub labels: [String; 2],
    /// Share of their pictures that is given the right one of the two labels.
    pub told_apart: f64,
    /// Its 95 % interval.
    pub told_apart_ci95: [f64; 2],
    /// Pictures of both.
    pub pictures: usize,
}

/// One kind of finding.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// How many there are.
    pub count: usize,
    /// What they are.
    pub what: &'static str,
    /// What to do about it.
    pub advice: String,
}

impl Findings {
    pub(super) fn new(checked: &Checked, out: &Path, planned: bool) -> Result<Self> {
        let name = |&i: &usize| checked.picture(i);
        let group = |copies: &Vec<usize>| copies.iter().map(name).collect::<Vec<_>>();
        let contradictions = checked.copies.iter().filter(|copies| checked.contradicts(copies));
        let leaks = checked.copies.iter().filter(|copies| !checked.contradicts(copies) && checked.leaks(copies));
        let judged = checked.judged.as_ref();
        let mut findings = Self {
            pictures: checked.data.pictures.len(),
            classes: classes(checked),
            unreadable: unreadable(checked),
            blank: checked.blank().iter().map(name).collect(),
            tiny: tiny(checked),
            duplicates: checked.copies.iter().map(group).collect(),
            contradictions: contradictions.map(|copies| Copies::new(checked, copies)).collect(),
            leaks: leaks.map(|copies| Copies::new(checked, copies)).collect(),
            labels_judged: judged.is_some(),
            suspects: judged.map_or_else(Vec::new, |judged| suspects(checked, judged)),
            alike: judged.map_or_else(|| Ok(Vec::new()), |judged| alike(checked, judged))?,
            bursts: bursts(checked).iter().map(group).collect(),
            findings: Vec::new(),
            report: out.join("report.html"),
            plan: planned.then(|| out.join("plan.csv")),
        };
        findings.findings = findings.advice();
        Ok(findings)
    }
}

impl Copies {
    fn new(checked: &Checked, copies: &[usize]) -> Self {
        let labelled = |&i: &usize| Labelled {
            picture: checked.picture(i),
            label: checked.label(i).into(),
            part: checked.data.pictures[i].part.map(part),
        };
        Self {
            exact: copies.iter().all(|&copy| checked.exact[copy] == checked.exact[copies[0]]),
            pictures: copies.iter().map(labelled).collect(),
            believed: checked.believed(copies).map(|class| checked.data.classes[class].clone()),
        }
    }
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::Validation => "val",
        Part::Test => "test",
    }
}

fn classes(checked: &Checked) -> Vec<Class> {
    let class = |(class, label): (usize, &String)| {
        let pictures = || checked.data.pictures.iter().filter(move |picture| picture.class == class);
        let scenes = || pictures().map(|picture| picture.group).collect::<HashSet<_>>().len();
        Class { label: label.clone(), pictures: pictures().count(), scenes: checked.judged.as_ref().map(|_| scenes()) }
    };
    checked.data.classes.iter().enumerate().map(class).collect()
}

fn unreadable(checked: &Checked) -> Vec<Unreadable> {
    let failed = checked.sketches.failed.iter().map(|(_, skipped)| skipped);
    let one = |skipped: &percept_photos::Skipped| Unreadable {
        picture: checked.name(&skipped.path),
        reason: skipped.reason.clone(),
    };
    checked.data.skipped.iter().chain(failed).map(one).collect()
}

fn tiny(checked: &Checked) -> Vec<Tiny> {
    let one = |i: usize| {
        let (width, height) = checked.sketches.of[checked.exact[i]].as_ref()?.size();
        let tiny = width.min(height) * ENLARGED < checked.input;
        tiny.then(|| Tiny { picture: checked.picture(i), width, height })
    };
    (0..checked.data.pictures.len()).filter_map(one).collect()
}

fn suspects(checked: &Checked, judged: &super::labels::Judged) -> Vec<Suspect> {
    let one = |suspect: &percept_learn::confident::Suspect| Suspect {
        picture: checked.picture(suspect.row),
        label: checked.label(suspect.row).into(),
        suggested: checked.data.classes[suspect.suggested].clone(),
        score: suspect.score,
    };
    judged.suspects.iter().map(one).collect()
}

fn alike(checked: &Checked, judged: &super::labels::Judged) -> Result<Vec<Alike>> {
    let one = |pair: &super::labels::Pair| {
        Ok(Alike {
            labels: pair.classes.map(|class| checked.data.classes[class].clone()),
            told_apart: pair.right as f64 / pair.pictures as f64,
            told_apart_ci95: wilson(pair.right, pair.pictures)?,
            pictures: pair.pictures,
        })
    };
    judged.alike.iter().map(one).collect()
}

/// Scenes of several pictures, largest first.
fn bursts(checked: &Checked) -> Vec<Vec<usize>> {
    if checked.judged.is_none() {
        return Vec::new();
    }
    let mut scenes = checked.data.copies();
    scenes.retain(|scene| scene.len() >= BURST);
    scenes.sort_by_key(|scene| std::cmp::Reverse(scene.len()));
    scenes
}
