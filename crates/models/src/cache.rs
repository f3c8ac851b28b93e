//! Where fetched weights are kept.

use crate::Error;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The cache's folder: `PERCEPT_CACHE`, or `percept` in `XDG_CACHE_HOME`, or `~/.cache/percept`.
pub fn folder() -> Result<PathBuf, Error> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("PERCEPT_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("percept")))
        .or_else(|| set("HOME").map(|home| home.join(".cache").join("percept")))
        .ok_or(Error::NoCache)
}

/// The SHA-256 of some bytes in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs `work` while no other process does so for the same `path`; the lock is a file beside it.
pub(crate) fn locked<T>(path: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let folder = path.parent().ok_or(Error::NoCache)?;
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let lock = path.with_extension("lock");
    let file = File::create(&lock).map_err(Error::io(&lock))?;
    file.lock().map_err(Error::io(&lock))?;
    work()
}
