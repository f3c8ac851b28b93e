//! What can go wrong while learning: each message says where, and what to do.

use std::io;
use std::path::PathBuf;

/// The result of anything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure while features are kept, a classifier is fitted or measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused; `action` is an infinitive such as "read" or "write".
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file that is not a whole file of features.
    #[error("{} is not a file of features ({reason}): delete it and it will be made again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Features that were computed from something else.
    #[error("{} holds the features of \"{found}\", not of \"{expected}\": compute them again", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key asked for.
        expected: String,
        /// The key in the file.
        found: String,
    },
    /// A file of tensors that cannot be read, or tensors that cannot be written.
    #[error("{} cannot be used as safetensors: {reason}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of tensors that are not the parameters of a network.
    #[error("{} does not hold the weights of \"{network}\": {reason}", path.display())]
    OtherWeights {
        /// The file.
        path: PathBuf,
        /// The network's name.
        network: String,
        /// What is missing, different or too much.
        reason: String,
    },
    /// A file that is not a whole checkpoint.
    #[error("{} is damaged ({reason}): remove it to begin anew", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An operator whose gradient is asked for and not known.
    #[error(
        "node \"{node}\" ({op}) has no derivative for what is asked of it: freeze what lies before it, or write it with other operators"
    )]
    NoDerivative {
        /// The node's name.
        node: String,
        /// Its operator.
        op: &'static str,
    },
    /// A network that cannot be trained as it is asked.
    #[error("{0}")]
    Network(String),
    /// The graph does not allow it.
    #[error(transparent)]
    Graph(#[from] percept_graph::Error),
    /// The engine cannot run it.
    #[error(transparent)]
    Engine(#[from] percept_engine::Error),
    /// A feature that is NaN, infinite, or too large for the 16 bits it is kept in.
    #[error("feature {column} of row {row} is {value}: the network's output must be finite and within ±65504")]
    NotFinite {
        /// Which row (picture or view), from 0.
        row: usize,
        /// Which feature or class, from 0.
        column: usize,
        /// What was found.
        value: f32,
    },
    /// A label that names no class.
    #[error("row {row} has label {label}, but there are {classes} classes: labels count from 0")]
    Label {
        /// Which row, from 0.
        row: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A weight that is negative, NaN or infinite.
    #[error("row {row} has weight {weight}: weights must be finite and not negative")]
    Weight {
        /// Which row, from 0.
        row: usize,
        /// Its weight.
        weight: f32,
    },
    /// Two things that must have the same size have not.
    #[error("{what}: {found} instead of {expected}")]
    Size {
        /// Of what.
        what: &'static str,
        /// The size it has.
        found: usize,
        /// The size it should have.
        expected: usize,
    },
    /// A setting outside of what makes sense.
    #[error("{name} is {value}: it must be {must}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What values it takes.
        must: &'static str,
    },
    /// Nothing to learn from or to measure on.
    #[error("there are no {0}: give at least one")]
    Empty(&'static str),
}

impl Error {
    /// `Ok` if two sizes agree.
    pub(crate) fn check_size(what: &'static str, found: usize, expected: usize) -> Result<()> {
        if found == expected { Ok(()) } else { Err(Error::Size { what, found, expected }) }
    }

    /// `Ok` if a setting is what it must be.
    pub(crate) fn check_setting(name: &'static str, value: f64, ok: bool, must: &'static str) -> Result<()> {
        if ok { Ok(()) } else { Err(Error::Setting { name, value, must }) }
    }

    /// `Ok` if every label names one of the classes.
    pub(crate) fn check_labels(labels: &[usize], classes: usize) -> Result<()> {
        match labels.iter().position(|&label| label >= classes) {
            Some(row) => Err(Error::Label { row, label: labels[row], classes }),
            None => Ok(()),
        }
    }
}
