//! Exact copies: found by content, so that a picture is never both learned and checked with.
//!
//! Only files of equal length are hashed, which for photos spares nearly all of the reading.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::scan::Picture;
use crate::{Error, Skipped};

/// Gives copies a common [`Picture::group`] and takes out those that contradict each other or would leak.
///
/// `pictures` come with their lengths in bytes. Copies in different classes are all taken out, since nobody can say
/// which is right; of copies in different parts, those in the part that is held out most are kept.
pub(crate) fn settle(pictures: Vec<(Picture, u64)>, classes: &[String], skipped: &mut Vec<Skipped>) -> Vec<Picture> {
    let mut lengths: HashMap<u64, usize> = HashMap::new();
    for (_, length) in &pictures {
        *lengths.entry(*length).or_default() += 1;
    }
    let mut copies: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    let mut kept = Vec::with_capacity(pictures.len());
    for (picture, length) in pictures {
        if lengths[&length] > 1 {
            match sha256(&picture.path) {
                Ok(hash) => copies.entry(hash).or_default().push(kept.len()),
                Err(error) => {
                    skipped.push(Skipped::new(&picture.path, error.reason()));
                    continue;
                }
            }
        }
        kept.push(Settled { group: kept.len(), picture, reason: None });
    }
    for copies in copies.values().filter(|copies| copies.len() > 1) {
        settle_copies(&mut kept, copies, classes);
    }
    number(kept, skipped)
}

struct Settled {
    picture: Picture,
    /// The position of the first copy among the pictures before any is taken out.
    group: usize,
    reason: Option<String>,
}

fn settle_copies(pictures: &mut [Settled], copies: &[usize], classes: &[String]) {
    let most_held_out = copies.iter().copied().max_by_key(|&copy| pictures[copy].picture.part).unwrap_or(copies[0]);
    for &copy in copies {
        let Picture { class, part, .. } = pictures[copy].picture;
        let other = copies.iter().map(|&other| &pictures[other].picture).find(|other| other.class != class);
        let reason = if let Some(other) = other {
            let (path, class) = (other.path.display(), &classes[other.class]);
            Some(format!("the same picture as {path}, which is of class \"{class}\": one of the two must be wrong"))
        } else if part < pictures[most_held_out].picture.part {
            let path = pictures[most_held_out].picture.path.display();
            Some(format!("the same picture as {path}, which is kept to check with"))
        } else {
            None
        };
        pictures[copy].group = copies.iter().copied().find(|&c| pictures[c].picture.part == part).unwrap_or(copy);
        pictures[copy].reason = reason;
    }
}

/// Takes out what has a reason to go, and turns groups into positions among what stays.
fn number(pictures: Vec<Settled>, skipped: &mut Vec<Skipped>) -> Vec<Picture> {
    let mut position = HashMap::new();
    let mut kept = Vec::with_capacity(pictures.len());
    for Settled { mut picture, group, reason } in pictures {
        if let Some(reason) = reason {
            skipped.push(Skipped { path: picture.path, reason });
            continue;
        }
        picture.group = *position.entry(group).or_insert(kept.len());
        kept.push(picture);
    }
    kept
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
        let classes = ["x".to_owned(), "y".to_owned()];
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
        let kept = settle(pictures, &classes, &mut skipped);
        let seen: Vec<_> = kept.iter().map(|p| (p.path.as_path(), p.group)).collect();
        assert_eq!(seen, [(&*a, 0), (&*b, 1), (&*c, 1), (&*g, 3), (&*h, 3)]);
        let reasons: Vec<_> = skipped.iter().map(|s| (s.path.as_path(), s.reason.contains("class"))).collect();
        assert_eq!(reasons, [(&*d, true), (&*e, true), (&*f, false)]);
    }
}
