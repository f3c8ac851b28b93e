//! Where pictures come from: scanning folders, decoding, resizing, splitting, augmenting and synthesising.

pub mod decode;
mod error;

pub use error::Error;
