//! Reading a file that may be compressed, as a stream: its content says whether it is, and memory stays bounded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::Error;

/// What a decompressor may use; `xz -9` needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 512 << 10;
const BUFFER: usize = 1 << 16;

/// Opens a file and decompresses what it reads if the file begins as gzip (RFC 1952) or xz do.
pub(super) fn open(path: &Path) -> Result<BufReader<Box<dyn Read>>, Error> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path).map_err(Error::io("read", path))?);
    let start = file.fill_buf().map_err(Error::io("read", path))?;
    let stream: Box<dyn Read> = match start {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(XzReader::new_mem_limit(file, true, XZ_MEMORY_KIB)),
        _ => Box::new(file),
    };
    Ok(BufReader::with_capacity(BUFFER, stream))
}

/// Makes an error of reading one of the system, or of the file's content.
pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| match error.raw_os_error() {
        Some(_) => Error::io("read", path)(error),
        None => damaged(path, error.to_string()),
    }
}

/// The error for a file whose content is not what it should be.
pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Error {
    Error::Damaged { path: path.to_owned(), reason: reason.into() }
}
