//! How a network runs: kernels, planner, executor.

pub mod kernels;
pub mod simd;
