//! The pictures that a GAN learns from, all in memory: they are small.

use super::Options;
use crate::event::{Events, Phase};
use crate::{Error, Result, format, parallel, photos};
use image::RgbImage;
use percept_engine::Settings;
use percept_photos::resize::{Filter, Preprocess};
use percept_photos::{Skipped, decode};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Bytes of all pictures together.
const MAX_BYTES: usize = 4 << 30;
/// Pictures that are decoded between two signs of progress.
const CHUNK: usize = 256;

/// Square pictures of bytes, `[N, channels, size, size]`.
pub(super) struct Pictures {
    bytes: Vec<u8>,
    /// Bytes of one.
    len: usize,
    /// 1 if all are grey.
    pub(super) channels: usize,
    /// What each shows; empty if there are no classes.
    labels: Vec<i64>,
    /// The names of the classes.
    pub(super) classes: Vec<String>,
    /// What was left out, and why.
    pub(super) skipped: Vec<Skipped>,
}

/// Pictures that were found, and their classes.
#[derive(Default)]
struct Found {
    paths: Vec<PathBuf>,
    labels: Vec<i64>,
    classes: Vec<String>,
    skipped: Vec<Skipped>,
}

impl Pictures {
    /// Reads all pictures that a folder, a file or an archive stands for: their shorter sides are brought to `size`, the middle is kept.
    pub(super) fn read(options: &Options, settings: &Settings, events: Events<'_>) -> Result<Self> {
        let size = options.size;
        let Found { paths, mut labels, classes, mut skipped } = find(options, &mut *events)?;
        if paths.len().saturating_mul(3 * size * size) > MAX_BYTES {
            let count = format::count(paths.len() as u64);
            let text =
                format!("{count} pictures of {size} pixels do not fit into 4 GB: give fewer, or a smaller --size");
            return Err(Error::Setting(text));
        }
        let side = size as u32;
        let preprocess = Preprocess::new(side, side, Filter::Bicubic)?;
        let mut phase = Phase::start(events, "Reading pictures", Some(paths.len() as u64), "pictures");
        let (mut colours, mut done) = (Vec::new(), 0);
        let mut readable = Vec::with_capacity(paths.len());
        for chunk in paths.chunks(CHUNK) {
            let read = |path: &PathBuf, _| decode::open(path).map(|picture| preprocess.apply(&picture));
            for (path, picture) in chunk.iter().zip(parallel::map(&settings.pool, chunk, read)) {
                readable.push(picture.is_ok());
                match picture {
                    Ok(picture) => colours.push(picture),
                    Err(error) => skipped.push(Skipped { path: path.clone(), reason: error.reason() }),
                }
            }
            done += chunk.len() as u64;
            phase.progress(done);
        }
        let mut readable = readable.into_iter();
        labels.retain(|_| readable.next().unwrap_or(false));
        if let Some(first) = skipped.first() {
            let (count, path) = (format::count(skipped.len() as u64), first.path.display());
            phase.warning(format!("{count} left out, such as {path}: {}", first.reason));
        }
        if colours.is_empty() {
            let text = format!("{} has no picture that can be used", options.photos.display());
            return Err(Error::Setting(text));
        }
        let channels = if colours.iter().all(is_grey) { 1 } else { 3 };
        let kind = if channels == 1 { "grey" } else { "in colour" };
        let of = if classes.is_empty() { String::new() } else { format!(" of {} classes", classes.len()) };
        phase.finish(format!("{} pictures{of}, {kind}", format::count(colours.len() as u64)));
        if let Some(class) = (0..classes.len()).find(|&class| !labels.contains(&(class as i64))) {
            let text = format!("no picture of \"{}\" can be read: replace or remove them", classes[class]);
            return Err(Error::Setting(text));
        }
        let bytes = colours.iter().flat_map(|picture| planes(picture, channels)).collect();
        Ok(Self { bytes, len: channels * size * size, channels, labels, classes, skipped })
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.len
    }

    /// Those that some numbers choose, all equally likely: their classes, if there are any, and bytes.
    pub(super) fn batch(&self, numbers: impl Iterator<Item = u64>) -> (Vec<i64>, Vec<u8>) {
        let (mut labels, mut bytes) = (Vec::new(), Vec::new());
        for number in numbers {
            let i = (number % self.len() as u64) as usize;
            labels.extend(self.labels.get(i));
            bytes.extend_from_slice(&self.bytes[i * self.len..][..self.len]);
        }
        (labels, bytes)
    }

    /// The classes, and how many pictures each has.
    pub(super) fn counts(&self) -> Vec<(String, usize)> {
        let mut counts: Vec<_> = self.classes.iter().map(|name| (name.clone(), 0)).collect();
        self.labels.iter().for_each(|&label| counts[label as usize].1 += 1);
        counts
    }

    /// What is different if one of them is.
    pub(super) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new_with_prefix(&self.bytes);
        for (name, count) in self.counts() {
            hash.update(format!("{name:?} {count}\n"));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The pictures with their classes if they have two at least, as `percept train` finds them, and if these are wanted.
fn find(options: &Options, events: Events<'_>) -> Result<Found> {
    use percept_photos::Error::{NoClasses, NotPhotos};
    if options.classes {
        match photos::survey(&options.photos, events) {
            Ok(data) if data.classes.len() > 1 => {
                let (labels, paths) = data.pictures.into_iter().map(|one| (one.class as i64, one.path)).unzip();
                return Ok(Found { paths, labels, classes: data.classes, skipped: data.skipped });
            }
            Ok(_) | Err(Error::Photos(NoClasses(_) | NotPhotos(_))) => {}
            Err(error) => return Err(error),
        }
    }
    let (listing, _) = photos::pictures(&options.photos)?;
    Ok(Found { paths: listing.pictures, skipped: listing.skipped, ..Found::default() })
}

fn is_grey(picture: &RgbImage) -> bool {
    picture.pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2])
}

/// The first channels of a picture one after the other.
fn planes(picture: &RgbImage, channels: usize) -> impl Iterator<Item = u8> {
    (0..channels).flat_map(|channel| picture.pixels().map(move |pixel| pixel.0[channel]))
}
