//! The three layouts: what class and part each file of a folder or line of a table stands for.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::{Part, Skipped};
use crate::Error;
use crate::files::{self, Walk};

/// A file that has a class but was not looked into yet.
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) class: String,
    pub(super) part: Option<Part>,
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    pub(super) skipped: Vec<Skipped>,
    /// Whether pictures lie where no class folder is.
    pub(super) outside_classes: bool,
}

impl Found {
    pub(super) fn read_folders(&mut self, root: &Path) {
        let Walk { folders, files, skipped } = files::walk(root);
        self.skipped = skipped;
        let divided = is_divided(root, &folders);
        let depth = if divided { 2 } else { 1 };
        let mut names: BTreeMap<String, OsString> = BTreeMap::new();
        let mut empty: BTreeMap<String, &Path> = BTreeMap::new();
        for folder in folders.iter().filter(|folder| relative(root, folder).len() == depth) {
            empty.insert(label(folder.file_name().unwrap_or_default()), folder);
        }
        for path in files {
            let parents = relative(root, path.parent().unwrap_or(root));
            let Some(&folder) = parents.get(depth - 1) else {
                let checked = files::check_picture(&path);
                self.outside_classes |= checked.is_ok();
                let reason = checked.err().unwrap_or_else(|| "it lies in no class folder".to_owned());
                self.skipped.push(Skipped { path, reason });
                continue;
            };
            let class = label(folder);
            match names.entry(class.clone()) {
                Entry::Occupied(name) if name.get() != folder => {
                    self.skipped.push(Skipped::new(path, "two class folders have names that read alike: rename one"));
                    continue;
                }
                name => name.or_insert_with(|| folder.to_owned()),
            };
            empty.remove(&class);
            let part = if divided { Part::of(parents[0]) } else { None };
            self.candidates.push(Candidate { path, class, part });
        }
        self.skipped.extend(empty.values().map(|&folder| Skipped::new(folder, "a class folder without a file")));
    }

    pub(super) fn read_table(&mut self, table: &Path) -> Result<(), Error> {
        let unreadable = |error: csv::Error| Error::io("read", table)(error.into());
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_path(table)
            .map_err(unreadable)?;
        let folder = table.parent().unwrap_or(Path::new(""));
        let (mut image, mut class) = (0, 1);
        for (row, record) in reader.byte_records().enumerate() {
            let record = record.map_err(unreadable)?;
            let text = |column: usize| record.get(column).map(String::from_utf8_lossy).unwrap_or_default();
            if let (0, Some(columns)) = (row, header(&record)) {
                (image, class) = columns;
            } else if text(image).is_empty() || text(class).is_empty() {
                let line = record.position().map_or(0, csv::Position::line);
                self.skipped.push(Skipped::new(table, format!("line {line} is not image,label")));
            } else {
                let (path, class) = (folder.join(&*text(image)), label(OsStr::new(&*text(class))));
                self.candidates.push(Candidate { path, class, part: None });
            }
        }
        Ok(())
    }
}

/// The columns of image and label, if this line of a table names them.
fn header(record: &csv::ByteRecord) -> Option<(usize, usize)> {
    let column = |names: &[&str]| {
        record.iter().position(|field| names.iter().any(|name| field.eq_ignore_ascii_case(name.as_bytes())))
    };
    Some((column(&["image", "picture", "path", "file", "filename"])?, column(&["label", "class"])?))
}

/// Whether the root's sub-folders are parts of a data set, which hold the class folders, and not classes themselves.
fn is_divided(root: &Path, folders: &[PathBuf]) -> bool {
    let parents: Vec<_> = folders.iter().map(|folder| relative(root, folder)).collect();
    parents.iter().all(|parents| Part::of(parents[0]).is_some()) && parents.iter().any(|parents| parents.len() == 2)
}

/// The names that lead from the root to a path under it.
fn relative<'a>(root: &Path, path: &'a Path) -> Vec<&'a OsStr> {
    path.strip_prefix(root).unwrap_or(path).components().map(Component::as_os_str).collect()
}

/// A class's name as one line of text.
fn label(name: &OsStr) -> String {
    name.to_string_lossy().chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
