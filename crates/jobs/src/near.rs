//! Near duplicates among the pictures of a data set.
//!
//! Every picture is compared with all others by its colours, as one product of matrices in tiles, which takes seconds for tens of
//! thousands; the few that are nearest are then laid over each other ([`percept_photos::near`]). Memory is what the sketches take, 5 kB
//! for a picture.

use crate::event::{Event, Events, Phase, Timing};
use crate::{Error, Result, format, parallel};
use percept_engine::Settings;
use percept_engine::kernels::{Epilogue, Gemm, PackedB, gemm_whole};
use percept_photos::decode;
use percept_photos::near::{DESCRIPTION, Sketch};
use percept_photos::scan::{DataSet, Skipped};
use std::collections::BTreeSet;

/// Pictures that are decoded between two reports of progress.
const GROUP: usize = 64;
/// Rows and columns of a tile of correlations.
const TILE: (usize, usize) = (256, 2048);
/// Pictures that a picture is laid over: the nearest by colours. A group of more copies than that is found as a chain.
const NEAREST: usize = 12;
/// Colours of copies correlate at least so much.
const LEAST_CORRELATION: f32 = 0.6;

/// Sketches of the pictures of a data set.
pub(crate) struct Sketches {
    /// By position; of exact copies the first alone has one.
    pub(crate) of: Vec<Option<Sketch>>,
    /// Pictures that cannot be decoded, by position, and why.
    pub(crate) failed: Vec<(usize, Skipped)>,
}

/// Decodes all pictures once.
pub(crate) fn sketches(data: &DataSet, settings: &Settings, phase: &mut Phase<'_>) -> Sketches {
    let mut found = Sketches { of: vec![None; data.pictures.len()], failed: Vec::new() };
    let first = |&i: &usize| data.pictures[i].group == i;
    let todo: Vec<usize> = (0..data.pictures.len()).filter(first).collect();
    for (group, done) in todo.chunks(GROUP).zip(1..) {
        let open = |&i: &usize, _| (i, decode::open(&data.pictures[i].path).map(|picture| Sketch::of(&picture)));
        for (i, result) in parallel::map(&settings.pool, group, open) {
            match result {
                Ok(sketch) => found.of[i] = Some(sketch),
                Err(error) => {
                    let copies = (i..data.pictures.len()).filter(|&copy| data.pictures[copy].group == i);
                    found.failed.extend(copies.map(|copy| {
                        (copy, Skipped { path: data.pictures[copy].path.clone(), reason: error.reason() })
                    }));
                }
            }
        }
        phase.progress((done * GROUP).min(todo.len()) as u64);
    }
    found
}

/// Gives near duplicates a common group, that of the first of them.
pub(crate) fn join(data: &mut DataSet, sketches: &[Option<Sketch>], settings: &Settings) {
    let candidates = candidates(sketches, settings);
    let near = parallel::map(&settings.pool, &candidates, |&(a, b), _| match (&sketches[a], &sketches[b]) {
        (Some(first), Some(second)) => first.is_near(second),
        _ => false,
    });
    let mut parent: Vec<usize> = data.pictures.iter().map(|picture| picture.group).collect();
    for ((a, b), _) in candidates.into_iter().zip(near).filter(|(_, near)| *near) {
        unite(&mut parent, a, b);
    }
    for i in 0..parent.len() {
        data.pictures[i].group = root(&mut parent, i);
    }
}

