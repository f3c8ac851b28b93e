//! Where pictures come from: unpacking archives, scanning folders, finding copies, decoding, resizing, splitting, augmenting and synthesising.

pub mod archive;
pub mod augment;
pub mod decode;
mod duplicates;
mod error;
mod files;
pub mod near;
pub mod resize;
pub mod scan;
pub mod sheet;
pub mod split;
pub mod synthesise;
pub mod table;

pub use error::Error;
pub use scan::Skipped;
