//! Work on many items with the engine's threads.

use percept_engine::Pool;
use std::sync::{Mutex, PoisonError};

/// `f` of each item, in the items' order, computed on all threads of the pool; `f` also gets the thread's number.
pub(crate) fn map<'a, T: Sync, R: Send>(pool: &Pool, items: &'a [T], f: impl Fn(&'a T, usize) -> R + Sync) -> Vec<R> {
    let results: Vec<_> = items.iter().map(|_| Mutex::new(None)).collect();
    pool.run(items.len(), &|i, thread| {
        *results[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(f(&items[i], thread));
    });
    results.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}
