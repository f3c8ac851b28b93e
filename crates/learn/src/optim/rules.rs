//! The inner loops: one pass over parameters, gradients and moments each, which the compiler turns into vector instructions.

/// Adam, whose weight decay is part of the gradient or, decoupled, a step of its own.
pub(super) struct Adam {
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) epsilon: f32,
    pub(super) rate: f32,
    pub(super) decay: f32,
}

impl Adam {
    pub(super) fn step<const DECOUPLED: bool>(
        &self,
        step: u64,
        p: &mut [f32],
        g: &[f32],
        m: &mut [f32],
        v: &mut [f32],
    ) {
        let correction = |beta: f32| 1.0 - f64::from(beta).powi(i32::try_from(step).unwrap_or(i32::MAX));
        let size = (f64::from(self.rate) / correction(self.beta1)) as f32;
        let root = correction(self.beta2).sqrt() as f32;
        let (keep, b1, b2) = (1.0 - self.rate * self.decay, self.beta1, self.beta2);
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let g = if DECOUPLED { *g } else { g + self.decay * *p };
            *m += (g - *m) * (1.0 - b1);
            *v = *v * b2 + g * g * (1.0 - b2);
            let kept = if DECOUPLED { *p * keep } else { *p };
            *p = kept - size * *m / (v.sqrt() / root + self.epsilon);
        }
    }
}

/// Gradient descent with momentum.
pub(super) struct Sgd {
    pub(super) momentum: f32,
    pub(super) nesterov: bool,
    pub(super) rate: f32,
    pub(super) decay: f32,
}

impl Sgd {
    pub(super) fn step(&self, first_step: bool, p: &mut [f32], g: &[f32], m: &mut [f32]) {
        for ((p, g), m) in p.iter_mut().zip(g).zip(m) {
            let g = g + self.decay * *p;
            *m = if first_step { g } else { self.momentum * *m + g };
            *p -= self.rate * if self.nesterov { g + self.momentum * *m } else { *m };
        }
    }
}

/// RMSprop; the means of gradients and the last steps are lists without elements where they are not asked for.
pub(super) struct RmsProp {
    pub(super) alpha: f32,
    pub(super) epsilon: f32,
    pub(super) momentum: f32,
    pub(super) rate: f32,
    pub(super) decay: f32,
}

impl RmsProp {
    pub(super) fn step<const CENTERED: bool, const MOMENTUM: bool>(
        &self,
        p: &mut [f32],
        g: &[f32],
        squares: &mut [f32],
        means: &mut [f32],
        steps: &mut [f32],
    ) {
        // All of one length, which the compiler then knows, or not looked at.
        let n = p.len();
        let (g, squares) = (&g[..n], &mut squares[..n]);
        let (means, steps) = (&mut means[..if CENTERED { n } else { 0 }], &mut steps[..if MOMENTUM { n } else { 0 }]);
        for i in 0..n {
            let g = g[i] + self.decay * p[i];
            squares[i] = squares[i] * self.alpha + g * g * (1.0 - self.alpha);
            let mut variance = squares[i];
            if CENTERED {
                means[i] += (g - means[i]) * (1.0 - self.alpha);
                // Rounding may leave less than nothing of a gradient that never changes.
                variance = (variance - means[i] * means[i]).max(0.0);
            }
            let mut step = g / (variance.sqrt() + self.epsilon);
            if MOMENTUM {
                steps[i] = steps[i] * self.momentum + step;
                step = steps[i];
            }
            p[i] -= self.rate * step;
        }
    }
}

/// Adagrad.
pub(super) struct Adagrad {
    pub(super) epsilon: f32,
    pub(super) rate: f32,
    pub(super) decay: f32,
}

impl Adagrad {
    pub(super) fn step(&self, p: &mut [f32], g: &[f32], squares: &mut [f32]) {
        for ((p, g), sum) in p.iter_mut().zip(g).zip(squares) {
            let g = g + self.decay * *p;
            *sum += g * g;
            *p -= self.rate * g / (sum.sqrt() + self.epsilon);
        }
    }
}
