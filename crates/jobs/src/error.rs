//! What can go wrong with a job.

use std::path::{Path, PathBuf};

/// An error of a job: one sentence that names the file or setting and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Pictures cannot be found, read or used.
    #[error(transparent)]
    Photos(#[from] percept_photos::Error),
    /// A network cannot be planned or run.
    #[error(transparent)]
    Engine(#[from] percept_engine::Error),
    /// A graph or model file is at fault.
    #[error(transparent)]
    Graph(#[from] percept_graph::Error),
    /// A classifier cannot be fitted or measured.
    #[error(transparent)]
    Learn(#[from] percept_learn::Error),
    /// Pretrained weights cannot be had.
    #[error(transparent)]
    Models(#[from] percept_models::Error),
    /// A model file is not a classifier of pictures that can be used.
    #[error("{}: {reason}", model.display())]
    Model {
        /// The file.
        model: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A recording cannot be read.
    #[error("cannot read the recording {}: {reason}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The output is there already.
    #[error("{} exists already: choose another output, or move it away", .0.display())]
    Exists(PathBuf),
    /// An unfinished run is there.
    #[error("{out}.part is an unfinished run: go on with `percept {verb} --resume {out}`, or remove it", out = out.display())]
    Unfinished {
        /// What it was to make.
        out: PathBuf,
        /// The verb that began it, such as `text train`.
        verb: &'static str,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(String),
}

/// The result of a job.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// What is wrong, for lists that name the file already.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Photos(error) => error.reason(),
            Self::Recording { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }

    pub(crate) fn model(path: &Path, reason: impl Into<String>) -> Self {
        Self::Model { model: path.into(), reason: reason.into() }
    }
}
