//! What was found, as it is printed and written: paths and labels as the user knows them, worst first.

use super::Checked;
use crate::{Result, format};
use percept_learn::metrics::wilson;
use percept_photos::scan::Part;
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Fewer pictures of a class than these are few.
const FEW: usize = 15;
/// A class with so many times the pictures of another is out of balance with it.
const IMBALANCE: usize = 5;
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

    /// What to do, most urgent first.
    fn advice(&self) -> Vec<Finding> {
        let within = self.duplicates.len() - self.contradictions.len() - self.leaks.len();
        let mut all = vec![
            (
                self.unreadable.len(),
                ["file cannot be used", "files cannot be used"],
                "Replace them, or take them out.".into(),
            ),
            (self.blank.len(), ["picture shows nothing", "pictures show nothing"], "Take them out.".into()),
            (
                self.contradictions.len(),
                ["picture is in two classes", "pictures are in two classes"],
                "One of the labels is wrong: keep the right one. Until then training leaves these pictures out.".into(),
            ),
            (
                self.suspects.len(),
                ["label may be wrong", "labels may be wrong"],
                "Look at them, worst first, and leave what is right: the further down, the more of them are.".into(),
            ),
            (
                self.leaks.len(),
                ["picture is both learned from and held out", "pictures are both learned from and held out"],
                "Take out the copies to learn from: training does so too, or the accuracy would flatter.".into(),
            ),
            (
                within,
                ["group of copies within a class", "groups of copies within a class"],
                "They teach nothing new: one of each is enough. Training keeps them on one side of the split.".into(),
            ),
            (
                self.alike.len(),
                ["pair of classes cannot be told apart", "pairs of classes cannot be told apart"],
                self.alike_advice(),
            ),
        ];
        let few: Vec<&Class> = self.classes.iter().filter(|class| class.pictures < FEW).collect();
        let text = format!("Take more pictures of {}: fewer than {FEW} are few.", in_short(&few));
        all.push((few.len(), ["class has few pictures", "classes have few pictures"], text));
        all.extend(self.imbalance());
        let single: Vec<&Class> =
            self.classes.iter().filter(|class| class.pictures > 1 && class.scenes == Some(1)).collect();
        let text = format!(
            "Take pictures of {} elsewhere: what was seen in one place alone is not learned.",
            in_short(&single)
        );
        all.push((single.len(), ["class is all one scene", "classes are all one scene"], text));
        let scenes: usize = self.classes.iter().filter_map(|class| class.scenes).sum();
        let (pictures, scenes) = (format::count(self.pictures as u64), format::count(scenes as u64));
        let text = format!(
            "The {pictures} pictures show about {scenes} scenes; training keeps each on one side of the split. A picture from elsewhere \
             teaches more than another of the same scene."
        );
        all.push((self.bursts.len(), ["burst of three pictures or more", "bursts of three pictures or more"], text));
        all.push((self.tiny.len(), ["picture is tiny", "pictures are tiny"], self.tiny_advice()));
        all.into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, [one, many], advice)| Finding { count, what: if count == 1 { one } else { many }, advice })
            .collect()
    }

    fn alike_advice(&self) -> String {
        let Some(Alike { labels: [a, b], told_apart, told_apart_ci95, pictures }) = self.alike.first() else {
            return String::new();
        };
        format!(
            "\"{a}\" and \"{b}\": of {pictures} pictures {} are given the right one of the two labels (95 % interval {}), which chance \
             could do. Merge such classes, or add pictures that show what tells them apart.",
            format::percent(*told_apart),
            format::percent_range(*told_apart_ci95)
        )
    }

    fn tiny_advice(&self) -> String {
        if 2 * self.tiny.len() > self.pictures {
            return "Most are enlarged for the pretrained network: try --network lenet --from-scratch too.".into();
        }
        "They have to be enlarged more than twice: take them anew, or from closer.".into()
    }

    fn imbalance(&self) -> Option<(usize, [&'static str; 2], String)> {
        let most = self.classes.iter().max_by_key(|class| class.pictures)?;
        let rare: Vec<&Class> =
            self.classes.iter().filter(|class| class.pictures * IMBALANCE <= most.pictures).collect();
        let text = format!(
            "\"{}\" has {} pictures: the classifier will prefer it to {}. Take more of those.",
            most.label,
            most.pictures,
            in_short(&rare)
        );
        Some((rare.len(), ["class is rare beside the largest", "classes are rare beside the largest"], text))
    }
}

/// Some labels with their counts, rarest first.
fn in_short(classes: &[&Class]) -> String {
    let mut classes = classes.to_vec();
    classes.sort_by_key(|class| class.pictures);
    let shown: Vec<String> =
        classes.iter().take(4).map(|class| format!("\"{}\" ({})", class.label, class.pictures)).collect();
    let more = if classes.len() > 4 { format!(" and {} more", classes.len() - 4) } else { String::new() };
    shown.join(", ") + &more
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
    let one = |skipped: &percept_photos::Skipped| {
        // The reason of a decoder names the file once more.
        let begin = format!("cannot read the picture {}: ", skipped.path.display());
        let reason = skipped.reason.strip_prefix(&begin).unwrap_or(&skipped.reason);
        Unreadable { picture: checked.name(&skipped.path), reason: reason.into() }
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
