//! How a network learns.
