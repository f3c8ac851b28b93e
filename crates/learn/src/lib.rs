//! How a network learns.
//!
//! [`gradient`] makes the gradients of a network, [`trainer`] holds it while it learns. What a loop needs beside: [`optim`] moves the parameters
//! and schedules the learning rate, [`mix`] blends what is learned from, [`stopping`] says when to stop, a [`checkpoint`] lets it go on to the
//! same bits, and [`weights`] go to other tools and come back. [`lbfgs`] minimises a smooth function as a whole.
//!
//! For the last layer alone there are [`features`] that a frozen network left on disk, [`logistic`] and [`ridge`] regression on them, and Rosenblatt's
//! [`perceptron`]; [`calibrate`] makes probabilities mean what they say, [`metrics`] tell how good the result is, and [`confident`] finds labels that
//! are probably wrong.

pub mod calibrate;
pub mod checkpoint;
pub mod confident;
mod error;
pub mod features;
pub mod gaussian;
pub mod gradient;
mod kernels;
pub mod lbfgs;
pub mod logistic;
pub mod loss;
pub mod metrics;
pub mod mix;
pub mod optim;
pub mod perceptron;
pub mod random;
pub mod ridge;
pub mod spectral;
pub mod stopping;
pub mod trainer;
pub mod weights;
pub mod whiten;

pub use error::{Error, Result};
