//! Dividing pictures into those to learn from and those to check with.
//!
//! Which side a picture falls on depends on the seed, its class's name and its path within the data set, through
//! SHA-256, and on nothing else: not on the order of files, and not on other classes. So a class can be added without
//! reshuffling the rest, and results before and after stay comparable.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::scan::{DataSet, Part};

/// The positions in [`DataSet::pictures`] of each side, in rising order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// To learn from.
    pub train: Vec<usize>,
    /// To choose settings and calibrate with.
    pub validation: Vec<usize>,
}

/// Splits a data set: its own training and validation parts if it has the latter, else a `fraction` of each class of
/// all that is not its test part goes to validation.
///
/// Pictures of one group stay on one side. A class of at least two groups has pictures on both sides, whatever the
/// fraction; a class of one group is learned from only.
///
/// ```
/// # use percept_photos::scan::{DataSet, Picture};
/// # use percept_photos::split::split;
/// let picture = |n| Picture { path: format!("cup/{n}.jpg").into(), class: 0, part: None, group: n };
/// let pictures = (0..10).map(picture).collect();
/// let cups = DataSet { root: "".into(), classes: vec!["cup".into()], pictures, skipped: vec![] };
/// let parts = split(&cups, 0.2, 42);
/// assert_eq!((parts.train.len(), parts.validation.len()), (8, 2));
/// ```
pub fn split(data: &DataSet, fraction: f64, seed: u64) -> Split {
    let of_part = |part| data.pictures.iter().enumerate().filter(move |(_, p)| p.part == part).map(|(n, _)| n);
    let train: Vec<usize> = data
        .pictures
        .iter()
        .enumerate()
        .filter(|(_, picture)| picture.part.is_none_or(|part| part == Part::Train))
        .map(|(position, _)| position)
        .collect();
    let validation: Vec<usize> = of_part(Some(Part::Validation)).collect();
    if validation.is_empty() { stratified(data, &train, fraction, seed) } else { Split { train, validation } }
}

fn stratified(data: &DataSet, pool: &[usize], fraction: f64, seed: u64) -> Split {
    let mut classes: BTreeMap<usize, BTreeMap<usize, Group>> = BTreeMap::new();
    for &position in pool {
        let picture = &data.pictures[position];
        let group = classes.entry(picture.class).or_default().entry(picture.group).or_default();
        let draw =
            draw(seed, &data.classes[picture.class], picture.path.strip_prefix(&data.root).unwrap_or(&picture.path));
        group.draw = group.draw.map_or(Some(draw), |least| Some(least.min(draw)));
        group.pictures.push(position);
    }
    let mut split = Split { train: Vec::new(), validation: Vec::new() };
    for groups in classes.into_values() {
        divide(groups.into_values().collect(), fraction, &mut split);
    }
    split.train.sort_unstable();
    split.validation.sort_unstable();
    split
}

/// Pictures that stay on one side, and the least number drawn for one of them.
#[derive(Default)]
struct Group {
    draw: Option<[u8; 32]>,
    pictures: Vec<usize>,
}

fn divide(mut groups: Vec<Group>, fraction: f64, split: &mut Split) {
    groups.sort_by_key(|group| group.draw);
    let pictures: usize = groups.iter().map(|group| group.pictures.len()).sum();
    let wanted = ((pictures as f64 * fraction).round() as usize).clamp(1, pictures.max(2) - 1);
    // When every group is larger than what is wanted, the smallest must do.
    let smallest = groups.iter().map(|group| group.pictures.len()).min().unwrap_or(0);
    let mut room = if groups.len() < 2 { 0 } else { wanted.max(smallest) };
    for group in groups {
        if group.pictures.len() <= room {
            room -= group.pictures.len();
            split.validation.extend(group.pictures);
        } else {
            split.train.extend(group.pictures);
        }
    }
}

fn draw(seed: u64, class: &str, path: &Path) -> [u8; 32] {
    let mut hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(class);
    for name in path {
        hash = hash.chain_update([0]).chain_update(name.as_encoded_bytes());
    }
    hash.finalize().into()
}
