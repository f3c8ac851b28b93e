//! `percept check`: what is wrong with a folder of photos, and what to do about it.
//!
//! Every picture is decoded once for what pixels show: damage, blanks, copies. Then the frozen network looks at it, and classifiers that
//! did not learn from it say what it is (`labels`). Nothing is changed: the findings are a page to look at and a plan, a line for each
//! proposal, that [`fix`] applies once a person has gone through it.

mod advice;
mod findings;
pub mod fix;
mod labels;
mod page;
mod plan;

pub use findings::{Alike, Class, Copies, Finding, Findings, Labelled, Suspect, Tiny, Unreadable};

use crate::event::{Events, Phase};
use crate::features::Extractor;
use crate::frozen::Frozen;
use crate::near::{self, Sketches};
use crate::output::{Folder, free};
use crate::{Config, Error, Result, format, photos};
use labels::Judged;
use percept_engine::Settings;
use percept_photos::scan::DataSet;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Side in pixels that networks take, where none is asked.
const INPUT: u32 = 224;

/// A data set and all that was found out about it.
struct Checked {
    /// What the user calls it.
    root: PathBuf,
    /// Pictures grouped by scene, where labels were judged.
    data: DataSet,
    sketches: Sketches,
    /// For each picture the first that is the same to the byte.
    exact: Vec<usize>,
    /// Groups of copies, exact or near.
    copies: Vec<Vec<usize>>,
    judged: Option<Judged>,
    /// Side in pixels that the network takes.
    input: u32,
}

/// Checks the photos in `root` and makes the folder `out` (by default `percept-check`, or the next free name like it) with
/// `report.html` and, for a folder of class folders, `plan.csv`. Labels are judged by the features of `backbone`; without one only pixels are
/// looked at.
///
/// # Errors
/// No photos, weights that cannot be had, an output that exists or cannot be written.
pub fn check(
    root: &Path,
    out: Option<&Path>,
    backbone: Option<&str>,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Findings> {
    let out = out.map_or_else(|| free("percept-check"), Path::to_path_buf);
    let folder = Folder::create(&out)?;
    let mut data = photos::survey(root, &mut *events)?;
    let exact: Vec<usize> = data.pictures.iter().map(|picture| picture.group).collect();
    let frozen = match backbone {
        Some(name) => {
            crate::backbone::fetch_missing(name, &mut *events)?;
            Some(Frozen::open(name)?)
        }
        None => None,
    };
    let total = data.pictures.len() as u64;
    let mut phase = Phase::start(&mut *events, "Looking at pictures", Some(total), "pictures");
    let sketches = near::sketches(&data, settings, &mut phase);
    near::join(&mut data, &sketches.of, settings);
    let copies = data.copies();
    phase.finish(format!("{} groups of copies", format::count(copies.len() as u64)));
    let input = frozen.as_ref().map_or(INPUT, |frozen| frozen.origin.preprocess.crop());
    let judged = match frozen.filter(|_| data.classes.len() > 1) {
        Some(frozen) => judge(&frozen, &mut data, &sketches, &copies, settings, &mut *events)?,
        None => None,
    };
    let checked = Checked { root: root.into(), data, sketches, exact, copies, judged, input };
    let phase = Phase::start(events, "Writing the report", None, "files");
    let place = root.canonicalize().map_err(Error::io("find", root))?;
    // A path that is not UTF-8 cannot stand in a plan.
    let lines = plan::lines(&checked).filter(|_| place.to_str().is_some());
    let findings = Findings::new(&checked, &out, lines.is_some())?;
    write(folder.path(), "report.html", page::html(&checked, &findings, settings)?.as_bytes())?;
    if let Some(lines) = lines {
        write(folder.path(), "plan.csv", &plan::to_csv(&place, &lines)?)?;
    }
    folder.finish()?;
    phase.finish("");
    Ok(findings)
}

/// What classifiers that did not learn from a picture say that it is; groups pictures by scene.
fn judge(
    frozen: &Frozen,
    data: &mut DataSet,
    sketches: &Sketches,
    copies: &[Vec<usize>],
    settings: &Settings,
    events: Events<'_>,
) -> Result<Option<Judged>> {
    let failed: HashSet<usize> = sketches.failed.iter().map(|(i, _)| *i).collect();
    let readable: Vec<usize> = (0..data.pictures.len()).filter(|i| !failed.contains(i)).collect();
    if readable.is_empty() {
        return Ok(None);
    }
    let contradicts =
        |copies: &&Vec<usize>| copies.iter().any(|&copy| data.pictures[copy].class != data.pictures[copies[0]].class);
    let contradicted: HashSet<usize> = copies.iter().filter(contradicts).flatten().copied().collect();
    let mut augment = Config::default().augment;
    augment.size = frozen.origin.preprocess.crop();
    let mut extractor = Extractor::new(frozen, &augment, 0, settings)?;
    let mut phase = Phase::start(&mut *events, "Recognising pictures", Some(readable.len() as u64), "pictures");
    let features = extractor.extract(data, &readable, 0, &mut phase)?;
    phase.finish(format!("{} pictures", format::count(features.photos.len() as u64)));
    labels::judge(data, &features, &contradicted, settings, events)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).map_err(Error::io("write", &path))
}

impl Checked {
    /// What the user calls a file: his path, or one into his archive.
    fn name(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.data.root).ok().filter(|_| self.is_packed());
        inside.map_or_else(|| path.display().to_string(), |inside| self.root.join(inside).display().to_string())
    }

    fn is_packed(&self) -> bool {
        self.root != self.data.root && self.root.parent() != Some(&self.data.root)
    }

    /// A picture's name.
    fn picture(&self, position: usize) -> String {
        self.name(&self.data.pictures[position].path)
    }

    /// The name of a picture's class.
    fn label(&self, position: usize) -> &str {
        &self.data.classes[self.data.pictures[position].class]
    }

    /// Whether copies are in several classes.
    fn contradicts(&self, copies: &[usize]) -> bool {
        copies.iter().any(|&copy| self.data.pictures[copy].class != self.data.pictures[copies[0]].class)
    }

    /// Whether copies are in several parts of the data set.
    fn leaks(&self, copies: &[usize]) -> bool {
        copies.iter().any(|&copy| self.data.pictures[copy].part != self.data.pictures[copies[0]].part)
    }

    /// The class that copies probably are of.
    fn believed(&self, copies: &[usize]) -> Option<usize> {
        self.judged.as_ref().and_then(|judged| judged.believed(copies))
    }

    /// Pictures that show nothing.
    fn blank(&self) -> Vec<usize> {
        let blank = |&i: &usize| self.sketches.of[self.exact[i]].as_ref().is_some_and(|sketch| sketch.is_blank());
        (0..self.data.pictures.len()).filter(blank).collect()
    }
}
