//! What a user wants done: each job is one file.

pub mod event;
