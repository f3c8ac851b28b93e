//! Finding recordings, and who says what in them.

use super::read::is_recording;
use crate::event::{Events, Phase};
use crate::{Error, Result, format};
use percept_models::cache;
use percept_photos::archive;
use percept_photos::scan::Skipped;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files that a folder may hold.
const MOST_FILES: usize = 1_000_000;
/// Folders within folders.
const DEEPEST: usize = 16;

/// A labelled recording.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recording {
    pub(super) path: PathBuf,
    pub(super) class: usize,
    /// Who is heard; empty if that is not known.
    pub(super) speaker: String,
}

/// What was found.
pub(super) struct Found {
    pub(super) classes: Vec<String>,
    pub(super) recordings: Vec<Recording>,
    pub(super) skipped: Vec<Skipped>,
}

/// Finds labelled recordings in a folder or a tar archive: a folder for each class, or all in one folder and named
/// `{label}_{speaker}_{n}`.
///
/// # Errors
/// Nothing there that can be learned from.
pub(super) fn find(root: &Path, events: Events<'_>) -> Result<Found> {
    let phase = Phase::start(events, "Finding recordings", None, "files");
    if !root.exists() {
        return Err(Error::Setting(format!("{} does not exist: give a folder or a tar of recordings", root.display())));
    }
    let folder = unpacked(root)?;
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    walk(&folder, 0, &mut files)?;
    files.retain(|file| {
        let good = is_recording(file);
        if !good {
            skipped.push(Skipped { path: file.clone(), reason: "neither WAV nor FLAC".into() });
        }
        good
    });
    let folders: BTreeSet<_> = files.iter().filter_map(|file| file.parent()).collect();
    let by_name = folders.len() == 1;
    let mut labelled = Vec::new();
    for path in files {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        match if by_name { of_name(&stem) } else { of_folder(&path, &stem) } {
            Some((label, speaker)) => labelled.push((label, speaker, path.clone())),
            None => {
                let reason = "not named label_speaker_n, nor in a folder of its class".into();
                skipped.push(Skipped { path: path.clone(), reason });
            }
        }
    }
    let classes: BTreeSet<_> = labelled.iter().map(|(label, ..)| label.clone()).collect();
    let classes = Vec::from_iter(classes);
    if classes.len() < 2 {
        return Err(nothing(root, &classes, &skipped));
    }
    let recording = |(label, speaker, path)| {
        let class = classes.binary_search(&label).unwrap_or(0);
        Recording { path, class, speaker }
    };
    let mut recordings: Vec<_> = labelled.into_iter().map(recording).collect();
    recordings.sort_by(|a, b| (a.class, &a.speaker, &a.path).cmp(&(b.class, &b.speaker, &b.path)));
    phase.finish(format!("{} of {} classes", format::count(recordings.len() as u64), classes.len()));
    Ok(Found { classes, recordings, skipped })
}

/// The folder, or that to which an archive was unpacked.
fn unpacked(root: &Path) -> Result<PathBuf> {
    if root.is_dir() {
        return Ok(root.into());
    }
    match archive::unpack(root, &cache::folder()?.join("unpacked"), &mut |_| ())? {
        Some(folder) => Ok(folder),
        None => Err(Error::Setting(format!("{} is neither a folder of recordings nor a tar of one", root.display()))),
    }
}

/// Lists files, in the order of their names; links to folders are not followed.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let read = || Error::io("read", folder);
    let entries = std::fs::read_dir(folder).map_err(read())?;
    let mut entries = entries.collect::<std::io::Result<Vec<_>>>().map_err(read())?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if !entry.file_type().map_err(read())?.is_dir() {
            files.push(entry.path());
        } else if depth < DEEPEST {
            walk(&entry.path(), depth + 1, files)?;
        }
        if files.len() > MOST_FILES {
            return Err(Error::Setting(format!("{} holds over {MOST_FILES} files: give fewer", folder.display())));
        }
    }
    Ok(())
}

/// Label and speaker of `{label}_{speaker}_{n}`.
fn of_name(stem: &str) -> Option<(String, String)> {
    let (label, rest) = stem.split_once('_')?;
    let (speaker, _) = rest.rsplit_once('_')?;
    (!label.is_empty() && !speaker.is_empty()).then(|| (label.into(), speaker.into()))
}

/// The folder's name, and the speaker of `{speaker}_nohash_{n}`, as Speech Commands has it (Warden, arXiv:1804.03209), or of
/// `{label}_{speaker}_{n}` if the label is the folder's.
fn of_folder(path: &Path, stem: &str) -> Option<(String, String)> {
    let label = path.parent()?.file_name()?.to_string_lossy().into_owned();
    let named = of_name(stem).filter(|(name, _)| *name == label).map(|(_, speaker)| speaker);
    let speaker = stem.split_once("_nohash_").map(|(speaker, _)| speaker.to_string()).or(named);
    Some((label, speaker.unwrap_or_default()))
}

fn nothing(root: &Path, classes: &[String], skipped: &[Skipped]) -> Error {
    let root = root.display();
    let found = match (classes, skipped) {
        ([one], _) => format!("has one class alone, \"{one}\": add recordings of another"),
        (_, [first, ..]) => {
            let (path, reason, count) = (first.path.display(), &first.reason, skipped.len());
            format!("has no labelled recording ({count} files left out, the first, {path}: {reason})")
        }
        _ => "is empty".into(),
    };
    Error::Setting(format!(
        "{root} {found}; give a folder of WAV or FLAC for each class, or files named label_speaker_n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_label_and_speaker() {
        let pair = |label: &str, speaker: &str| Some((label.to_string(), speaker.to_string()));
        assert_eq!(of_name("7_jackson_12"), pair("7", "jackson"));
        assert_eq!(of_name("7_van_der_berg_12"), pair("7", "van_der_berg"));
        assert_eq!(of_name("seven_12"), None);
        assert_eq!(of_name("_x_1"), None);
        let of = |path: &str| of_folder(path.as_ref(), Path::new(path).file_stem().unwrap().to_str().unwrap());
        assert_eq!(of("words/yes/0a7c2a8d_nohash_0.wav"), pair("yes", "0a7c2a8d"));
        assert_eq!(of("words/yes/yes_ann_3.wav"), pair("yes", "ann"));
        assert_eq!(of("words/yes/3.wav"), pair("yes", ""));
    }
}
