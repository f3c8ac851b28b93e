//! How well a score tells two kinds of things apart.

/// The area under the receiver operating characteristic: the probability that one of `higher` has a greater score than one of `lower`,
/// where equal scores count half (Hanley and McNeil 1982). NaN if either is empty.
///
/// ```
/// use percept_learn::metrics::auroc;
/// assert_eq!(auroc(&[3.0, 2.0], &[1.0, 2.0]), 0.875);
/// ```
pub fn auroc(higher: &[f32], lower: &[f32]) -> f64 {
    let mut all: Vec<(f32, bool)> =
        higher.iter().map(|&x| (x, true)).chain(lower.iter().map(|&x| (x, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut wins, mut below) = (0.0, 0.0);
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        let up = same.iter().filter(|(_, higher)| *higher).count() as f64;
        let down = same.len() as f64 - up;
        wins += up * (below + down / 2.0);
        below += down;
    }
    wins / (higher.len() as f64 * lower.len() as f64)
}
