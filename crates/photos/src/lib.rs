//! Where pictures come from: scanning folders, decoding, resizing, splitting, augmenting and synthesising.

pub mod augment;
pub mod decode;
mod error;
pub mod sheet;

pub use error::Error;
