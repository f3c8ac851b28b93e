//! The frozen part, once for each view of each photo; its output is kept on disk.
//!
//! Photos are decoded once, in groups that fill a few batches, so memory does not grow with their number. What was computed before
//! is found again by a key of everything that it depends on.

use crate::event::Phase;
use crate::frozen::Frozen;
use crate::{Error, Result, parallel};
use percept_engine::{Input, Network, Settings};
use percept_learn::features::{FeatureFile, FeatureWriter, Features};
use percept_models::cache;
use percept_photos::augment::{Augment, Scratch, Source};
use percept_photos::decode;
use percept_photos::scan::{DataSet, Picture, Skipped};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Views that run through the network at once.
const BATCH: usize = 32;
/// Views that a group of photos makes at least.
const GROUP: usize = 64;
/// Photos whose time is taken to plan.
const MEASURED: usize = 24;
/// All kept features together take no more than this.
const MAX_KEPT: u64 = 4 << 30;

/// Features of photos: `1 + views` rows for each, the plain one first.
pub(crate) struct Extracted {
    pub(crate) file: FeatureFile,
    /// Positions in the data set of the photos that could be decoded, in the order of their rows.
    pub(crate) photos: Vec<usize>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Positions of photos that cannot be decoded, and why.
type Failed = Vec<(usize, Skipped)>;

/// Makes features of pictures.
pub(crate) struct Extractor<'a> {
    frozen: &'a Frozen,
    network: Network,
    augment: &'a Augment,
    seed: u64,
    settings: &'a Settings,
    scratch: Vec<Mutex<Scratch>>,
}

impl<'a> Extractor<'a> {
    pub(crate) fn new(frozen: &'a Frozen, augment: &'a Augment, seed: u64, settings: &'a Settings) -> Result<Self> {
        let network = Network::new(&frozen.graph, &frozen.params, settings.clone())?;
        let scratch = (0..settings.pool.threads()).map(|_| Mutex::default()).collect();
        Ok(Self { frozen, network, augment, seed, settings, scratch })
    }

    /// Seconds that a plain photo and a further view of it take, measured on a few of `photos`.
    pub(crate) fn measure(&mut self, data: &DataSet, photos: &[usize]) -> Result<(f64, f64)> {
        let sample: Vec<usize> = photos.iter().copied().step_by(photos.len().div_ceil(MEASURED).max(1)).collect();
        self.group(data, &sample[..1.min(sample.len())], 0)?;
        let mut seconds = [0.0; 2];
        for (views, seconds) in [0, 4].into_iter().zip(&mut seconds) {
            let start = Instant::now();
            self.group(data, &sample, views)?;
            *seconds = start.elapsed().as_secs_f64() / sample.len() as f64;
        }
        let [plain, five] = seconds;
        Ok((plain, ((five - plain) / 4.0).max(1e-5)))
    }

    /// Features of some photos of a data set, from disk if they were computed before.
    pub(crate) fn extract(
        &mut self,
        data: &DataSet,
        photos: &[usize],
        views: u32,
        phase: &mut Phase<'_>,
    ) -> Result<Extracted> {
        let key = self.key(data, photos, views)?;
        let folder = cache::folder()?.join("features");
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let path = folder.join(format!("{key}.f16"));
        let rows = 1 + views as usize;
        if let Ok(file) = FeatureFile::open(&path, &key)
            && file.rows() == photos.len() * rows
        {
            phase.note("The features of these photos are kept from an earlier run.");
            return Ok(Extracted { file, photos: photos.to_vec(), skipped: Vec::new() });
        }
        make_room(&folder, MAX_KEPT);
        let mut writer = FeatureWriter::create(&path, &key, self.frozen.width)?;
        let (mut decoded, mut skipped) = (Vec::new(), Vec::new());
        for group in photos.chunks(GROUP.div_ceil(rows)) {
            let (features, failed) = self.group(data, group, views)?;
            writer.append(&features)?;
            decoded.extend(group.iter().filter(|&&i| failed.iter().all(|(j, _)| *j != i)));
            skipped.extend(failed.into_iter().map(|(_, skipped)| skipped));
            phase.progress((decoded.len() + skipped.len()) as u64 * rows as u64);
        }
        writer.finish()?;
        Ok(Extracted { file: FeatureFile::open(&path, &key)?, photos: decoded, skipped })
    }

