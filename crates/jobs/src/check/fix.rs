//! `percept check --fix`: applies a plan that a person has gone through, such that it can be undone.
//!
//! All lines are looked at before anything moves. Then the reverse of the plan is written, and only then are files renamed, one by one.
//! A line that is done already, as after an interruption, is passed over in either direction, so a plan can be finished or undone from
//! wherever it stopped. Nothing is ever replaced.

use super::plan::{self, Action, Line};
use crate::event::{Events, Phase};
use crate::{Error, Result, format};
use percept_photos::scan::EXCLUDED;
use serde::Serialize;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What was done.
#[derive(Debug, Serialize)]
pub struct Fixed {
    /// Pictures that changed their class.
    pub moved: usize,
    /// Pictures that were taken out.
    pub excluded: usize,
    /// Pictures that were brought back.
    pub restored: usize,
    /// Lines that had been done before.
    pub done_before: usize,
    /// Where pictures lie that were taken out.
    pub excluded_to: PathBuf,
    /// The plan that takes all of it back; absent if there was nothing to do.
    pub undo: Option<PathBuf>,
}

/// A rename that a line asks for.
struct Rename {
    action: Action,
    from: PathBuf,
    to: PathBuf,
}

/// Applies the plan in the file `path`.
///
/// # Errors
/// A plan that cannot be read or applied: the line is named and nothing has moved. A file that cannot be moved: what was moved before can
/// be undone, and the rest done by the same plan.
pub fn fix(path: &Path, events: Events<'_>) -> Result<Fixed> {
    let (folder, mut lines) = plan::read(path)?;
    let excluded = excluded_of(&folder);
    check_folder(path, &folder)?;
    for line in lines.values_mut().filter(|line| line.action == Action::Move && folder.join(&line.to).is_dir()) {
        // A class is enough.
        line.to.push(line.picture.file_name().unwrap_or_default());
    }
    let (mut renames, mut done_before) = (Vec::new(), 0);
    let mut seen = HashSet::new();
    for (number, line) in &lines {
        let rename = rename(line, &folder, &excluded);
        let wrong =
            |text: String| Error::Setting(format!("{} line {number}: {text}; nothing was moved", path.display()));
        if rename.to.parent() == Some(&folder) {
            return Err(wrong(format!("{} lies in no class folder", rename.to.display())));
        }
        if !seen.insert(rename.from.clone()) || !seen.insert(rename.to.clone()) {
            return Err(wrong(format!("{} is in another line too", line.picture.display())));
        }
        match is_done(&rename).map_err(wrong)? {
            true => done_before += 1,
            false => renames.push(rename),
        }
    }
    let mut fixed = Fixed { moved: 0, excluded: 0, restored: 0, done_before, excluded_to: excluded, undo: None };
    if renames.is_empty() {
        return Ok(fixed);
    }
    let undo = write_undo(path, &folder, lines.into_values().rev().map(reversed).collect())?;
    let mut phase = Phase::start(events, "Moving pictures", Some(renames.len() as u64), "pictures");
    for (rename, done) in renames.iter().zip(1..) {
        apply(rename).map_err(|error| {
            let (path, undo) = (path.display(), undo.display());
            Error::Setting(format!(
                "{error}: mend that and go on with `percept check --fix {path}`, or take all back with `percept check --fix {undo}`"
            ))
        })?;
        match rename.action {
            Action::Move => fixed.moved += 1,
            Action::Exclude => fixed.excluded += 1,
            Action::Restore => fixed.restored += 1,
        }
        phase.progress(done);
    }
    phase.finish(format::count(renames.len() as u64));
    fixed.undo = Some(undo);
    Ok(fixed)
}

/// Where what is taken out of a folder goes: beside it, where no scan looks.
fn excluded_of(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(EXCLUDED);
    folder.with_file_name(name)
}

