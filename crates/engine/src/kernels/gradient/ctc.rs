//! Connectionist temporal classification by the forward–backward algorithm in the log domain, for the planner and the reference (Graves et al.,
//! "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent Neural Networks", ICML 2006).

/// A sequence of labels to be aligned with log-probabilities of some times.
pub struct Ctc<'a> {
    /// Times.
    pub times: usize,
    /// The class that stands for no label.
    pub blank: usize,
    /// The labels.
    pub labels: &'a [i64],
}

impl Ctc<'_> {
    /// States: a blank before, between and behind the labels.
    fn states(&self) -> usize {
        2 * self.labels.len() + 1
    }

    /// Numbers of scratch memory for so many times and labels.
    pub fn scratch(times: usize, labels: usize) -> usize {
        (times + 2) * (2 * labels + 1)
    }

    fn class(&self, state: usize) -> usize {
        if state % 2 == 1 { self.labels[state / 2] as usize } else { self.blank }
    }

    /// Whether the blank before a state may be left out.
    fn skips(&self, state: usize) -> bool {
        state % 2 == 1 && state > 1 && self.labels[state / 2] != self.labels[state / 2 - 1]
    }

    /// Minus the log-probability of the labels. `emit` says the log-probability of a class at a time; unless the result is infinite,
    /// `posterior` is told, for each time and state, the class and the probability of being there given the labels.
    pub fn run(
        &self,
        emit: impl Fn(usize, usize) -> f64,
        scratch: &mut [f64],
        posterior: Option<impl FnMut(usize, usize, f64)>,
    ) -> f64 {
        let states = self.states();
        if self.times == 0 {
            return if self.labels.is_empty() { 0.0 } else { f64::INFINITY };
        }
        let (alphas, betas) = scratch.split_at_mut(self.times * states);
        for (s, alpha) in alphas[..states].iter_mut().enumerate() {
            *alpha = if s < 2 { emit(0, self.class(s)) } else { f64::NEG_INFINITY };
        }
        for t in 1..self.times {
            let (before, now) = alphas[(t - 1) * states..(t + 1) * states].split_at_mut(states);
            for s in 0..states {
                let from = |back: usize, open: bool| if open { before[s - back] } else { f64::NEG_INFINITY };
                now[s] = log_sum([before[s], from(1, s > 0), from(2, self.skips(s))]) + emit(t, self.class(s));
            }
        }
        let last = &alphas[(self.times - 1) * states..];
        let other = if states > 1 { last[states - 2] } else { f64::NEG_INFINITY };
        let total = log_sum([last[states - 1], other, f64::NEG_INFINITY]);
        let Some(mut posterior) = posterior.filter(|_| total > f64::NEG_INFINITY) else { return -total };
        // What may follow, the time itself left out.
        let (beta, after) = betas[..2 * states].split_at_mut(states);
        for t in (0..self.times).rev() {
            for s in 0..states {
                let to = |ahead: usize, open: bool| if open { after[s + ahead] } else { f64::NEG_INFINITY };
                let ahead = [after[s], to(1, s + 1 < states), to(2, s + 2 < states && self.skips(s + 2))];
                let end = if s + 2 >= states { 0.0 } else { f64::NEG_INFINITY };
                beta[s] = if t + 1 == self.times { end } else { log_sum(ahead) };
                posterior(t, self.class(s), (alphas[t * states + s] + beta[s] - total).exp());
            }
            for s in 0..states {
                after[s] = beta[s] + emit(t, self.class(s));
            }
        }
        -total
    }
}

/// log Σ eˣ
fn log_sum(x: [f64; 3]) -> f64 {
    let largest = x[0].max(x[1]).max(x[2]);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}