    /// The features of some photos (rows × width), and which photos could not be decoded.
    fn group(&mut self, data: &DataSet, photos: &[usize], views: u32) -> Result<(Vec<f32>, Failed)> {
        let pool = &self.settings.pool;
        let open = |&i: &usize, _| decode::open(&data.pictures[i].path).map(|picture| (i, picture)).map_err(|e| (i, e));
        let (mut decoded, mut failed) = (Vec::new(), Vec::new());
        for result in parallel::map(pool, photos, open) {
            match result {
                Ok(picture) => decoded.push(picture),
                Err((i, error)) => {
                    failed.push((i, Skipped { path: data.pictures[i].path.clone(), reason: error.reason() }));
                }
            }
        }
        let size = self.augment.size;
        let sources = parallel::map(pool, &decoded, |(i, picture), _| {
            (identity(data, &data.pictures[*i]), picture, (views > 0).then(|| Source::new(picture, size)))
        });
        let jobs: Vec<_> = (0..sources.len()).flat_map(|i| (0..=views).map(move |view| (i, view))).collect();
        let pictures = parallel::map(pool, &jobs, |&(i, view), thread| {
            let (identity, picture, source) = &sources[i];
            match source {
                Some(source) if view > 0 => {
                    let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
                    let mut out = vec![0; (size * size * 3) as usize];
                    let drawn = self.augment.draw(self.seed, *identity, view);
                    self.augment.apply_into(source, &drawn, &mut scratch, &mut out);
                    out
                }
                _ => self.frozen.origin.preprocess.apply(picture).into_raw(),
            }
        });
        Ok((self.run(&pictures)?, failed))
    }

    fn run(&mut self, pictures: &[Vec<u8>]) -> Result<Vec<f32>> {
        let (size, width) = (self.frozen.origin.preprocess.crop() as usize, self.frozen.width);
        let mut features = Vec::with_capacity(pictures.len() * width);
        let mut bytes = Vec::with_capacity(BATCH * size * size * 3);
        for batch in pictures.chunks(BATCH) {
            bytes.clear();
            batch.iter().for_each(|picture| bytes.extend_from_slice(picture));
            // One size of batch, so that one plan does.
            bytes.resize(BATCH * size * size * 3, 0);
            let plan = self.network.run(&[(&[BATCH, size, size, 3], Input::U8(&bytes))])?;
            features.extend_from_slice(&plan.output(0).1[..batch.len() * width]);
        }
        Ok(features)
    }

    /// A hash of all that features depend on.
    fn key(&self, data: &DataSet, photos: &[usize], views: u32) -> Result<String> {
        let json = |e: serde_json::Error| Error::Setting(format!("settings cannot be written: {e}"));
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(self.frozen.fingerprint.as_bytes());
        add(self.settings.isa.name().as_bytes());
        add(&serde_json::to_vec(&self.frozen.origin.preprocess).map_err(json)?);
        add(&serde_json::to_vec(self.augment).map_err(json)?);
        add(&self.seed.to_le_bytes());
        add(&views.to_le_bytes());
        for picture in photos.iter().map(|&i| &data.pictures[i]) {
            let info = std::fs::metadata(&picture.path).map_err(Error::io("read", &picture.path))?;
            let changed = info.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            add(picture.path.as_os_str().as_encoded_bytes());
            add(&info.len().to_le_bytes());
            add(&changed.map_or(0, |time| time.as_nanos()).to_le_bytes());
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A number that belongs to a picture wherever the data set lies.
pub(crate) fn identity(data: &DataSet, picture: &Picture) -> u64 {
    let path = picture.path.strip_prefix(&data.root).unwrap_or(&picture.path);
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    u64::from_le_bytes(std::array::from_fn(|i| hash[i]))
}

/// Deletes the oldest files of a folder until the others take no more than `limit` bytes.
fn make_room(folder: &Path, limit: u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<(std::time::SystemTime, u64, PathBuf)> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.metadata().ok()?.len(), entry.path())))
        .collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.0));
    let mut kept = 0;
    for (_, bytes, path) in files {
        kept += bytes;
        if kept > limit {
            // Another process may have deleted it; whatever stays is deleted next time.
            let _ = std::fs::remove_file(path);
        }
    }
}