fn check_folder(plan: &Path, folder: &Path) -> Result<()> {
    if folder.is_absolute() && folder.is_dir() && folder.file_name().is_some() {
        return Ok(());
    }
    let text = "is not a folder by its whole path, where pictures of a plan must lie: correct the line \"folder\" in";
    Err(Error::Setting(format!("{} {text} {}", folder.display(), plan.display())))
}

fn rename(line: &Line, folder: &Path, excluded: &Path) -> Rename {
    let (inside, outside) = (folder.join(&line.picture), excluded.join(&line.picture));
    let (from, to) = match line.action {
        Action::Move => (inside, folder.join(&line.to)),
        Action::Exclude => (inside, outside),
        Action::Restore => (outside, inside),
    };
    Rename { action: line.action, from, to }
}

/// Whether a rename was carried out before, or why it cannot be.
fn is_done(rename: &Rename) -> std::result::Result<bool, String> {
    let Rename { from, to, .. } = rename;
    let there = |path: &Path| path.symlink_metadata().ok();
    match (there(from), there(to)) {
        (None, Some(_)) => return Ok(true),
        (None, None) => return Err(format!("{} does not exist", from.display())),
        (Some(_), Some(_)) => return Err(format!("{} exists already: give another name", to.display())),
        (Some(file), None) if file.is_dir() => return Err(format!("{} is a folder, not a picture", from.display())),
        (Some(_), None) => {}
    }
    let class = to.parent().filter(|_| rename.action == Action::Move);
    if let Some(class) = class.filter(|class| !class.is_dir()) {
        return Err(format!("there is no folder {}: make it first, or correct the line", class.display()));
    }
    Ok(false)
}

/// The line that takes another back.
fn reversed(line: Line) -> Line {
    let reason = format!("undo: {}", line.reason);
    match line.action {
        Action::Move => Line { picture: line.to, to: line.picture, reason, ..line },
        Action::Exclude => Line { action: Action::Restore, reason, ..line },
        Action::Restore => Line { action: Action::Exclude, reason, ..line },
    }
}

/// Writes the reverse of a plan beside it; the same one again, after an interruption, is not written twice.
fn write_undo(path: &Path, folder: &Path, lines: Vec<Line>) -> Result<PathBuf> {
    let bytes = plan::to_csv(folder, &lines)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let names = std::iter::once(format!("{stem}-undo.csv")).chain((2..).map(|i| format!("{stem}-undo-{i}.csv")));
    for name in names {
        let undo = path.with_file_name(name);
        if std::fs::read(&undo).is_ok_and(|before| before == bytes) {
            return Ok(undo);
        }
        if undo.symlink_metadata().is_ok() {
            continue;
        }
        let part = undo.with_extension("part");
        let written = std::fs::write(&part, &bytes).and_then(|()| std::fs::rename(&part, &undo));
        written.map_err(Error::io("write", &undo))?;
        return Ok(undo);
    }
    Err(Error::Exists(path.into()))
}

fn apply(rename: &Rename) -> Result<()> {
    let Rename { from, to, .. } = rename;
    let parent = to.parent().unwrap_or(to);
    std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    if to.symlink_metadata().is_ok() {
        return Err(Error::Exists(to.clone()));
    }
    match std::fs::rename(from, to) {
        // Beside a folder that is a disk of its own lies another disk.
        Err(error) if error.kind() == ErrorKind::CrossesDevices => copy(from, to, parent),
        result => result,
    }
    .map_err(Error::io("move", from))
}

/// Moves a file to another disk: it is there as a whole before it goes here.
fn copy(from: &Path, to: &Path, parent: &Path) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    std::io::copy(&mut std::fs::File::open(from)?, &mut file)?;
    file.as_file().sync_all()?;
    file.as_file().set_permissions(std::fs::metadata(from)?.permissions())?;
    file.persist_noclobber(to).map_err(|error| error.error)?;
    std::fs::remove_file(from)
}