/// Pairs whose colours are near, in rising order.
fn candidates(sketches: &[Option<Sketch>], settings: &Settings) -> Vec<(usize, usize)> {
    let known = |(i, sketch): (usize, &Option<Sketch>)| {
        sketch.as_ref().filter(|sketch| sketch.is_comparable()).map(|sketch| (i, sketch.description()))
    };
    let (positions, table): (Vec<usize>, Vec<_>) = sketches.iter().enumerate().filter_map(known).unzip();
    let table = table.concat();
    let rows: Vec<&[f32]> = table.chunks(TILE.0 * DESCRIPTION).collect();
    let columns: Vec<&[f32]> = table.chunks(TILE.1 * DESCRIPTION).collect();
    let packed = parallel::map(&settings.pool, &columns, |tile, _| {
        PackedB::pack(settings.isa, DESCRIPTION, tile.len() / DESCRIPTION, tile, [1, DESCRIPTION])
    });
    let tiles: Vec<(usize, &[f32])> = rows.into_iter().enumerate().map(|(i, tile)| (i * TILE.0, tile)).collect();
    let nearest = parallel::map(&settings.pool, &tiles, |&(first, a), _| {
        let m = a.len() / DESCRIPTION;
        let mut nearest = vec![Vec::with_capacity(NEAREST + 1); m];
        let mut correlations = vec![0.0; m * TILE.1];
        for (b, column) in packed.iter().zip((0..).step_by(TILE.1)) {
            let product = Gemm { m, a, lda: DESCRIPTION, b, ldc: b.n(), epilogue: Epilogue::default() };
            let correlations = &mut correlations[..m * b.n()];
            gemm_whole(&product, correlations);
            for (row, (nearest, values)) in nearest.iter_mut().zip(correlations.chunks_exact(b.n())).enumerate() {
                let others = values.iter().zip(column..).filter(|&(_, other)| other != first + row);
                others.for_each(|(&value, other)| keep(nearest, value, other));
            }
        }
        nearest
    });
    let all = nearest.into_iter().flatten().zip(&positions);
    let pairs = all.flat_map(|(nearest, &a)| nearest.into_iter().map(move |(_, b)| (a, b)));
    let ordered = pairs.map(|(a, b)| (a.min(positions[b]), a.max(positions[b])));
    ordered.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Keeps the largest correlations, largest first.
fn keep(nearest: &mut Vec<(f32, usize)>, value: f32, other: usize) {
    let least = if nearest.len() < NEAREST { LEAST_CORRELATION } else { nearest[NEAREST - 1].0 };
    if value > least {
        nearest.insert(nearest.partition_point(|&(larger, _)| larger >= value), (value, other));
        nearest.truncate(NEAREST);
    }
}

/// The first of what is joined with `i`.
pub(crate) fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

/// Joins two, and what is joined with them.
pub(crate) fn unite(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b)] = a.min(b);
}

/// Finds near duplicates before several questions are trained: their groups become one. Nothing is left out, since answers to pictures that are
/// nearly the same may differ; those in another part of the table are counted.
pub(crate) fn group(data: &mut DataSet, settings: &Settings, events: Events<'_>) -> Timing {
    let total = format::count(data.pictures.len() as u64);
    let mut phase = Phase::start(&mut *events, "Looking for copies", Some(data.pictures.len() as u64), "photos");
    // A group of the table is no group of copies: each of its pictures is looked at.
    let mut groups: Vec<usize> = data.pictures.iter().map(|picture| picture.group).collect();
    data.pictures.iter_mut().enumerate().for_each(|(i, picture)| picture.group = i);
    let found = sketches(data, settings, &mut phase);
    join(data, &found.of, settings);
    let pictures = || data.pictures.iter().enumerate().filter(|(i, picture)| picture.group != *i);
    let copies = format::count(pictures().count() as u64);
    let leaks = pictures().filter(|(_, picture)| data.pictures[picture.group].part != picture.part).count();
    pictures().for_each(|(i, picture)| unite(&mut groups, i, picture.group));
    for i in 0..groups.len() {
        data.pictures[i].group = root(&mut groups, i);
    }
    let timing = phase.finish(format!("{copies} of {total} photos"));
    if leaks > 0 {
        let text = format!(
            "{} photos are nearly the same picture as one in another part of the table: figures on that part are too good",
            format::count(leaks as u64)
        );
        events(Event::Warning { text });
    }
    timing
}

