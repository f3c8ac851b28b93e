//! How a network runs: kernels, planner, executor.
