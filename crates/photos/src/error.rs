//! What can go wrong with pictures: each message is one sentence that names the file or folder and says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A failure while finding, reading, checking or writing pictures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused; `action` is an infinitive such as "read" or "write".
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The folder or file of pictures does not exist.
    #[error("{} does not exist: give a picture, or a folder of pictures, that does", .0.display())]
    Missing(PathBuf),
    /// Neither a folder nor a CSV file.
    #[error("{} is neither a folder nor a .csv file of image,label: give one of the two", .0.display())]
    NotADataSet(PathBuf),
    /// Nothing that photos can be read from, packed or not.
    #[error(
        "{} is neither a folder, a .csv file of image,label, a tar archive (plain, gz or xz) nor an IDX file named \
         *images-idx3-ubyte: give one of these",
        .0.display()
    )]
    NotPhotos(PathBuf),
    /// A folder without a single file, or a CSV file without a line.
    #[error("{} is empty: put one sub-folder of pictures into it for each class", .0.display())]
    Empty(PathBuf),
    /// Files, but none of them a picture that can be used.
    #[error(
        "{} holds no picture that can be used: add JPEG, PNG or WebP files ({files} skipped, the first, {}: {reason})",
        path.display(),
        first.display()
    )]
    NoPictures {
        /// The folder or CSV file.
        path: PathBuf,
        /// How many files were skipped.
        files: usize,
        /// The first of them.
        first: PathBuf,
        /// Why it was skipped.
        reason: String,
    },
    /// Pictures, but no class folders.
    #[error(
        "{} holds pictures but no sub-folders: sort them into one sub-folder for each class",
        .0.display()
    )]
    NoClasses(PathBuf),
    /// Training needs something to tell apart.
    #[error("there is only one class, \"{0}\": add the pictures of at least one other class")]
    OneClass(String),
    /// Training needs a picture of each class to learn from, and one to check with.
    #[error(
        "class \"{class}\" has {pictures} different picture(s) to train with: add more of it, \
         until it has at least {needed}, or remove it"
    )]
    FewPictures {
        /// The class's name.
        class: String,
        /// How many different pictures it has.
        pictures: usize,
        /// How many it needs.
        needed: usize,
    },
    /// A picture that cannot be decoded.
    #[error("cannot read the picture {}: {reason}", path.display())]
    Decode {
        /// The picture.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A picture whose pixels would need more memory than [`crate::decode::MAX_PIXELS`] allows.
    #[error(
        "the picture {} has {width} × {height} pixels, over the limit of {} million: scale it down",
        path.display(),
        crate::decode::MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// The picture.
        path: PathBuf,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
    /// An archive or IDX file whose content is not what it should be.
    #[error("{} is damaged or cut short ({reason}): fetch it once more", path.display())]
    Damaged {
        /// The archive or IDX file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive or IDX file over the limits of [`crate::archive`].
    #[error("{} holds {exceeded}: unpack it by hand and give the folder", path.display())]
    TooMuch {
        /// The archive or IDX file.
        path: PathBuf,
        /// What it has too much of.
        exceeded: String,
    },
    /// An IDX file of pictures without the one of their labels, or the reverse.
    #[error("{} is of no use alone: put {missing} beside it", path.display())]
    Unpaired {
        /// The file that is there.
        path: PathBuf,
        /// The name of the one that is not.
        missing: String,
    },
    /// A table that cannot be used as it is.
    #[error("{}{}: {reason}", path.display(), place(*line, column))]
    Table {
        /// The table.
        path: PathBuf,
        /// The line, counted from 1; 0 if none is to blame.
        line: u64,
        /// The column's name; empty if none is to blame.
        column: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A setting outside its range.
    #[error("{name} is {value}: it must be {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
}

/// Where in a table.
fn place(line: u64, column: &str) -> String {
    let line = if line > 0 { format!(", line {line}") } else { String::new() };
    if column.is_empty() { line } else { format!("{line}, column \"{column}\"") }
}

impl Error {
    /// What is wrong, for lists that name the file already.
    ///
    /// ```
    /// # use percept_photos::Error;
    /// let error = Error::Decode { path: "a.jpg".into(), reason: "it ends early".into() };
    /// assert_eq!(error.reason(), "it ends early");
    /// ```
    pub fn reason(&self) -> String {
        match self {
            Self::Io { action, source, .. } => format!("cannot {action} it: {source}"),
            Self::Missing(_) => "it does not exist".into(),
            Self::Decode { reason, .. } => reason.clone(),
            Self::TooLarge { width, height, .. } => {
                format!("its {width} × {height} pixels are too many: scale it down")
            }
            other => other.to_string(),
        }
    }

    /// A mistake in a table; line 0 or an empty column if there is none to blame.
    pub(crate) fn table(path: &Path, line: u64, column: &str, reason: impl Into<String>) -> Self {
        Self::Table { path: path.to_owned(), line, column: column.into(), reason: reason.into() }
    }

    /// Returns a function that wraps an [`io::Error`] with what was attempted on which path, for `map_err`.
    ///
    /// ```
    /// # use percept_photos::Error;
    /// let error = std::fs::read("/no/such.jpg").map_err(Error::io("read", "/no/such.jpg"));
    /// assert!(error.unwrap_err().to_string().starts_with("cannot read /no/such.jpg: "));
    /// ```
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.as_ref().to_owned(), source }
    }
}
