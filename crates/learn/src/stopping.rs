//! When to stop learning.

/// Stops a training whose loss on data held out gets no better (Prechelt, "Early Stopping – But When?", 1998).
///
/// Its state follows from the losses, so whoever goes on from a checkpoint observes those again.
///
/// ```
/// use percept_learn::stopping::EarlyStopping;
///
/// let mut stopping = EarlyStopping::new(2, 0.0);
/// let best = [0.9, 0.7, 0.8].map(|loss| stopping.observe(loss));
/// assert_eq!(best, [true, true, false]);
/// assert!(!stopping.is_over());
/// stopping.observe(0.7);
/// assert!(stopping.is_over());
/// assert_eq!(stopping.best(), Some((1, 0.7)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    patience: u32,
    min_delta: f64,
    best: Option<(usize, f64)>,
    observed: usize,
}

impl EarlyStopping {
    /// Stops after `patience` losses in a row that are not lower than the best by more than `min_delta`; never if `patience` is 0.
    pub fn new(patience: u32, min_delta: f64) -> Self {
        Self { patience, min_delta, best: None, observed: 0 }
    }

    /// Takes note of a loss; whether it is the best so far. A loss that is not a number never is.
    pub fn observe(&mut self, loss: f64) -> bool {
        let better = !loss.is_nan() && self.best.is_none_or(|(_, best)| loss < best - self.min_delta);
        if better {
            self.best = Some((self.observed, loss));
        }
        self.observed += 1;
        better
    }

    /// The best loss, after its place from 0.
    pub fn best(&self) -> Option<(usize, f64)> {
        self.best
    }

    /// Whether it is time to stop.
    pub fn is_over(&self) -> bool {
        let since = self.observed - self.best.map_or(0, |(place, _)| place + 1);
        self.patience > 0 && since >= self.patience as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_gains_count_as_none_and_no_patience_never_stops() {
        let mut stopping = EarlyStopping::new(2, 0.1);
        assert_eq!([1.0, 0.95, 0.91].map(|loss| stopping.observe(loss)), [true, false, false]);
        assert!(stopping.is_over());
        let mut endless = EarlyStopping::new(0, 0.0);
        assert!((0..100).all(|i| endless.observe(1.0) == (i == 0)) && !endless.is_over());
    }

    #[test]
    fn losses_that_are_no_numbers_are_never_the_best() {
        let mut stopping = EarlyStopping::new(2, 0.0);
        assert!(!stopping.observe(f64::NAN) && !stopping.is_over());
        assert!(stopping.observe(f64::INFINITY) && stopping.observe(2.0));
        assert!(!stopping.observe(f64::NAN) && !stopping.observe(2.0));
        assert_eq!((stopping.best(), stopping.is_over()), (Some((2, 2.0)), true));
    }
}
