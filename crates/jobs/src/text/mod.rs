//! What can be learned from text: to go on writing it, character by character, and to label sentences.

mod characters;
mod config;
mod fit;
pub mod language;
mod plan;
pub mod predict;
pub mod sample;
pub mod sentences;
mod streams;
mod words;

pub use characters::Characters;
pub use config::Config;
pub use sample::{Request, Sampler};

use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Longer texts are refused: a character takes several times as much memory while it is learned from.
const MAX_BYTES: u64 = 256 << 20;

/// Whether the lines of a file look as if each began with its label: two labels or more, each of them often.
///
/// # Errors
/// A file that cannot be read.
pub fn is_labelled(path: &Path) -> Result<bool> {
    Ok(words::is_labelled(&read(path)?))
}

/// The text of a file: UTF-8, or else Latin-1, where every byte is a character.
fn read(path: &Path) -> Result<String> {
    // A pipe or a device might never end.
    let length = std::fs::metadata(path).map_err(Error::io("read", path))?;
    if !length.is_file() || length.len() > MAX_BYTES {
        let reason = if length.is_file() { "is over 256 MB: give a part of it" } else { "is not a file" };
        return Err(Error::Setting(format!("{} {reason}", path.display())));
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    read.map_err(Error::io("read", path))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| e.as_bytes().iter().map(|&byte| char::from(byte)).collect()))
}