/// Finds near duplicates before training: they get a common group, and those that contradict each other or would leak are left out.
pub(crate) fn settle(data: &mut DataSet, settings: &Settings, events: Events<'_>) -> Result<Timing> {
    let total = data.pictures.len();
    let mut phase = Phase::start(&mut *events, "Looking for copies", Some(total as u64), "photos");
    let found = sketches(data, settings, &mut phase);
    join(data, &found.of, settings);
    let copies: usize = data.copies().iter().map(|copies| copies.len() - 1).sum();
    data.settle("nearly the same picture as");
    let left_out = total - data.pictures.len();
    let timing = phase.finish(format!("{} of {} photos", format::count(copies as u64), format::count(total as u64)));
    if left_out > 0 {
        let text = format!(
            "{} photos are left out because nearly the same picture is in another class or held out: `percept check` shows them",
            format::count(left_out as u64)
        );
        events(Event::Warning { text });
    }
    if data.pictures.is_empty() {
        return Err(Error::Setting("every photo is in another class too: `percept check` shows them".into()));
    }
    data.check_trainable()?;
    Ok(timing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{RgbImage, imageops};
    use percept_photos::scan::{Part, Picture};
    use percept_photos::synthesise::{draw, products};

    fn data(count: usize) -> DataSet {
        let picture = |group| Picture { path: format!("{group}.jpg").into(), class: 0, part: None, group };
        let pictures = (0..count).map(picture).collect();
        DataSet { root: "".into(), classes: vec!["a".into()], pictures, skipped: Vec::new() }
    }

    #[test]
    fn copies_are_found_among_photos_of_the_same_things() {
        let settings = Settings::detect().unwrap();
        let mut pictures: Vec<RgbImage> = (0..40).map(|i| draw(&products()[i % 4], 160, i as u64)).collect();
        pictures.push(imageops::resize(&pictures[7], 100, 100, imageops::FilterType::Lanczos3));
        pictures.push(imageops::crop_imm(&pictures[11], 12, 0, 148, 152).to_image());
        pictures.push(imageops::crop_imm(&pictures[41], 0, 4, 148, 148).to_image());
        pictures.push(imageops::flip_horizontal(&pictures[3]));
        let sketches: Vec<_> = pictures.iter().map(|picture| Some(Sketch::of(picture))).collect();
        let mut found = data(pictures.len());
        join(&mut found, &sketches, &settings);
        assert_eq!(found.copies(), [vec![7, 40], vec![11, 41, 42]]);
    }

    #[test]
    fn groups_of_a_table_are_joined_by_copies() {
        let folder = tempfile::tempdir().unwrap();
        let mut found = data(5);
        for (i, picture) in found.pictures.iter_mut().enumerate() {
            picture.path = folder.path().join(&picture.path);
            // Of two persons the second pictures are one photo, the second time smaller.
            let seed = if i == 3 { 1 } else { i };
            let side = if i == 3 { 120 } else { 160 };
            let photo = draw(&products()[seed % 3], 160, seed as u64);
            let photo = imageops::resize(&photo, side, side, imageops::FilterType::Lanczos3);
            photo.save(&picture.path).unwrap();
            picture.group = [0, 0, 2, 2, 4][i];
            picture.part = Some(if i < 2 { Part::Train } else { Part::Validation });
        }
        let mut warnings = Vec::new();
        group(&mut found, &Settings::detect().unwrap(), &mut |event| {
            if let Event::Warning { text } = event {
                warnings.push(text);
            }
        });
        assert_eq!(found.pictures.iter().map(|picture| picture.group).collect::<Vec<_>>(), [0, 0, 0, 0, 4]);
        assert!(warnings.len() == 1 && warnings[0].starts_with("1 photos"), "{warnings:?}");
    }

    #[test]
    fn the_nearest_are_kept_in_order() {
        let mut nearest = Vec::new();
        for i in 0..40 {
            keep(&mut nearest, 0.5 + (i * 7 % 40) as f32 / 100.0, i);
        }
        assert_eq!(nearest.len(), NEAREST);
        assert!(nearest.windows(2).all(|pair| pair[0].0 >= pair[1].0));
        assert_eq!(nearest[0], (0.89, 17));
    }
}
