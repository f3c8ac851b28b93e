//! IDX files, the format of MNIST: all pictures in one file, their labels in another.
//!
//! A file begins with two zero bytes, a code for the type of its numbers, the number of dimensions, and the size of
//! each as a big-endian u32; the numbers follow. Pictures become grey PNG files, which keep every bit.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::output::Output;
use super::{MAX_BYTES, MAX_ENTRIES, stream};
use crate::{Error, files};

/// The longest side of a picture; more is taken for a damaged header.
const MAX_SIDE: u32 = 4096;
/// The type code of unsigned bytes.
const BYTES: u8 = 8;

/// A file of pictures and the file of their labels.
pub(super) struct Pair {
    /// What their names begin with.
    name: String,
    pub(super) images: PathBuf,
    pub(super) labels: PathBuf,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Images,
    Labels,
}

/// What the name of an IDX file begins with, and what the file holds.
fn meaning(path: &Path) -> Option<(String, Kind)> {
    let name = path.file_name().filter(|name| !files::is_clutter(name))?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let endings = [
        ("images-idx3-ubyte", Kind::Images),
        ("images.idx3-ubyte", Kind::Images),
        ("labels-idx1-ubyte", Kind::Labels),
        ("labels.idx1-ubyte", Kind::Labels),
    ];
    let (name, kind) = endings.iter().find_map(|(ending, kind)| Some((name.strip_suffix(ending)?, *kind)))?;
    Some((name.trim_end_matches(['-', '_', '.']).to_owned(), kind))
}

/// The IDX files of a folder that belong together.
#[derive(Default)]
struct Halves {
    images: Option<PathBuf>,
    labels: Option<PathBuf>,
}

impl Halves {
    fn set(&mut self, kind: Kind, path: PathBuf) {
        *(if kind == Kind::Images { &mut self.images } else { &mut self.labels }) = Some(path);
    }

    fn pair(self, name: String) -> Result<Option<Pair>, Error> {
        let alone = match (self.images, self.labels) {
            (None, None) => return Ok(None),
            (Some(images), Some(labels)) => return Ok(Some(Pair { name, images, labels })),
            (Some(alone), None) | (None, Some(alone)) => alone,
        };
        let missing = alone.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let missing = match missing.rsplit_once("images") {
            Some((start, end)) => format!("{start}labels{}", end.replace("idx3", "idx1")),
            None => missing.replace("labels", "images").replace("idx1", "idx3"),
        };
        Err(Error::Unpaired { path: alone, missing })
    }
}

/// The IDX files that lie directly in a folder, by what their names begin with; of two copies, the one unpacked.
fn halves_in(folder: &Path) -> Result<BTreeMap<String, Halves>, Error> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = read().map_err(Error::io("read", folder))?;
    paths.sort_unstable_by(|a, b| b.cmp(a));
    let mut found: BTreeMap<String, Halves> = BTreeMap::new();
    for path in paths {
        if let Some((name, kind)) = meaning(&path).filter(|_| path.is_file()) {
            found.entry(name).or_default().set(kind, path);
        }
    }
    Ok(found)
}

/// The pairs in a folder. A file without its partner is an error unless the folder is one of class folders.
pub(super) fn pairs_in(folder: &Path) -> Result<Vec<Pair>, Error> {
    let found = halves_in(folder)?;
    let complete = found.values().any(|halves| halves.images.is_some() && halves.labels.is_some());
    let folders = || fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_dir()));
    if found.is_empty() || (!complete && folders()) {
        return Ok(Vec::new());
    }
    found.into_iter().filter_map(|(name, halves)| halves.pair(name).transpose()).collect()
}

