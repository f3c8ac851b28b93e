//! How a network learns.
//!
//! What is here so far is the last layer: [`features`] that a frozen network left on disk, [`logistic`] regression on them,
//! [`calibrate`] for probabilities that mean what they say, and [`metrics`] that tell how good the result is.

pub mod calibrate;
mod error;
pub mod features;
mod kernels;
mod lbfgs;
pub mod logistic;
pub mod metrics;

pub use error::{Error, Result};
