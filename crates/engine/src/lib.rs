//! How a network runs: kernels, planner, executor.
//!
//! [`Network`] takes a [`Graph`](percept_graph::Graph) and its parameters, folds what is constant, and runs it through a [`Plan`] for
//! each size that it meets. [`kernels`] are the fast inner loops, written once over [`simd`]; [`reference`](mod@reference) computes the same in
//! plain loops and f64, and is what everything is tested against.

mod cpu;
mod error;
pub mod kernels;
mod machine;
mod network;
mod plan;
mod pool;
pub mod reference;
pub mod simd;

pub use error::Error;
pub use machine::Machine;
pub use network::Network;
pub use plan::{Input, Plan, Settings, Work};
pub use pool::Pool;
