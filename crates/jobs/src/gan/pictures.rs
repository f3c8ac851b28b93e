//! The pictures that a GAN learns from, all in memory: they are small.

use crate::event::{Events, Phase};
use crate::{Error, Result, format, parallel, photos};
use image::RgbImage;
use percept_engine::Settings;
use percept_photos::decode;
use percept_photos::resize::{Filter, Preprocess};
use sha2::{Digest, Sha256};
use std::path::Path;

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
}

impl Pictures {
    /// Reads all pictures that a folder, a file or an archive stands for: their shorter sides are brought to `size`, the middle is kept.
    pub(super) fn read(root: &Path, size: usize, settings: &Settings, events: Events<'_>) -> Result<Self> {
        let (listing, _) = photos::pictures(root)?;
        if listing.pictures.len().saturating_mul(3 * size * size) > MAX_BYTES {
            let count = format::count(listing.pictures.len() as u64);
            let text =
                format!("{count} pictures of {size} pixels do not fit into 4 GB: give fewer, or a smaller --size");
            return Err(Error::Setting(text));
        }
        let side = size as u32;
        let preprocess = Preprocess::new(side, side, Filter::Bicubic)?;
        let mut phase = Phase::start(events, "Reading pictures", Some(listing.pictures.len() as u64), "pictures");
        let (mut colours, mut skipped) = (Vec::new(), listing.skipped);
        for chunk in listing.pictures.chunks(CHUNK) {
            let read = |path: &std::path::PathBuf, _| decode::open(path).map(|picture| preprocess.apply(&picture));
            for (path, picture) in chunk.iter().zip(parallel::map(&settings.pool, chunk, read)) {
                match picture {
                    Ok(picture) => colours.push(picture),
                    Err(error) => skipped.push(percept_photos::Skipped { path: path.clone(), reason: error.reason() }),
                }
            }
            phase.progress((colours.len() + skipped.len()) as u64);
        }
        if let Some(first) = skipped.first() {
            let (count, path) = (format::count(skipped.len() as u64), first.path.display());
            phase.warning(format!("{count} left out, such as {path}: {}", first.reason));
        }
        if colours.is_empty() {
            return Err(Error::Setting(format!("{} has no picture that can be used", root.display())));
        }
        let channels = if colours.iter().all(is_grey) { 1 } else { 3 };
        let kind = if channels == 1 { "grey" } else { "in colour" };
        phase.finish(format!("{} pictures, {kind}", format::count(colours.len() as u64)));
        let bytes = colours.iter().flat_map(|picture| planes(picture, channels)).collect();
        Ok(Self { bytes, len: channels * size * size, channels })
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.len
    }

    /// Those that some numbers choose, all equally likely.
    pub(super) fn batch(&self, numbers: impl Iterator<Item = u64>) -> Vec<u8> {
        let one = |number| {
            let i = (number % self.len() as u64) as usize;
            &self.bytes[i * self.len..][..self.len]
        };
        numbers.flat_map(one).copied().collect()
    }

    /// What is different if one of them is.
    pub(super) fn fingerprint(&self) -> String {
        Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn is_grey(picture: &RgbImage) -> bool {
    picture.pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2])
}

/// The first channels of a picture one after the other.
fn planes(picture: &RgbImage, channels: usize) -> impl Iterator<Item = u8> {
    (0..channels).flat_map(|channel| picture.pixels().map(move |pixel| pixel.0[channel]))
}
