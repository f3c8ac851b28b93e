//! Where batches come from: photos, drawn anew as views; or what a frozen lower part made of views before.

use super::views::Views;
use crate::{Result, parallel};
use percept_engine::{Input, Pool};
use percept_learn::features::{FeatureFile, Features};
use percept_learn::mix::{Cut, mixup};
use percept_photos::decode;
use percept_photos::resize::Preprocess;
use percept_photos::scan::DataSet;
use std::collections::HashMap;

/// Where batches come from.
pub(crate) enum Feed<'a> {
    /// Photos: as views to learn from, prepared as for the model to be checked.
    Photos { data: &'a DataSet, views: Views<'a>, preprocess: &'a Preprocess },
    /// What was kept of them.
    Kept(Kept<'a>),
}

/// Activations on disk: for each photo those of the plain one, then those of its views.
pub(crate) struct Kept<'a> {
    file: &'a FeatureFile,
    /// The rows of a photo, by its position in the data set, begin at so many times the number of rows of each.
    places: HashMap<usize, usize>,
    views: usize,
    shape: Vec<usize>,
}

impl<'a> Kept<'a> {
    /// `photos` are the positions in the order of the rows, `shape` is that of one photo's activations.
    pub(crate) fn new(file: &'a FeatureFile, photos: &[usize], views: u32, shape: &[usize]) -> Self {
        let places = photos.iter().enumerate().map(|(place, &photo)| (photo, place)).collect();
        Self { file, places, views: views as usize, shape: shape.to_vec() }
    }
}

/// Pictures or activations of some photos, one after the other.
pub(crate) struct Batch {
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

pub(super) enum Values {
    U8(Vec<u8>),
    F32(Vec<f32>),
}

impl Batch {
    pub(super) fn input(&self) -> Input<'_> {
        match &self.values {
            Values::U8(values) => Input::U8(values),
            Values::F32(values) => Input::F32(values),
        }
    }

    /// Fills up with zeros.
    pub(super) fn resize(&mut self, photos: usize) {
        self.shape[0] = photos;
        let len = self.shape.iter().product();
        match &mut self.values {
            Values::U8(values) => values.resize(len, 0),
            Values::F32(values) => values.resize(len, 0.0),
        }
    }

    /// Blends each photo with another one of the batch; gives back the share of it that is left.
    pub(super) fn mix(&mut self, share: f32) -> Result<f32> {
        let photos = self.shape[0];
        match &mut self.values {
            Values::U8(values) => mixup(values, photos, share),
            Values::F32(values) => mixup(values, photos, share),
        }?;
        Ok(share)
    }

    /// Swaps a rectangle of each photo for that of another one of the batch; gives back the share of it that is left.
    pub(super) fn cut(&mut self, share: f32, seed: u64, step: u64) -> Result<f32> {
        let [photos, height, width] = [0, 1, 2].map(|axis| self.shape.get(axis).copied().unwrap_or(0));
        let cut = Cut::draw(height, width, share, seed, step);
        match &mut self.values {
            Values::U8(values) => cut.apply(values, photos, 1),
            Values::F32(values) => cut.apply(values, photos, 1),
        }?;
        Ok(cut.share())
    }
}

impl Feed<'_> {
    /// The view of this number of each photo, counted from 1; without a number the plain photo.
    pub(super) fn batch(&self, pool: &Pool, photos: &[usize], view: Option<u32>) -> Result<Batch> {
        match self {
            Feed::Photos { data, views, preprocess } => {
                let size = preprocess.crop() as usize;
                let bytes = match view {
                    Some(view) => views.draw(pool, photos, view)?,
                    None => plain(data, preprocess, pool, photos)?,
                };
                Ok(Batch { shape: vec![photos.len(), size, size, 3], values: Values::U8(bytes) })
            }
            Feed::Kept(kept) => kept.batch(photos, view),
        }
    }
}

/// Photos as they are prepared for a model, without a view of them.
pub(crate) fn plain(data: &DataSet, preprocess: &Preprocess, pool: &Pool, photos: &[usize]) -> Result<Vec<u8>> {
    let open =
        |&i: &usize, _| decode::open(&data.pictures[i].path).map(|picture| preprocess.apply(&picture).into_raw());
    Ok(parallel::map(pool, photos, open).into_iter().collect::<std::result::Result<Vec<_>, _>>()?.concat())
}

impl Kept<'_> {
    fn batch(&self, photos: &[usize], view: Option<u32>) -> Result<Batch> {
        let len: usize = self.shape.iter().product();
        let mut values = vec![0.0; photos.len() * len];
        let row = view.map_or(0, |view| 1 + (view as usize - 1) % self.views);
        for (out, photo) in values.chunks_exact_mut(len).zip(photos) {
            self.file.read(self.places[photo] * (1 + self.views) + row, out)?;
        }
        Ok(Batch { shape: [&[photos.len()], &self.shape[..]].concat(), values: Values::F32(values) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_engine::Settings;
    use percept_learn::features::FeatureWriter;

    #[test]
    fn what_is_cut_of_a_photo_is_what_its_answer_loses() {
        let values = [vec![0; 8 * 8 * 3], vec![9; 8 * 8 * 3]].concat();
        let mut batch = Batch { shape: vec![2, 8, 8, 3], values: Values::U8(values) };
        let left = batch.cut(0.6, 3, 5).unwrap();
        let Values::U8(values) = batch.values else { unreachable!() };
        let kept = values[..8 * 8 * 3].iter().filter(|&&value| value == 0).count();
        assert!(left > 0.0 && left < 1.0);
        assert_eq!(kept as f32 / (8.0 * 8.0 * 3.0), left);
    }

    #[test]
    fn views_are_taken_in_turn_and_the_plain_photo_is_not_among_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let mut writer = FeatureWriter::create(&path, "", 2).unwrap();
        writer.append(&(0..12).map(|i| i as f32).collect::<Vec<_>>()).unwrap();
        writer.finish().unwrap();
        let file = FeatureFile::open(&path, "").unwrap();
        let feed = Feed::Kept(Kept::new(&file, &[7, 4], 2, &[2]));
        let pool = Settings::detect().unwrap().pool;
        let values = |view| match feed.batch(&pool, &[4, 7], view).unwrap().values {
            Values::F32(values) => values,
            Values::U8(_) => unreachable!(),
        };
        assert_eq!(values(None), [6.0, 7.0, 0.0, 1.0]);
        assert_eq!(values(Some(1)), [8.0, 9.0, 2.0, 3.0]);
        assert_eq!(values(Some(2)), [10.0, 11.0, 4.0, 5.0]);
        assert_eq!(values(Some(3)), values(Some(1)));
    }
}
