//! Finding picture files: one walk over a folder that never fails half-way.
//!
//! A picture is recognised by its first bytes, because extensions lie. Whatever is not a picture is listed with its
//! reason; only what the systems themselves leave behind (hidden files, thumbnails) is passed over in silence.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::decode::Format;
use crate::{Error, Skipped};

/// Every folder and every file under a root, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Walks a folder, following links; a folder that several links lead to is walked once per scan.
pub(crate) fn walk(root: &Path) -> Walk {
    let mut found = Walk::default();
    let mut linked = HashSet::new();
    let mut entries = WalkDir::new(root).min_depth(1).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                if let Some(path) = error.path().filter(|path| !path.file_name().is_some_and(is_clutter)) {
                    found.skipped.push(Skipped::new(path, walk_reason(&error)));
                }
                continue;
            }
        };
        let folder = entry.file_type().is_dir();
        if is_clutter(entry.file_name()) {
            if folder {
                entries.skip_current_dir();
            }
        } else if !folder {
            found.files.push(entry.into_path());
        } else if entry.path_is_symlink() && !fs::canonicalize(entry.path()).is_ok_and(|real| linked.insert(real)) {
            entries.skip_current_dir();
            found.skipped.push(Skipped::new(entry.path(), "a link to a folder that is scanned already"));
        } else {
            found.folders.push(entry.into_path());
        }
    }
    found
}

fn walk_reason(error: &walkdir::Error) -> String {
    match error.io_error() {
        None => "a link to a folder that holds it".to_owned(),
        Some(error) if error.kind() == io::ErrorKind::NotFound => "a link to a file that does not exist".to_owned(),
        Some(error) => format!("cannot be read: {error}"),
    }
}

/// The end of the name of a folder of pictures that were taken out of a data set: no scan looks into it.
pub const EXCLUDED: &str = ".excluded";

/// Hidden files, what file managers leave in folders of pictures, and folders of pictures that were taken out.
pub(crate) fn is_clutter(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let left_behind: [&[u8]; 3] = [b"thumbs.db", b"desktop.ini", b"__macosx"];
    name.starts_with(b".")
        || name.ends_with(EXCLUDED.as_bytes())
        || left_behind.iter().any(|clutter| name.eq_ignore_ascii_case(clutter))
}

/// Checks that a file is a picture by its first bytes, or says why not; returns its length in bytes.
pub(crate) fn check_picture(path: &Path) -> Result<u64, String> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    if metadata.len() == 0 {
        return Err("empty file".to_owned());
    }
    let mut start = Vec::with_capacity(Format::MAGIC_BYTES);
    let file = File::open(path).map_err(unreadable)?;
    file.take(Format::MAGIC_BYTES as u64).read_to_end(&mut start).map_err(unreadable)?;
    match (Format::of(&start), path.extension()) {
        (Some(_), _) => Ok(metadata.len()),
        (None, Some(extension)) => Err(format!("not a JPEG, PNG or WebP picture: .{}", extension.display())),
        (None, None) => Err("not a JPEG, PNG or WebP picture".to_owned()),
    }
}

/// The pictures that a file or folder argument stands for.
#[derive(Debug, Default)]
pub struct Listing {
    /// The pictures, in the order of their paths.
    pub pictures: Vec<PathBuf>,
    /// What is not a picture, and why.
    pub skipped: Vec<Skipped>,
}

/// Lists the pictures of a folder and its sub-folders, whatever they are called; a file stands for itself.
///
/// ```no_run
/// for picture in percept_photos::scan::pictures("holiday".as_ref())?.pictures {
///     println!("{}", picture.display());
/// }
/// # Ok::<(), percept_photos::Error>(())
/// ```
///
/// # Errors
/// [`Error::Missing`], [`Error::Empty`], [`Error::NoPictures`], and [`Error::Decode`] for a file that is not a picture.
pub fn pictures(path: &Path) -> Result<Listing, Error> {
    if !existing(path)?.is_dir() {
        check_picture(path).map_err(|reason| Error::Decode { path: path.to_owned(), reason })?;
        return Ok(Listing { pictures: vec![path.to_owned()], skipped: Vec::new() });
    }
    let Walk { files, mut skipped, .. } = walk(path);
    let mut pictures = Vec::with_capacity(files.len());
    for file in files {
        match check_picture(&file) {
            Ok(_) => pictures.push(file),
            Err(reason) => skipped.push(Skipped { path: file, reason }),
        }
    }
    if pictures.is_empty() {
        return Err(nothing_left(path, &skipped));
    }
    Ok(Listing { pictures, skipped })
}

/// A path's metadata, with [`Error::Missing`] if there is nothing.
pub(crate) fn existing(path: &Path) -> Result<fs::Metadata, Error> {
    fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Missing(path.to_owned()),
        _ => Error::io("read", path)(error),
    })
}

/// The error for a root without a single usable picture.
pub(crate) fn nothing_left(root: &Path, skipped: &[Skipped]) -> Error {
    match skipped.first() {
        None => Error::Empty(root.to_owned()),
        Some(first) => Error::NoPictures {
            path: root.to_owned(),
            files: skipped.len(),
            first: first.path.clone(),
            reason: first.reason.clone(),
        },
    }
}
