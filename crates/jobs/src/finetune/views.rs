//! What a step learns from: which photos, as which views, with which targets. All of it depends on seed, epoch and photo alone.

use crate::features::identity;
use crate::{Result, parallel};
use percept_engine::Pool;
use percept_learn::random::mixed;
use percept_photos::augment::{Augment, Scratch, Source};
use percept_photos::decode;
use percept_photos::scan::DataSet;
use std::sync::{Mutex, PoisonError};

/// The photos in the order of an epoch.
pub(super) fn shuffled(data: &DataSet, photos: &[usize], seed: u64, epoch: u32) -> Vec<usize> {
    let mut order = photos.to_vec();
    order.sort_by_cached_key(|&i| (mixed(mixed(seed, epoch.into()), identity(data, &data.pictures[i])), i));
    order
}

/// The probabilities that photos are learned with.
pub(super) fn targets(data: &DataSet, photos: &[usize], classes: usize, smoothing: f32) -> Vec<f32> {
    let mut targets = vec![smoothing / classes as f32; photos.len() * classes];
    for (row, &i) in targets.chunks_exact_mut(classes).zip(photos) {
        row[data.pictures[i].class] += 1.0 - smoothing;
    }
    targets
}

/// Draws views of photos on all threads.
pub(crate) struct Views<'a> {
    data: &'a DataSet,
    augment: &'a Augment,
    seed: u64,
    scratch: Vec<Mutex<Scratch>>,
}

impl<'a> Views<'a> {
    /// Views for pools of so many threads.
    pub(crate) fn new(data: &'a DataSet, augment: &'a Augment, seed: u64, threads: usize) -> Self {
        Self { data, augment, seed, scratch: (0..threads).map(|_| Mutex::default()).collect() }
    }

    /// The bytes of the view of this number of each photo.
    pub(super) fn draw(&self, pool: &Pool, photos: &[usize], view: u32) -> Result<Vec<u8>> {
        let bytes = (self.augment.size * self.augment.size * 3) as usize;
        let pictures = parallel::map(pool, photos, |&i, thread| {
            let photo = &self.data.pictures[i];
            let source = Source::new(&decode::open(&photo.path)?, self.augment.size);
            let mut out = vec![0; bytes];
            let drawn = self.augment.draw(self.seed, identity(self.data, photo), view);
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            self.augment.apply_into(&source, &drawn, &mut scratch, &mut out);
            Ok(out)
        });
        Ok(pictures.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_photos::scan::Picture;

    fn data() -> DataSet {
        let picture = |i: usize| Picture { path: format!("{i}.png").into(), class: i % 3, group: i, part: None };
        let classes = ["a", "b", "c"].map(String::from).to_vec();
        DataSet { root: "".into(), classes, pictures: (0..40).map(picture).collect(), skipped: Vec::new() }
    }

    #[test]
    fn an_epoch_has_every_photo_once_in_an_order_of_its_own() {
        let (data, photos) = (data(), (3..40).collect::<Vec<_>>());
        let [first, second] = [0, 1].map(|epoch| shuffled(&data, &photos, 7, epoch));
        assert_ne!(first, second);
        assert_eq!(first, shuffled(&data, &photos, 7, 0));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, photos);
    }

    #[test]
    fn smoothed_targets_add_up_to_one() {
        let targets = targets(&data(), &[4, 2], 3, 0.3);
        let expected = [0.1, 0.8, 0.1, 0.1, 0.1, 0.8];
        assert!(targets.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{targets:?}");
    }
}
