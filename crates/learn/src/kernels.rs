//! The engine's inner loops as a linear classifier needs them: whole products of a chunk of rows, on one thread.

use crate::Result;
use crate::features::{CHUNK, Features};
use percept_engine::Settings;
use percept_engine::kernels::gradient::{Outer, add_outer};
use percept_engine::kernels::{Epilogue, Gemm, PackedB, gemm_whole, softmax};
use percept_engine::simd::Isa;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Parts of a table whose results are kept apart and then combined in order.
const SHARDS: usize = 16;

/// `features · coefficients + intercept` for many chunks of rows.
pub(crate) struct Linear<'a> {
    packed: PackedB,
    intercept: &'a [f32],
    isa: Isa,
}

impl<'a> Linear<'a> {
    /// A layer of `coefficients` (width × classes, row-major) and one `intercept` for each class.
    pub(crate) fn new(isa: Isa, coefficients: &[f32], intercept: &'a [f32]) -> Linear<'a> {
        let classes = intercept.len();
        let packed = PackedB::pack(isa, coefficients.len() / classes, classes, coefficients, [classes, 1]);
        Linear { packed, intercept, isa }
    }

    /// The logits of rows.
    pub(crate) fn logits(&self, rows: &[f32], logits: &mut [f32]) {
        let (width, classes) = (self.packed.k(), self.intercept.len());
        let epilogue = Epilogue { bias: Some(self.intercept), ..Epilogue::default() };
        gemm_whole(
            &Gemm { m: rows.len() / width, a: rows, lda: width, b: &self.packed, ldc: classes, epilogue },
            logits,
        );
    }

    /// The probabilities that logits stand for.
    pub(crate) fn probabilities(&self, logits: &[f32], probabilities: &mut [f32]) {
        softmax(self.isa, self.intercept.len(), logits, probabilities);
    }

    /// Adds `rowsᵀ · residuals` to the gradient of the coefficients; [`SLACK`](percept_engine::kernels::gradient::SLACK) more floats lie behind the residuals.
    pub(crate) fn add_gradient(&self, rows: &[f32], residuals: &[f32], gradient: &mut [f32]) {
        let (width, classes) = (self.packed.k(), self.intercept.len());
        add_outer(self.isa, &Outer::dense(rows.len() / width, rows, width, residuals, classes), gradient);
    }
}

/// Folds a table a chunk at a time: `f(state, rows, values)`. The rows are divided into a fixed number of shards, which run on all
/// threads and whose states come back in order, so that results do not depend on the number of threads.
pub(crate) fn fold_chunks<S: Send>(
    settings: &Settings,
    features: &dyn Features,
    state: impl Fn() -> S + Sync,
    f: impl Fn(&mut S, Range<usize>, &mut [f32]) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let (rows, width) = (features.rows(), features.width());
    let chunks = rows.div_ceil(CHUNK);
    let shards = chunks.min(SHARDS);
    let run = |shard: usize| {
        let mut state = state();
        let mut buffer = vec![0.0; CHUNK.min(rows) * width];
        for chunk in shard * chunks / shards..(shard + 1) * chunks / shards {
            let range = chunk * CHUNK..rows.min((chunk + 1) * CHUNK);
            let values = &mut buffer[..range.len() * width];
            features.read(range.start, values)?;
            f(&mut state, range, values)?;
        }
        Ok(state)
    };
    let results: Vec<Mutex<Option<Result<S>>>> = (0..shards).map(|_| Mutex::new(None)).collect();
    settings.pool.run(shards, &|shard, _| {
        *results[shard].lock().unwrap_or_else(PoisonError::into_inner) = Some(run(shard));
    });
    results.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}
