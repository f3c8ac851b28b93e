//! Features: the rows of numbers that a frozen network makes of pictures, on which a classifier is then trained.
//!
//! They are read by position, a few rows at a time, so that memory does not grow with the number of pictures. One view over them,
//! [`Subset`], serves validation splits, fewer views in a search and pictures left out, without a copy.

mod store;

use crate::{Error, Result};
pub use store::{FeatureFile, FeatureWriter};

/// Rows read at a time: with 1,280 features they take 1.3 MB of memory on each thread.
pub(crate) const CHUNK: usize = 256;

/// A table of `rows` × `width` numbers.
pub trait Features: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// Number of features in a row.
    fn width(&self) -> usize;

    /// Fills `out` (k × width, row-major) with the `k` rows from `start` on; fails if there are not as many.
    fn read(&self, start: usize, out: &mut [f32]) -> Result<()>;
}

/// Features in memory, row-major.
///
/// ```
/// use percept_learn::features::{Features, Matrix};
/// let table = Matrix::new(vec![1.0, 2.0, 3.0, 4.0], 2)?;
/// assert_eq!((table.rows(), table.width()), (2, 2));
/// # Ok::<(), percept_learn::Error>(())
/// ```
pub struct Matrix {
    values: Vec<f32>,
    width: usize,
}

impl Matrix {
    /// A table of rows of `width` values; fails if they do not fill whole rows.
    pub fn new(values: Vec<f32>, width: usize) -> Result<Matrix> {
        if width == 0 {
            return Err(Error::Empty("features"));
        }
        Error::check_size("values in the last row", values.len() % width, 0)?;
        Ok(Matrix { values, width })
    }
}

impl Features for Matrix {
    fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    fn width(&self) -> usize {
        self.width
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        check_range(self, start, out)?;
        out.copy_from_slice(&self.values[start * self.width..][..out.len()]);
        Ok(())
    }
}

/// Some rows of a table, in any order; a row may be named more than once.
///
/// ```
/// use percept_learn::features::{Features, Matrix, Subset};
/// let table = Matrix::new(vec![1.0, 2.0, 3.0, 4.0], 1)?;
/// let even = Subset::new(&table, vec![0, 2])?;
/// let mut rows = [0.0; 2];
/// even.read(0, &mut rows)?;
/// assert_eq!(rows, [1.0, 3.0]);
/// # Ok::<(), percept_learn::Error>(())
/// ```
pub struct Subset<'a> {
    source: &'a dyn Features,
    rows: Vec<usize>,
}

impl<'a> Subset<'a> {
    /// The rows of `source` that `rows` names; fails if there is no such row.
    pub fn new(source: &'a dyn Features, rows: Vec<usize>) -> Result<Subset<'a>> {
        match rows.iter().find(|&&row| row >= source.rows()) {
            Some(&row) => {
                Err(Error::Size { what: "rows of features", found: source.rows(), expected: row.saturating_add(1) })
            }
            None => Ok(Subset { source, rows }),
        }
    }
}

impl Features for Subset<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.source.width()
    }

    fn read(&self, start: usize, mut out: &mut [f32]) -> Result<()> {
        check_range(self, start, out)?;
        let rows = &self.rows[start..][..out.len() / self.width()];
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            let (part, rest) = out.split_at_mut(run.len() * self.width());
            self.source.read(run[0], part)?;
            out = rest;
        }
        Ok(())
    }
}

/// Fails unless `out` takes whole rows that exist.
fn check_range(features: &(impl Features + ?Sized), start: usize, out: &[f32]) -> Result<()> {
    Error::check_size("values beyond whole rows", out.len() % features.width(), 0)?;
    let end = start.saturating_add(out.len() / features.width());
    if end > features.rows() {
        return Err(Error::Size { what: "rows of features", found: features.rows(), expected: end });
    }
    Ok(())
}
