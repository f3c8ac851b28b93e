//! `plan.csv`: what could be done about the findings, a line for each picture, for a person to go through.
//!
//! Columns are `action`, `picture`, `to` and `reason`. Paths are within the folder that the line `folder` names, so that a plan says all
//! that is needed to apply it. `move` gives a picture another class, `exclude` takes it out of the folder, `restore` brings it back.

use super::Checked;
use crate::{Error, Result};
use percept_photos::scan::{Part, Picture};
use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// The plan's columns.
pub(super) const COLUMNS: [&str; 4] = ["action", "picture", "to", "reason"];

/// What is to be done with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Rename it within the folder.
    Move,
    /// Rename it out of the folder.
    Exclude,
    /// The reverse.
    Restore,
}

impl Action {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Move => "move",
            Self::Exclude => "exclude",
            Self::Restore => "restore",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Move, Self::Exclude, Self::Restore].into_iter().find(|action| action.name() == name)
    }
}

/// A line of a plan; `to` is empty unless it is a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) action: Action,
    pub(super) picture: PathBuf,
    pub(super) to: PathBuf,
    pub(super) reason: String,
}

/// A plan as CSV; paths that are not UTF-8 cannot be in it.
pub(super) fn to_csv(folder: &Path, lines: &[Line]) -> Result<Vec<u8>> {
    let failed = |error: csv::Error| Error::Setting(format!("the plan cannot be written: {error}"));
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS).map_err(failed)?;
    let text = |path: &Path| path.to_str().map(str::to_owned);
    let Some(folder) = text(folder) else {
        return Err(Error::Setting(format!("{} is not UTF-8, so it cannot stand in a plan", folder.display())));
    };
    csv.write_record(["folder", &*folder, "", "the pictures lie in here"]).map_err(failed)?;
    for line in lines {
        if let (Some(picture), Some(to)) = (text(&line.picture), text(&line.to)) {
            csv.write_record([line.action.name(), &*picture, &*to, &*line.reason]).map_err(failed)?;
        }
    }
    csv.into_inner().map_err(|error| Error::Setting(format!("the plan cannot be written: {error}")))
}

/// What is proposed; nothing for a table or an archive, whose labels are not folders.
pub(super) fn lines(checked: &Checked) -> Option<Vec<Line>> {
    if checked.root != checked.data.root {
        return None;
    }
    let mut plan = Plan { checked, planned: HashSet::new(), taken: HashSet::new(), lines: Vec::new() };
    for (position, _) in &checked.sketches.failed {
        plan.exclude(*position, "it cannot be read".into());
    }
    for position in checked.blank() {
        plan.exclude(position, "it shows nothing".into());
    }
    for copies in &checked.copies {
        plan.settle(copies);
    }
    // What is merely doubtful is for the page, where it can be looked at.
    let suspects = checked.judged.iter().flat_map(|judged| &judged.suspects);
    for suspect in suspects.filter(|suspect| suspect.improbable) {
        let (label, score) = (&checked.data.classes[suspect.suggested], suspect.score);
        plan.change(suspect.row, suspect.suggested, format!("looks like {label}, score {score:.4}"));
    }
    Some(plan.lines)
}

struct Plan<'a> {
    checked: &'a Checked,
    planned: HashSet<usize>,
    taken: HashSet<PathBuf>,
    lines: Vec<Line>,
}

