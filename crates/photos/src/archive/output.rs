//! The folder that is being filled with files: the one place that writes while unpacking.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;

/// The file within an unpacked folder that lists what was left out; a scan passes over it since it is hidden.
const LEFT_OUT: &str = ".left-out";
/// How many of the entries left out are listed.
const MAX_LISTED: usize = 1000;

/// A new folder, and the cache that it lies in.
pub(super) struct Output<'a> {
    root: PathBuf,
    cache: PathBuf,
    /// The folder made last, since most files lie beside the one before.
    made: PathBuf,
    left_out: Vec<String>,
    files: u64,
    /// Is told how many files there are.
    progress: &'a mut dyn FnMut(u64),
}

impl<'a> Output<'a> {
    /// Makes the folder within `temporary`; errors name `cache`, which is what the user knows.
    pub(super) fn new(temporary: &Path, cache: &Path, progress: &'a mut dyn FnMut(u64)) -> Result<Self, Error> {
        let root = temporary.join("photos");
        let (made, cache, left_out) = (root.clone(), cache.to_owned(), Vec::new());
        let output = Self { root, cache, made, left_out, files: 0, progress };
        fs::create_dir(&output.root).map_err(output.failed())?;
        (output.progress)(0);
        Ok(output)
    }

    /// Makes a folder and those above it.
    pub(super) fn folder(&mut self, relative: &Path) -> Result<(), Error> {
        let path = self.root.join(relative);
        if path != self.made {
            fs::create_dir_all(&path).map_err(self.failed())?;
            self.made = path;
        }
        Ok(())
    }

    /// Makes a file; one of the same name that came before is replaced.
    pub(super) fn file(&mut self, relative: &Path) -> Result<File, Error> {
        self.folder(relative.parent().unwrap_or(Path::new("")))?;
        self.files += 1;
        (self.progress)(self.files);
        File::create(self.root.join(relative)).map_err(self.failed())
    }

    /// Wraps an error of writing.
    pub(super) fn failed(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        Error::io("unpack into", self.cache.clone())
    }

    /// Remembers an entry that was not unpacked.
    pub(super) fn leave_out(&mut self, name: &[u8], reason: &str) {
        if self.left_out.len() < MAX_LISTED {
            let name = String::from_utf8_lossy(name).replace(char::is_control, "\u{fffd}");
            self.left_out.push(format!("{reason}\t{name}\n"));
        }
    }

    /// Ends the work and returns the folder, or the one of this name within it.
    pub(super) fn finish(self, within: Option<&Path>) -> Result<PathBuf, Error> {
        let root = within.map_or_else(|| self.root.clone(), |within| self.root.join(within));
        if !self.left_out.is_empty() {
            fs::write(root.join(LEFT_OUT), self.left_out.concat()).map_err(self.failed())?;
        }
        Ok(root)
    }
}

/// The names and reasons that were remembered with an unpacked folder.
pub(super) fn left_out(folder: &Path) -> Vec<(String, String)> {
    let list = fs::read_to_string(folder.join(LEFT_OUT)).unwrap_or_default();
    let pair = |line: &str| line.split_once('\t').map(|(reason, name)| (name.to_owned(), reason.to_owned()));
    list.lines().filter_map(pair).collect()
}
