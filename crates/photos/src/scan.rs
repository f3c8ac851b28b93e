//! From a folder or a table to a list of labelled pictures.
//!
//! Three layouts are read: `root/<class>/**`, `root/{train,val,test}/<class>/**` and a CSV file of `image,label`.
//! Only paths are kept, never pixels, so memory does not depend on the size of the pictures. What cannot be used is
//! listed with its reason and is an error only if nothing is left, because a folder of thousands of photos always
//! holds a few bad ones. The order of classes and pictures depends on their names alone, not on the file system.

mod layout;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::{Error, archive, duplicates, files};
use layout::{Candidate, Found};

pub use crate::files::{EXCLUDED, Listing, pictures};

/// Labelled pictures, and what was left out of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSet {
    /// The folder that was scanned, or the one that the CSV file lies in.
    pub root: PathBuf,
    /// The names of the classes that have pictures, in natural order (`2` before `10`).
    pub classes: Vec<String>,
    /// The pictures, ordered by class and path.
    pub pictures: Vec<Picture>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// A picture file and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Where it is.
    pub path: PathBuf,
    /// The position of its class in [`DataSet::classes`].
    pub class: usize,
    /// The part of the data set that it was filed under, if the data set is divided.
    pub part: Option<Part>,
    /// The position in [`DataSet::pictures`] of the first picture that shows the same; its own if there is no other.
    pub group: usize,
}

/// What a picture is for, ordered by how much it is held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// To learn from.
    Train,
    /// To choose settings and calibrate with.
    Validation,
    /// To measure with, once.
    Test,
}