impl Plan<'_> {
    fn relative(&self, position: usize) -> &Path {
        let path = &self.checked.data.pictures[position].path;
        path.strip_prefix(&self.checked.data.root).unwrap_or(path)
    }

    fn exclude(&mut self, position: usize, reason: String) {
        if self.planned.insert(position) {
            let picture = self.relative(position).to_owned();
            self.lines.push(Line { action: Action::Exclude, picture, to: PathBuf::new(), reason });
        }
    }

    /// Keeps one of some copies: of the believed class, held out most, largest.
    fn settle(&mut self, copies: &[usize]) {
        let data = &self.checked.data;
        let believed = self.checked.believed(copies).filter(|_| self.checked.contradicts(copies));
        let size = |copy: usize| {
            let sketch = self.checked.sketches.of[self.checked.exact[copy]].as_ref();
            sketch.map_or(0, |sketch| u64::from(sketch.size().0) * u64::from(sketch.size().1))
        };
        let merit = |copy: usize| {
            let Picture { class, part, .. } = data.pictures[copy];
            (Some(class) == believed, part, size(copy), std::cmp::Reverse(copy))
        };
        let Some(kept) = copies.iter().copied().max_by_key(|&copy| merit(copy)) else { return };
        if self.checked.contradicts(copies) && Some(data.pictures[kept].class) != believed {
            let reason = "it is in several classes, none of which is sure to be right";
            copies.iter().for_each(|&copy| self.exclude(copy, reason.into()));
            return;
        }
        let name = self.relative(kept).display().to_string();
        for &copy in copies.iter().filter(|&&copy| copy != kept) {
            let (one, other) = (&data.pictures[copy], &data.pictures[kept]);
            let label = &data.classes[other.class];
            let reason = if one.class != other.class {
                format!("a copy of {name}, which looks like {label}")
            } else if one.part < other.part {
                format!("a copy of {name}, which is held out")
            } else {
                format!("a copy of {name}")
            };
            self.exclude(copy, reason);
        }
    }

    /// Gives a picture another class, under a name that is free.
    fn change(&mut self, position: usize, class: usize, reason: String) {
        let divided = self.checked.data.pictures[position].part.is_some();
        let Some(folder) = self.class_folder(class, self.checked.data.pictures[position].part) else { return };
        let picture = self.relative(position).to_owned();
        let depth = if divided { 2 } else { 1 };
        let old =
            picture.components().nth(depth - 1).map_or_else(String::new, |c| c.as_os_str().to_string_lossy().into());
        let free =
            |to: &PathBuf| !self.taken.contains(to) && self.checked.data.root.join(to).symlink_metadata().is_err();
        let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
        let end = picture.extension().map_or_else(String::new, |end| format!(".{}", end.to_string_lossy()));
        let mut names = std::iter::once(folder.join(picture.file_name().unwrap_or_default()))
            .chain(std::iter::once(folder.join(format!("{stem}-from-{old}{end}"))))
            .chain((2..1000).map(|i| folder.join(format!("{stem}-from-{old}-{i}{end}"))));
        let Some(to) = names.find(free) else { return };
        if self.planned.insert(position) {
            self.taken.insert(to.clone());
            self.lines.push(Line { action: Action::Move, picture, to, reason });
        }
    }

    /// The folder of a class within a part, as another of its pictures has it.
    fn class_folder(&self, class: usize, part: Option<Part>) -> Option<PathBuf> {
        let data = &self.checked.data;
        let same = |&i: &usize| data.pictures[i].class == class && data.pictures[i].part == part;
        let other = (0..data.pictures.len()).find(same)?;
        let depth = if part.is_some() { 2 } else { 1 };
        Some(self.relative(other).components().take(depth).collect())
    }
}

/// Reads a plan: its folder, and its lines with their numbers.
pub(super) fn read(path: &Path) -> Result<(PathBuf, BTreeMap<u64, Line>)> {
    let wrong = |line: u64, text: &str| Error::Setting(format!("{} line {line}: {text}", path.display()));
    let unreadable = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::io("read", path)(error),
        _ => Error::Setting(format!("{} is not UTF-8 text in columns: save it as CSV", path.display())),
    };
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_path(path);
    let (mut folder, mut lines) = (None, BTreeMap::new());
    for record in reader.map_err(unreadable)?.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |i: usize| record.get(i).unwrap_or_default();
        let (action, picture, to) = (field(0).trim_start_matches('\u{feff}'), field(1), field(2));
        match Action::of(action) {
            _ if action == COLUMNS[0] || record.iter().all(str::is_empty) => {}
            _ if action == "folder" && folder.is_none() => folder = Some(PathBuf::from(picture)),
            None => return Err(wrong(line, &format!("\"{action}\" is no action: write move, exclude or restore"))),
            Some(action) => {
                let to = if action == Action::Move { to } else { "" };
                if !is_inside(Path::new(picture)) || action == Action::Move && !is_inside(Path::new(to)) {
                    return Err(wrong(line, "the paths must be within the folder, such as apple/1.jpg"));
                }
                let line_of = Line { action, picture: picture.into(), to: to.into(), reason: field(3).into() };
                lines.insert(line, line_of);
            }
        }
    }
    let folder = folder.ok_or_else(|| {
        Error::Setting(format!("{} has no line \"folder\" that says where the pictures lie", path.display()))
    })?;
    Ok((folder, lines))
}

/// Whether a path leads further down and nowhere else.
fn is_inside(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}
