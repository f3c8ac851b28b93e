//! Tar archives (POSIX.1-1988 ustar, with the extensions of GNU and pax), plain or compressed.
//!
//! Only files and folders are made. Nothing is ever written through a link, as there are none, and a name that leads
//! upwards is left out, so nothing lands outside of the folder whatever the archive says. If all lies in one folder
//! (`flowers/<class>/1.jpg`), the classes are looked for within that folder.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use super::output::Output;
use super::{MAX_BYTES, MAX_ENTRIES, MAX_FILE_BYTES, stream};
use crate::decode::Format;
use crate::scan::Part;
use crate::{Error, files};

const BLOCK: usize = 512;
const CHUNK: u64 = 1 << 16;

/// What an archive may hold.
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) file_bytes: u64,
    pub(super) entries: u64,
}

pub(super) const LIMITS: Limits = Limits { bytes: MAX_BYTES, file_bytes: MAX_FILE_BYTES, entries: MAX_ENTRIES };

impl Limits {
    fn check(&self, archive: &Path, entries: u64, bytes: u64, file_bytes: u64) -> Result<(), Error> {
        let exceeded = if entries > self.entries {
            format!("over {} files and folders", self.entries)
        } else if bytes > self.bytes {
            format!("over {} bytes", self.bytes)
        } else if file_bytes > self.file_bytes {
            format!("a file of over {} bytes", self.file_bytes)
        } else {
            return Ok(());
        };
        Err(Error::TooMuch { path: archive.to_owned(), exceeded })
    }
}

/// Whether a file is a tar archive when decompressed.
pub(super) fn is_tar(path: &Path) -> Result<bool, Error> {
    let mut start = Vec::with_capacity(BLOCK);
    stream::open(path)?.take(BLOCK as u64).read_to_end(&mut start).map_err(stream::failed(path))?;
    Ok(start.get(257..262) == Some(b"ustar"))
}

/// Unpacks an archive and returns the folder that holds its classes.
pub(super) fn unpack(path: &Path, mut output: Output<'_>, limits: &Limits) -> Result<PathBuf, Error> {
    let failed = stream::failed(path);
    let mut archive = Archive::new(Tail { stream: stream::open(path)?, zeros: 0 });
    let mut layout = Layout::default();
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    for entry in archive.entries().map_err(&failed)? {
        let mut entry = entry.map_err(&failed)?;
        entries += 1;
        bytes = bytes.saturating_add(entry.size());
        limits.check(path, entries, bytes, entry.size())?;
        let name = match sorted(&entry) {
            Sorted::File(name) => name,
            Sorted::Folder(name) => {
                output.folder(&name)?;
                layout.add(&name, false);
                continue;
            }
            Sorted::Clutter => continue,
            Sorted::Refused(reason) => {
                output.leave_out(&entry.path_bytes(), reason);
                continue;
            }
        };
        let picture = copy(&mut entry, path, &name, &mut output)?;
        layout.add(&name, picture);
    }
    let mut tail = archive.into_inner();
    io::copy(&mut (&mut tail).take(limits.bytes), &mut io::sink()).map_err(&failed)?;
    if tail.zeros < BLOCK as u64 {
        return Err(stream::damaged(path, "the mark of its end is missing"));
    }
    output.finish(layout.top().map(Path::new))
}

/// What is to be done with an entry.
enum Sorted {
    File(PathBuf),
    Folder(PathBuf),
    Clutter,
    Refused(&'static str),
}

fn sorted<R: Read>(entry: &Entry<R>) -> Sorted {
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        return Sorted::Clutter;
    }
    let Some(name) = entry.path().ok().and_then(|name| inside(&name)) else {
        return Sorted::Refused("its name leads out of the archive");
    };
    if name.iter().any(files::is_clutter) {
        Sorted::Clutter
    } else if kind.is_dir() || (kind.is_file() && entry.path_bytes().ends_with(b"/")) {
        Sorted::Folder(name)
    } else if name.as_os_str().is_empty() {
        Sorted::Clutter
    } else if kind.is_file() {
        Sorted::File(name)
    } else if kind.is_symlink() || kind.is_hard_link() {
        Sorted::Refused("a link within an archive: pack the file itself")
    } else {
        Sorted::Refused("not a file")
    }
}

/// A name without `.`, or `None` if it leads upwards or starts at the root.
fn inside(name: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

/// Writes an entry's content, and tells whether it begins as a picture does.
fn copy<R: Read>(entry: &mut Entry<R>, archive: &Path, name: &Path, output: &mut Output<'_>) -> Result<bool, Error> {
    let mut file = output.file(name)?;
    let mut chunk = Vec::new();
    let (mut copied, mut picture) = (0, false);
    loop {
        chunk.clear();
        entry.take(CHUNK).read_to_end(&mut chunk).map_err(stream::failed(archive))?;
        if chunk.is_empty() {
            break;
        }
        picture |= copied == 0 && Format::of(&chunk).is_some();
        copied += chunk.len() as u64;
        file.write_all(&chunk).map_err(output.failed())?;
    }
    if copied < entry.size() {
        return Err(stream::damaged(archive, format!("it ends within {}", name.display())));
    }
    Ok(picture)
}

/// How the pictures of an archive lie, as far as it tells whether one folder holds all the classes.
#[derive(Default)]
struct Layout {
    top: Option<OsString>,
    several: bool,
    pictures: bool,
    /// Whether a picture lies directly within the top folder, which then is a class.
    shallow: bool,
}

impl Layout {
    fn add(&mut self, name: &Path, picture: bool) {
        let Some(first) = name.iter().next() else {
            return;
        };
        self.several |= self.top.get_or_insert_with(|| first.to_owned()) != first;
        self.pictures |= picture;
        self.shallow |= picture && name.iter().count() < 3;
    }

    /// The one folder that holds the classes; `train`, `val` and `test` say something and are kept.
    fn top(&self) -> Option<&OsStr> {
        let top = self.top.as_deref().filter(|top| Part::of(top).is_none())?;
        (self.pictures && !self.several && !self.shallow).then_some(top)
    }
}

/// Counts the zeros that a stream has ended with so far: tar's mark of the end is two blocks of them.
struct Tail<R> {
    stream: R,
    zeros: u64,
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        let zeros = buffer[..length].iter().rev().take_while(|&&byte| byte == 0).count();
        self.zeros = if zeros == length { self.zeros + zeros as u64 } else { zeros as u64 };
        Ok(length)
    }
}
