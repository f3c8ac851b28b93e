//! Which photos are learned from, which are held out, and which cannot be read.

use super::{Run, scenes};
use crate::event::{Event, Events, Phase};
use crate::features::Extracted;
use crate::{Error, Result, format, parallel};
use percept_engine::Pool;
use percept_models::cache;
use percept_photos::decode;
use percept_photos::scan::{DataSet, Part, Picture, Skipped};
use percept_photos::split::{Split, split};
use std::collections::HashSet;

/// A hash of what the photos are, wherever they lie.
pub(super) fn fingerprint(sets: &[&DataSet], pool: &Pool) -> Result<String> {
    let mut lines = String::new();
    for data in sets {
        let line = |picture: &Picture, _| {
            let bytes = std::fs::read(&picture.path).map_err(Error::io("read", &picture.path))?;
            let path = picture.path.strip_prefix(&data.root).unwrap_or(&picture.path);
            Ok(format!("{path:?} {} {:?} {}\n", picture.class, picture.part, cache::sha256(&bytes)))
        };
        lines += &parallel::map(pool, &data.pictures, line).into_iter().collect::<Result<String>>()?;
    }
    Ok(cache::sha256(lines.as_bytes()))
}

/// The pictures of one part.
pub(super) fn of_part(data: &DataSet, part: Part) -> DataSet {
    let pictures = data.pictures.iter().filter(|picture| picture.part == Some(part)).cloned().collect();
    DataSet { root: data.root.clone(), classes: data.classes.clone(), pictures, skipped: Vec::new() }
}

impl Run<'_> {
    /// The photos that are not set aside to test with.
    pub(super) fn learned(&self) -> Vec<usize> {
        (0..self.data.pictures.len()).filter(|&i| self.data.pictures[i].part != Some(Part::Test)).collect()
    }

    /// The photos to learn from and those to check with, as far as they can be decoded.
    pub(super) fn sides(
        &mut self,
        photos: &[usize],
        features: Option<&Extracted>,
        events: Events<'_>,
    ) -> Result<[Vec<usize>; 2]> {
        let readable: HashSet<usize> = match features {
            Some(features) => features.photos.iter().copied().collect(),
            None => self.readable(photos, events),
        };
        let Split { train: training, validation } = split(&self.data, self.config.validation, self.config.seed);
        let [photos, held_out] = [training, validation]
            .map(|part| part.into_iter().filter(|i| readable.contains(i)).collect::<Vec<usize>>());
        if photos.is_empty() || held_out.is_empty() {
            return Err(Error::Setting(
                "no photo to learn from or to check with can be read: replace the damaged ones".into(),
            ));
        }
        Ok([photos, held_out])
    }

    /// Which of some photos can be decoded; the others are noted.
    fn readable(&mut self, photos: &[usize], events: Events<'_>) -> HashSet<usize> {
        let mut phase = Phase::start(events, "Opening photos", Some(photos.len() as u64), "photos");
        let mut readable = HashSet::new();
        for group in photos.chunks(512) {
            let open = |&i: &usize, _| (i, decode::open(&self.data.pictures[i].path).err());
            for (i, error) in parallel::map(&self.settings.pool, group, open) {
                match error {
                    None => drop(readable.insert(i)),
                    Some(error) => {
                        let path = self.data.pictures[i].path.clone();
                        self.unreadable.push(Skipped { path, reason: error.reason() });
                    }
                }
            }
            phase.progress((readable.len() + self.unreadable.len()) as u64);
        }
        self.timings.push(phase.finish(format!("{} of {}", readable.len(), photos.len())));
        readable
    }

    /// Whether the user said which photos to check with.
    pub(super) fn divided(&self) -> bool {
        self.data.pictures.iter().any(|picture| picture.part == Some(Part::Validation))
    }

    /// Whether the user set photos aside to test with.
    pub(super) fn tested(&self) -> bool {
        self.data.pictures.iter().any(|picture| picture.part == Some(Part::Test))
    }

    /// Sees to it that photos of one scene stay on one side of the split.
    pub(super) fn find_scenes(&mut self, features: &Extracted, events: Events<'_>) -> Result<()> {
        let phase = Phase::start(&mut *events, "Telling scenes apart", None, "scenes");
        let alone = scenes::join(&mut self.data, features, self.config.views.unwrap_or(0), self.settings)?;
        let scenes: HashSet<usize> = features.photos.iter().map(|&i| self.data.pictures[i].group).collect();
        self.scenes = scenes.len();
        let photos = format::count(features.photos.len() as u64);
        self.timings.push(phase.finish(format!("{} in {photos} photos", format::count(scenes.len() as u64))));
        if !alone.is_empty() {
            let text = format!(
                "all photos of {} look like one scene, so accuracy on them says little: add photos taken elsewhere",
                in_short(&alone)
            );
            events(Event::Warning { text });
        }
        Ok(())
    }
}

/// Some names and how many more there are.
pub(super) fn in_short(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|name| format!("\"{name}\"")).collect();
    let more = if names.len() > 5 { format!(" and {} more classes", names.len() - 5) } else { String::new() };
    shown.join(", ") + &more
}
