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

use crate::output::Folder;
use crate::{Error, Result};
use percept_graph::write_file;
use std::path::Path;

/// Whether the lines of a file look as if each began with its label: two labels or more, each of them often.
///
/// # Errors
/// A file that cannot be read.
pub fn is_labelled(path: &Path) -> Result<bool> {
    Ok(words::is_labelled(&read(path)?))
}

/// The text of a file: UTF-8, or else Latin-1, where every byte is a character.
fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| e.as_bytes().iter().map(|&byte| char::from(byte)).collect()))
}

fn write(folder: &Folder, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.path().join(name);
    write_file(&path, bytes).map_err(Error::io("write", &path))
}