impl Part {
    /// The part that a folder of this name holds.
    pub(crate) fn of(folder: &OsStr) -> Option<Self> {
        match folder.to_str()?.to_ascii_lowercase().as_str() {
            "train" => Some(Self::Train),
            "val" | "valid" | "validation" => Some(Self::Validation),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// A file or folder that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why it was left out, without the path.
    pub reason: String,
}

impl Skipped {
    pub(crate) fn new(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

/// Scans a data set: a folder with a sub-folder for each class, the same within `train`, `val` and `test`, or a CSV
/// file of `image,label` (with or without that header, paths relative to the file).
///
/// A file whose name is not UTF-8 keeps its path; a class named so gets a name with replacement characters. Exact copies that contradict
/// each other or would leak are left out.
///
/// ```no_run
/// let photos = percept_photos::scan::scan("photos".as_ref())?;
/// println!("{} pictures of {} classes", photos.pictures.len(), photos.classes.len());
/// # Ok::<(), percept_photos::Error>(())
/// ```
///
/// # Errors
/// [`Error::Missing`], [`Error::NotADataSet`], [`Error::Empty`], [`Error::NoClasses`] and [`Error::NoPictures`].
pub fn scan(root: &Path) -> Result<DataSet, Error> {
    let mut data = survey(root)?;
    data.settle("the same picture as");
    if data.pictures.is_empty() { Err(files::nothing_left(root, &data.skipped)) } else { Ok(data) }
}

/// Scans as [`scan`] does, but keeps copies whatever they say: those with the same content share a [`Picture::group`].
///
/// # Errors
/// As [`scan`].
pub fn survey(root: &Path) -> Result<DataSet, Error> {
    let folder = files::existing(root)?.is_dir();
    let mut found = Found::default();
    if folder {
        found.read_folders(root);
    } else if root.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        found.read_table(root)?;
    } else {
        return Err(Error::NotADataSet(root.to_owned()));
    }
    let Found { candidates, mut skipped, outside_classes } = found;
    let (classes, pictures) = check_and_index(candidates, &mut skipped);
    let pictures = duplicates::group(pictures, &mut skipped);
    let base = if folder { root } else { root.parent().unwrap_or(Path::new("")) };
    let mut data = DataSet { root: base.to_owned(), classes, pictures, skipped };
    data.drop_empty_classes();
    if data.pictures.is_empty() {
        let only_outside = folder && outside_classes;
        return Err(if only_outside {
            Error::NoClasses(root.to_owned())
        } else {
            files::nothing_left(root, &data.skipped)
        });
    }
    Ok(data)
}

/// Scans a data set as [`scan`] does, or one that [`archive::unpack`] first unpacks into `cache`; the root is then the
/// unpacked folder.
///
/// ```no_run
/// let photos = percept_photos::scan::scan_in("flowers.tar.gz".as_ref(), "cache".as_ref())?;
/// println!("{} pictures below {}", photos.pictures.len(), photos.root.display());
/// # Ok::<(), percept_photos::Error>(())
/// ```
///
/// # Errors
/// Those of [`archive::unpack`] and [`scan`], with [`Error::NotPhotos`] in place of [`Error::NotADataSet`].
pub fn scan_in(root: &Path, cache: &Path) -> Result<DataSet, Error> {
    unpacked(root, cache, scan)
}

/// Surveys a data set as [`survey`] does, or one that is packed, as [`scan_in`] does.
///
/// # Errors
/// As [`scan_in`].
pub fn survey_in(root: &Path, cache: &Path) -> Result<DataSet, Error> {
    unpacked(root, cache, survey)
}

fn unpacked(root: &Path, cache: &Path, read: fn(&Path) -> Result<DataSet, Error>) -> Result<DataSet, Error> {
    let Some(folder) = archive::unpack(root, cache, &mut |_| ())? else {
        return read(root).map_err(|error| match error {
            Error::NotADataSet(path) => Error::NotPhotos(path),
            other => other,
        });
    };
    let mut left_out = archive::left_out(&folder, root);
    let mut data = read(&folder).map_err(|error| match error {
        Error::Empty(_) => Error::Empty(root.to_owned()),
        Error::NoClasses(_) => Error::NoClasses(root.to_owned()),
        Error::NoPictures { files, first, reason, .. } => {
            Error::NoPictures { path: root.to_owned(), files, first, reason }
        }
        other => other,
    })?;
    data.skipped.append(&mut left_out);
    Ok(data)
}

/// Leaves the pictures, each with its length in bytes, and the names of their classes.
fn check_and_index(candidates: Vec<Candidate>, skipped: &mut Vec<Skipped>) -> (Vec<String>, Vec<(Picture, u64)>) {
    let mut names: Vec<String> = candidates.iter().map(|candidate| candidate.class.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names.sort_by_cached_key(|name| natural_key(name));
    let index: BTreeMap<&str, usize> = names.iter().enumerate().map(|(class, name)| (name.as_str(), class)).collect();
    let mut pictures = Vec::with_capacity(candidates.len());
    for Candidate { path, class, part } in candidates {
        match files::check_picture(&path) {
            Ok(length) => pictures.push((Picture { path, class: index[&*class], part, group: 0 }, length)),
            Err(reason) => skipped.push(Skipped { path, reason }),
        }
    }
    pictures.sort_by(|(a, _), (b, _)| (a.class, a.part, &a.path).cmp(&(b.class, b.part, &b.path)));
    (names, pictures)
}

/// A piece of a name in natural order; a number is compared by its length without leading zeros, then its digits.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Piece {
    Number(usize, String),
    Text(String),
}

pub(crate) fn natural_key(name: &str) -> (Vec<Piece>, String) {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let number = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != number).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        let digits = piece.trim_start_matches('0');
        pieces.push(if number {
            Piece::Number(digits.len(), digits.to_owned())
        } else {
            Piece::Text(piece.to_owned())
        });
        rest = after;
    }
    (pieces, name.to_owned())
}

impl DataSet {
    /// Renumbers classes so that each has a picture.
    pub(crate) fn drop_empty_classes(&mut self) {
        let mut used = vec![false; self.classes.len()];
        for picture in &self.pictures {
            used[picture.class] = true;
        }
        let number: Vec<usize> =
            used.iter().scan(0, |next, &used| Some(std::mem::replace(next, *next + usize::from(used)))).collect();
        for picture in &mut self.pictures {
            picture.class = number[picture.class];
        }
        let mut used = used.into_iter();
        self.classes.retain(|_| used.next().unwrap_or(false));
    }

    /// Checks that a classifier can be trained on the pictures: two classes, and of each a picture to learn from and,
    /// unless the data set has a validation part, a different one to check with.
    ///
    /// # Errors
    /// [`Error::OneClass`] or [`Error::FewPictures`].
    pub fn check_trainable(&self) -> Result<(), Error> {
        if let [only] = &self.classes[..] {
            return Err(Error::OneClass(only.clone()));
        }
        let divided = self.pictures.iter().any(|picture| picture.part == Some(Part::Validation));
        let needed = if divided { 1 } else { 2 };
        let mut different = vec![0; self.classes.len()];
        for (position, picture) in self.pictures.iter().enumerate() {
            let learned = picture.part.is_none_or(|part| part == Part::Train);
            different[picture.class] += usize::from(learned && picture.group == position);
        }
        match different.iter().position(|&pictures| pictures < needed) {
            Some(class) => {
                Err(Error::FewPictures { class: self.classes[class].clone(), pictures: different[class], needed })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
