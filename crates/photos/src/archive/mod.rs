//! Photos that come packed: tar archives and MNIST's IDX files, unpacked once into a cache of ordinary files.
//!
//! Everything after the scan works with paths of files, which can be opened in any order and by many threads; neither
//! a compressed archive nor an IDX file offers that. So an archive becomes a folder, and from there on it is one.
//! The folder's name is a hash of the archive's path, length and time of change, so a changed archive is unpacked
//! anew. It gets that name only when whole: whatever carries the name is complete, even after a kill.
//!
//! An archive is recognised by its content. IDX files are recognised by their names, because only the names say which
//! images and labels belong together.

mod cache;
mod idx;
mod output;
mod stream;
mod tarball;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::{Error, Skipped, files};
use output::Output;

/// How many bytes an archive may hold when unpacked; more is taken for a decompression bomb.
pub const MAX_BYTES: u64 = 64 << 30;
/// How many bytes a single file of an archive may hold.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// How many files and folders an archive may hold.
pub const MAX_ENTRIES: u64 = 5_000_000;

/// To be raised when the same archive would give other files.
const FORMAT_VERSION: u64 = 1;

/// Unpacks a tar archive (plain, gz or xz), a folder of IDX pairs, or the pair that an IDX file belongs to, into a
/// folder within `cache`, and returns that folder; `None` if `path` is none of these.
///
/// An archive that did not change since is not unpacked a second time. Links, devices and names that lead out of the
/// archive are left out, see [`left_out`]. While it unpacks, `progress` is told how many files there are, from 0 on. What
/// killed processes had begun to unpack is removed.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path();
/// let unpacked = percept_photos::archive::unpack(path, &path.join("cache"), &mut |_| ())?;
/// assert_eq!(unpacked, None, "an ordinary folder stays as it is");
/// # Ok::<(), percept_photos::Error>(())
/// ```
///
/// # Errors
/// [`Error::Missing`], [`Error::Damaged`], [`Error::TooMuch`], [`Error::Unpaired`], and [`Error::Io`] if a file cannot
/// be read or the cache not be written.
pub fn unpack(path: &Path, cache: &Path, progress: &mut dyn FnMut(u64)) -> Result<Option<PathBuf>, Error> {
    let Some(packed) = Packed::of(path)? else {
        return Ok(None);
    };
    let target = cache.join(packed.key()?);
    if target.is_dir() {
        return Ok(Some(target));
    }
    let _lock = cache::enter(cache)?;
    let temporary =
        tempfile::Builder::new().prefix(cache::UNFINISHED).tempdir_in(cache).map_err(Error::io("write to", cache))?;
    let whole = packed.unpack(Output::new(temporary.path(), cache, progress)?)?;
    match fs::rename(whole, &target) {
        // If it exists by now, another process was faster and has unpacked the same.
        Err(error) if !target.is_dir() => Err(Error::io("create", &target)(error)),
        _ => Ok(Some(target)),
    }
}

/// Whether [`unpack`] has something to do with this path: an archive, an IDX file, or a folder of these.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// assert!(!percept_photos::archive::is_packed(folder.path())?);
/// # Ok::<(), percept_photos::Error>(())
/// ```
///
/// # Errors
/// [`Error::Missing`], [`Error::Damaged`], [`Error::Unpaired`], and [`Error::Io`] if it cannot be read.
pub fn is_packed(path: &Path) -> Result<bool, Error> {
    Packed::of(path).map(|packed| packed.is_some())
}

/// What [`unpack`] left out of the archive when it made this folder, and why.
///
/// ```
/// let folder = std::path::Path::new("an/ordinary/folder");
/// assert_eq!(percept_photos::archive::left_out(folder, "photos.tar".as_ref()), []);
/// ```
#[must_use]
pub fn left_out(unpacked: &Path, archive: &Path) -> Vec<Skipped> {
    output::left_out(unpacked).into_iter().map(|(name, reason)| Skipped::new(archive.join(name), reason)).collect()
}

enum Packed {
    Tar(PathBuf),
    Idx(Vec<idx::Pair>),
}

impl Packed {
    fn of(path: &Path) -> Result<Option<Self>, Error> {
        let metadata = files::existing(path)?;
        let pairs = if metadata.is_dir() { idx::pairs_in(path)? } else { idx::pair_of(path)?.into_iter().collect() };
        if !pairs.is_empty() {
            return Ok(Some(Self::Idx(pairs)));
        }
        let tar = metadata.is_file() && tarball::is_tar(path)?;
        Ok(tar.then(|| Self::Tar(path.to_owned())))
    }

    fn files(&self) -> Vec<&Path> {
        match self {
            Self::Tar(path) => vec![path],
            Self::Idx(pairs) => pairs.iter().flat_map(|pair| [&*pair.images, &*pair.labels]).collect(),
        }
    }

    /// The name of the folder that it is unpacked to.
    fn key(&self) -> Result<String, Error> {
        let mut hash = Sha256::new_with_prefix(FORMAT_VERSION.to_le_bytes());
        for file in self.files() {
            let read = Error::io("read", file);
            let known = || {
                let metadata = fs::metadata(file)?;
                Ok((fs::canonicalize(file)?, metadata.len(), metadata.modified()?))
            };
            let (path, length, changed) = known().map_err(read)?;
            let path = path.as_os_str().as_encoded_bytes();
            let since = changed.duration_since(UNIX_EPOCH).unwrap_or_else(|before| before.duration());
            hash.update((path.len() as u64).to_le_bytes());
            hash.update(path);
            hash.update(length.to_le_bytes());
            hash.update(since.as_nanos().to_le_bytes());
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn unpack(&self, output: Output<'_>) -> Result<PathBuf, Error> {
        match self {
            Self::Tar(path) => tarball::unpack(path, output, &tarball::LIMITS),
            Self::Idx(pairs) => idx::unpack(pairs, output),
        }
    }
}

#[cfg(test)]
mod tests;
