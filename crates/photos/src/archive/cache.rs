//! Who is unpacking into the cache. Everybody who is shares its lock, so whoever gets it alone may clear away what killed
//! processes left behind.

use std::fs::{self, File};
use std::path::Path;

use crate::Error;

const LOCK: &str = ".lock";
/// What the names of folders that are being filled begin with.
pub(super) const UNFINISHED: &str = ".unpacking-";

/// Makes the cache and takes part in its lock as long as the file is open; clears it if nobody else does.
pub(super) fn enter(cache: &Path) -> Result<File, Error> {
    fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
    let lock = File::create(cache.join(LOCK)).map_err(Error::io("write to", cache))?;
    if lock.try_lock().is_ok() {
        clear(cache);
        let _ = lock.unlock();
    }
    // Where locks are not supported, nothing is cleared and none is needed.
    let _ = lock.lock_shared();
    Ok(lock)
}

fn clear(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            // What stays is tried again next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
