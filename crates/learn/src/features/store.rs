//! Features on disk: half precision, one row after the other.
//!
//! The file is written under a temporary name and renamed when it is complete, so a file that exists is whole, whatever happened.
//! Its key says what the features were computed from. Half precision costs a relative error of 2⁻¹¹ and halves the file.

use super::{Features, check_range};
use crate::{Error, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// First bytes of the file; the numbers after it are little-endian, as are the rows.
const MAGIC: &[u8; 8] = b"pctfeat1";
/// The longest key, in bytes.
const MAX_KEY: usize = 1 << 12;
/// Values converted at a time, on the stack.
const BLOCK: usize = 1 << 13;

#[cfg(target_endian = "big")]
compile_error!("features are kept as little-endian f16 and read as they are");

/// Writes a [`FeatureFile`]; what is not [finished](FeatureWriter::finish) is removed.
pub struct FeatureWriter {
    path: PathBuf,
    part: PathBuf,
    file: Option<BufWriter<File>>,
    width: usize,
    rows: usize,
    block: Vec<f16>,
}

impl FeatureWriter {
    /// Begins a file of rows of `width` features, computed from what `key` stands for (at most 4,096 bytes).
    pub fn create(path: &Path, key: &str, width: usize) -> Result<FeatureWriter> {
        if width == 0 {
            return Err(Error::Empty("features"));
        }
        if key.len() > MAX_KEY {
            return Err(Error::Size { what: "bytes of the features' key", found: key.len(), expected: MAX_KEY });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let file = File::create(&part).map_err(io_error("write", &part))?;
        let mut writer = FeatureWriter {
            path: path.to_owned(),
            part,
            file: Some(BufWriter::with_capacity(1 << 18, file)),
            width,
            rows: 0,
            block: Vec::new(),
        };
        let header =
            [&MAGIC[..], &(key.len() as u64).to_le_bytes(), &(width as u64).to_le_bytes(), key.as_bytes()].concat();
        writer.write(&header)?;
        Ok(writer)
    }

    /// Adds one or more rows; fails at the first value that half precision cannot hold.
    pub fn append(&mut self, values: &[f32]) -> Result<()> {
        Error::check_size("values beyond whole rows", values.len() % self.width, 0)?;
        let mut block = std::mem::take(&mut self.block);
        block.resize(values.len(), f16::ZERO);
        block.convert_from_f32_slice(values);
        if let Some(i) = block.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite { row: self.rows + i / self.width, column: i % self.width, value: values[i] });
        }
        self.write(bytemuck::cast_slice(&block))?;
        self.rows += values.len() / self.width;
        self.block = block;
        Ok(())
    }

    /// Rows added so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Completes the file and gives it its name.
    pub fn finish(mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            let error = io_error("write", &self.part);
            let done = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
            done.and_then(|()| fs::rename(&self.part, &self.path)).map_err(|e| {
                let _ = fs::remove_file(&self.part);
                error(e)
            })?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes).map_err(io_error("write", &self.part)),
            None => Ok(()),
        }
    }
}

impl Drop for FeatureWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// A complete file of features, read by position from any number of threads.
///
/// ```
/// use percept_learn::features::{FeatureFile, FeatureWriter, Features};
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("features");
/// let mut writer = FeatureWriter::create(&path, "lite0, seed 7", 2)?;
/// writer.append(&[1.0, 2.0, 3.0, 4.0])?;
/// writer.finish()?;
///
/// let features = FeatureFile::open(&path, "lite0, seed 7")?;
/// let mut row = [0.0; 2];
/// features.read(1, &mut row)?;
/// assert_eq!((features.rows(), row), (2, [3.0, 4.0]));
/// assert!(FeatureFile::open(&path, "lite0, seed 8").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FeatureFile {
    file: File,
    path: PathBuf,
    rows: usize,
    width: usize,
    start: u64,
}

impl FeatureFile {
    /// Opens the features that were computed from what `key` stands for.
    ///
    /// # Errors
    /// [`Error::Key`] if they were computed from something else, [`Error::Format`] if the file is damaged.
    pub fn open(path: &Path, key: &str) -> Result<FeatureFile> {
        let format = |reason: &str| Error::Format { path: path.to_owned(), reason: reason.to_owned() };
        let mut file = File::open(path).map_err(io_error("read", path))?;
        let mut head = [0; 24];
        file.read_exact(&mut head).map_err(|_| format("it is too short"))?;
        let number = |i: usize| u64::from_le_bytes(std::array::from_fn(|j| head[i + j]));
        if &head[..8] != MAGIC || number(8) > MAX_KEY as u64 {
            return Err(format("it begins differently"));
        }
        let mut found = vec![0; number(8) as usize];
        file.read_exact(&mut found).map_err(|_| format("it is too short"))?;
        let start = file.stream_position().map_err(io_error("read", path))?;
        let length = file.metadata().map_err(io_error("read", path))?.len() - start;
        let width = usize::try_from(number(16)).map_err(|_| format("its rows are too long"))?;
        let row =
            (width as u64).checked_mul(2).filter(|&row| row > 0).ok_or_else(|| format("its rows have no length"))?;
        if length % row != 0 {
            return Err(format("its last row is not complete"));
        }
        if found != key.as_bytes() {
            let found = String::from_utf8_lossy(&found).into_owned();
            return Err(Error::Key { path: path.to_owned(), expected: key.to_owned(), found });
        }
        Ok(FeatureFile { file, path: path.to_owned(), rows: (length / row) as usize, width, start })
    }
}

impl Features for FeatureFile {
    fn rows(&self) -> usize {
        self.rows
    }

    fn width(&self) -> usize {
        self.width
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        check_range(self, start, out)?;
        let mut position = self.start + 2 * start as u64 * self.width as u64;
        let mut block = [f16::ZERO; BLOCK];
        for part in out.chunks_mut(BLOCK) {
            let block = &mut block[..part.len()];
            read_at(&self.file, bytemuck::cast_slice_mut(block), position).map_err(io_error("read", &self.path))?;
            block.convert_to_f32_slice(part);
            position += 2 * part.len() as u64;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, position)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut position: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, position)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => (bytes, position) = (&mut bytes[n..], position + n as u64),
        }
    }
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}
