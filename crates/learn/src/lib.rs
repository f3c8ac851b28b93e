//! How a network learns.
//!
//! [`gradient`] makes the gradients of a network. For the last layer alone there are [`features`] that a frozen network left on
//! disk, and [`logistic`] and [`ridge`] regression on them; [`calibrate`] makes probabilities mean what they say, [`metrics`] tell how good
//! the result is, and [`confident`] finds labels that are probably wrong.

pub mod calibrate;
pub mod confident;
mod error;
pub mod features;
pub mod gaussian;
pub mod gradient;
mod kernels;
pub mod lbfgs;
pub mod logistic;
pub mod metrics;
pub mod optim;
pub mod ridge;
pub mod stopping;
pub mod trainer;

pub use error::{Error, Result};
