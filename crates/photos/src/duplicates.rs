//! Copies: exact ones are found by content, so that a picture is never both learned and checked with.
//!
//! Only files of equal length are hashed, which for photos spares nearly all of the reading. What is then done about copies is the same
//! for exact ones and for those that [`near`](crate::near) finds.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::scan::{DataSet, Picture};
use crate::{Error, Skipped};

/// Gives exact copies a common [`Picture::group`]; `pictures` come with their lengths in bytes.
pub(crate) fn group(pictures: Vec<(Picture, u64)>, skipped: &mut Vec<Skipped>) -> Vec<Picture> {
    let mut lengths: HashMap<u64, usize> = HashMap::new();
    for (_, length) in &pictures {
        *lengths.entry(*length).or_default() += 1;
    }
    let mut first: HashMap<[u8; 32], usize> = HashMap::new();
    let mut grouped = Vec::with_capacity(pictures.len());
    for (mut picture, length) in pictures {
        picture.group = grouped.len();
        if lengths[&length] > 1 {
            match sha256(&picture.path) {
                Ok(hash) => picture.group = *first.entry(hash).or_insert(grouped.len()),
                Err(error) => {
                    skipped.push(Skipped::new(&picture.path, error.reason()));
                    continue;
                }
            }
        }
        grouped.push(picture);
    }
    grouped
}

impl DataSet {
    /// The positions of the pictures of each group of several, in rising order.
    pub fn copies(&self) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (position, picture) in self.pictures.iter().enumerate() {
            groups.entry(picture.group).or_default().push(position);
        }
        groups.into_values().filter(|group| group.len() > 1).collect()
    }

    /// Takes out pictures whose group contradicts itself or would leak, and classes that this leaves empty; `likeness` begins the
    /// reason, such as "the same picture as".
    ///
    /// Copies in different classes are all taken out, since nobody can say which is right; of copies in different parts, those in
    /// the part that is held out most are kept.
    pub fn settle(&mut self, likeness: &str) {
        let mut reasons: Vec<Option<String>> = vec![None; self.pictures.len()];
        for copies in self.copies() {
            for &copy in &copies {
                reasons[copy] = self.reason_to_go(copy, &copies, likeness);
            }
        }
        let mut position = HashMap::new();
        let mut kept = Vec::with_capacity(self.pictures.len());
        for (mut picture, reason) in std::mem::take(&mut self.pictures).into_iter().zip(reasons) {
            match reason {
                Some(reason) => self.skipped.push(Skipped { path: picture.path, reason }),
                None => {
                    picture.group = *position.entry(picture.group).or_insert(kept.len());
                    kept.push(picture);
                }
            }
        }
        self.pictures = kept;
        self.drop_empty_classes();
    }

    fn reason_to_go(&self, copy: usize, copies: &[usize], likeness: &str) -> Option<String> {
        let Picture { class, part, .. } = self.pictures[copy];
        let others = || copies.iter().map(|&other| &self.pictures[other]);
        if let Some(other) = others().find(|other| other.class != class) {
            let (path, class) = (other.path.display(), &self.classes[other.class]);
            return Some(format!("{likeness} {path}, which is of class \"{class}\": one of the two must be wrong"));
        }
        let most_held_out = others().max_by_key(|other| other.part).filter(|other| part < other.part)?;
        Some(format!("{likeness} {}, which is kept to check with", most_held_out.path.display()))
    }
}

fn sha256(path: &Path) -> Result<[u8; 32], Error> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => return Ok(hash.finalize().into()),
            length => hash.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Part;

    fn picture(path: &Path, class: usize, part: Option<Part>) -> (Picture, u64) {
        (Picture { path: path.to_owned(), class, part, group: 0 }, std::fs::metadata(path).unwrap().len())
    }

    #[test]
    fn groups_copies_and_takes_out_contradictions_and_leaks() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let (a, b, c) = (write("a", "one"), write("b", "two"), write("c", "two"));
        let (d, e) = (write("d", "six"), write("e", "six"));
        let (f, g, h) = (write("f", "ten"), write("g", "ten"), write("h", "ten"));
        let mut skipped = Vec::new();
        let pictures = vec![
            picture(&a, 0, None),
            picture(&d, 0, None),
            picture(&b, 0, None),
            picture(&c, 0, None),
            picture(&e, 1, None),
            picture(&f, 1, Some(Part::Train)),
            picture(&g, 1, Some(Part::Test)),
            picture(&h, 1, Some(Part::Test)),
        ];
        let pictures = group(pictures, &mut skipped);
        let classes = vec!["x".to_owned(), "y".to_owned()];
        let mut data = DataSet { root: folder.path().to_owned(), classes, pictures, skipped };
        assert_eq!(data.copies(), [vec![1, 4], vec![2, 3], vec![5, 6, 7]]);
        data.settle("the same picture as");
        let seen: Vec<_> = data.pictures.iter().map(|p| (p.path.as_path(), p.group)).collect();
        assert_eq!(seen, [(&*a, 0), (&*b, 1), (&*c, 1), (&*g, 3), (&*h, 3)]);
        let reasons: Vec<_> = data.skipped.iter().map(|s| (s.path.as_path(), s.reason.contains("class"))).collect();
        assert_eq!(reasons, [(&*d, true), (&*e, true), (&*f, false)]);
    }

    #[test]
    fn a_class_of_which_nothing_is_left_is_dropped() {
        let picture = |class, group| Picture { path: format!("{class}{group}").into(), class, part: None, group };
        let classes = ["x", "y", "z"].map(str::to_owned).to_vec();
        let pictures = vec![picture(0, 0), picture(1, 0), picture(1, 2), picture(2, 3)];
        let mut data = DataSet { root: "".into(), classes, pictures, skipped: Vec::new() };
        data.settle("nearly the same picture as");
        assert_eq!(data.classes, ["y", "z"]);
        let left: Vec<_> = data.pictures.iter().map(|picture| (picture.class, picture.group)).collect();
        assert_eq!(left, [(0, 0), (1, 1)]);
    }
}