/// The pair that a file belongs to, if it is named as an IDX file.
pub(super) fn pair_of(path: &Path) -> Result<Option<Pair>, Error> {
    let Some((name, kind)) = meaning(path) else {
        return Ok(None);
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut halves = halves_in(folder)?.remove(&name).unwrap_or_default();
    halves.set(kind, path.to_owned());
    halves.pair(name)
}

/// Writes the pictures of all pairs as `<part>/<label>/<name>-<number>.png`, or without a part if that says nothing.
pub(super) fn unpack(pairs: &[Pair], mut output: Output<'_>) -> Result<PathBuf, Error> {
    let parts: Vec<_> = pairs.iter().map(|pair| part(&pair.name)).collect();
    let divided = parts.iter().all(Option::is_some) && parts.iter().any(|part| *part != parts[0]);
    for (pair, part) in pairs.iter().zip(parts) {
        pair.unpack(Path::new(part.filter(|_| divided).unwrap_or_default()), &mut output)?;
    }
    output.finish(None)
}

/// The part of a data set that a name tells of, by the first of its words that does.
fn part(name: &str) -> Option<&'static str> {
    let parts = [("train", "train"), ("t10k", "test"), ("test", "test"), ("val", "val")];
    let of = |word: &str| parts.iter().find_map(|(start, part)| word.starts_with(start).then_some(*part));
    name.to_ascii_lowercase().split(['-', '_', '.', ' ']).find_map(of)
}

impl Pair {
    fn unpack(&self, part: &Path, output: &mut Output<'_>) -> Result<(), Error> {
        let (mut labels, [count]) = open(&self.labels)?;
        let (mut images, [pictures, height, width]) = open(&self.images)?;
        self.check(count, pictures, height, width)?;
        let name = if self.name.is_empty() { "picture" } else { &self.name };
        let digits = count.saturating_sub(1).to_string().len();
        let mut pixels = vec![0; height as usize * width as usize];
        let (mut label, mut png) = ([0], Vec::new());
        for number in 0..count {
            labels.read_exact(&mut label).map_err(cut_short(&self.labels, count))?;
            images.read_exact(&mut pixels).map_err(cut_short(&self.images, count))?;
            png.clear();
            PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::NoFilter)
                .write_image(&pixels, width, height, ExtendedColorType::L8)
                .map_err(|error| stream::damaged(&self.images, error.to_string()))?;
            let path = part.join(label[0].to_string()).join(format!("{name}-{number:0digits$}.png"));
            output.file(&path)?.write_all(&png).map_err(output.failed())?;
        }
        ends(labels, &self.labels, count)?;
        ends(images, &self.images, count)
    }

    fn check(&self, labels: u32, pictures: u32, height: u32, width: u32) -> Result<(), Error> {
        let side = 1..=MAX_SIDE;
        if !side.contains(&height) || !side.contains(&width) {
            let reason = format!("its pictures have {width} × {height} pixels, a side may have 1 to {MAX_SIDE}");
            return Err(stream::damaged(&self.images, reason));
        }
        if labels != pictures {
            let other = self.images.display();
            let reason = format!("it has {labels} labels for the {pictures} pictures of {other}");
            return Err(stream::damaged(&self.labels, reason));
        }
        let bytes = u64::from(pictures) * u64::from(height * width);
        if u64::from(pictures) > MAX_ENTRIES || bytes > MAX_BYTES {
            let exceeded = format!("over {MAX_ENTRIES} pictures or {MAX_BYTES} bytes");
            return Err(Error::TooMuch { path: self.images.clone(), exceeded });
        }
        Ok(())
    }
}

/// Opens a file of bytes with `D` dimensions and reads their sizes.
fn open<const D: usize>(path: &Path) -> Result<(impl Read + use<D>, [u32; D]), Error> {
    let mut stream = stream::open(path)?;
    let mut word = [0; 4];
    stream.read_exact(&mut word).map_err(stream::failed(path))?;
    if word != [0, 0, BYTES, D as u8] {
        let (found, expected) = (u32::from_be_bytes(word), u32::from_be_bytes([0, 0, BYTES, D as u8]));
        return Err(stream::damaged(path, format!("it begins with 0x{found:08x} and not with 0x{expected:08x}")));
    }
    let mut sizes = [0; D];
    for size in &mut sizes {
        stream.read_exact(&mut word).map_err(stream::failed(path))?;
        *size = u32::from_be_bytes(word);
    }
    Ok((stream, sizes))
}

fn cut_short(path: &Path, count: u32) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::UnexpectedEof => stream::damaged(path, format!("it ends before the last of {count} entries")),
        _ => stream::failed(path)(error),
    }
}

/// Checks that nothing follows; reading the end also checks the sum of a compressed file.
fn ends(mut stream: impl Read, path: &Path, count: u32) -> Result<(), Error> {
    match stream.read(&mut [0]).map_err(stream::failed(path))? {
        0 => Ok(()),
        _ => Err(stream::damaged(path, format!("it goes on after the last of {count} entries"))),
    }
}
