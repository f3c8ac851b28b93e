//! Losses of rows and elements, and with them, where they are wanted, their gradients. Sums of a row or a block are of f32 lanes, all others f64.

use super::{read, write};
use crate::simd::{Isa, Kernel, Simd, math};
use percept_graph::ops::LossKind;

/// An error that names the first label that is no class, unless it is the one to ignore.
pub fn check_labels(labels: impl Iterator<Item = i64>, classes: usize, ignored: Option<i64>) -> Result<(), String> {
    let is_class = |label: i64| usize::try_from(label).is_ok_and(|label| label < classes) || Some(label) == ignored;
    match labels.enumerate().find(|&(_, label)| !is_class(label)) {
        Some((i, label)) => {
            Err(format!("label {label} at position {i} is none of {classes} classes, which count from 0"))
        }
        None => Ok(()),
    }
}

/// An error that names what does not fit of labels `[N, most]`, the lengths of the scores and of the labels.
pub fn check_lengths(
    [times, classes, most]: [usize; 3],
    blank: usize,
    labels: &[i64],
    inputs: &[i64],
    lengths: &[i64],
) -> Result<(), String> {
    check_labels(std::iter::once(blank as i64), classes, None).map_err(|e| format!("the blank: {e}"))?;
    for (list, longest, what) in [(inputs, times, "scores"), (lengths, most, "labels")] {
        let wrong = |length: i64| usize::try_from(length).map_or(true, |length| length > longest);
        if let Some(n) = list.iter().position(|&length| wrong(length)) {
            return Err(format!("sequence {n} has {} {what}: there are 0 to {longest}", list[n]));
        }
    }
    lengths.iter().enumerate().try_for_each(|(n, &length)| {
        let own = labels[n * most..][..length as usize].iter().copied();
        check_labels(own, classes, None).map_err(|e| format!("sequence {n}: {e}"))
    })
}

/// What rows of scores are held against.
#[derive(Clone, Copy)]
pub enum Targets<'a> {
    /// The label of a row, unless it does not count.
    Labels(&'a (dyn Fn(usize) -> Option<usize> + Sync)),
    /// Probabilities, as many as scores.
    Soft(&'a [f32]),
}

/// Rows of scores.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Scores of a row, at least one.
    pub classes: usize,
    /// The scores.
    pub x: &'a [f32],
    /// What they should be.
    pub targets: Targets<'a>,
    /// A weight for each class.
    pub weight: Option<&'a [f32]>,
    /// The factor of the gradient.
    pub scale: f32,
}

impl Rows<'_> {
    fn check(&self, slope: Option<&[f32]>) {
        assert!(self.classes > 0 && self.x.len().is_multiple_of(self.classes), "scores in rows of {}", self.classes);
        assert!(slope.is_none_or(|slope| slope.len() == self.x.len()), "scores and gradient");
        assert!(self.weight.is_none_or(|weight| weight.len() == self.classes), "a weight for each class");
        assert!(!matches!(self.targets, Targets::Soft(soft) if soft.len() != self.x.len()), "scores and targets");
    }
}

/// The sum over rows of `Σ q · (log Σ exp x − x)`, where q are the targets, of which all classes get the share `smoothing` alike, times the weights.
pub fn cross_entropy_rows(isa: Isa, rows: &Rows<'_>, smoothing: f32, mut slope: Option<&mut [f32]>) -> f64 {
    rows.check(slope.as_deref());
    let (c, mut sum) = (rows.classes, 0.0);
    let share = smoothing / c as f32;
    for (row, x) in rows.x.chunks_exact(c).enumerate() {
        let mut slope = slope.as_deref_mut().map(|slope| &mut slope[row * c..(row + 1) * c]);
        let label = if let Targets::Labels(label) = rows.targets { label(row) } else { None };
        let soft = if let Targets::Soft(soft) = rows.targets { Some(&soft[row * c..(row + 1) * c]) } else { None };
        if label.is_none() && soft.is_none() {
            slope.into_iter().for_each(|slope| slope.fill(0.0));
            continue;
        }
        let [largest, exps] = exps(isa, x, slope.as_deref_mut());
        let own = label.map_or(0.0, |label| (1.0 - smoothing) * rows.weight.map_or(1.0, |weight| weight[label]));
        let target = |class: usize| {
            let q = soft.map_or(share, |soft| (1.0 - smoothing) * soft[class] + share);
            rows.weight.map_or(q, |weight| weight[class] * q)
        };
        let (mut all, mut dot) = (f64::from(own), label.map_or(0.0, |l| f64::from(own) * (f64::from(x[l]) - largest)));
        let spread = soft.is_some() || smoothing > 0.0;
        if spread {
            all += lanes(c, target);
            dot += lanes(c, |class| target(class) * (x[class] - largest as f32));
        }
        sum += all * exps.ln() - dot;
        if let Some(slope) = &mut slope {
            let factor = (all / exps) as f32 * rows.scale;
            slope.iter_mut().for_each(|e| *e *= factor);
            if spread {
                slope.iter_mut().enumerate().for_each(|(class, slope)| *slope -= rows.scale * target(class));
            }
            label.into_iter().for_each(|label| slope[label] -= rows.scale * own);
        }
    }
    sum
}

/// A sum that compilers turn into vectors.
#[inline(always)]
fn lanes(n: usize, x: impl Fn(usize) -> f32) -> f64 {
    let mut sums = [0.0f32; 16];
    for first in (0..n).step_by(16) {
        for (i, sum) in sums.iter_mut().enumerate().take(n - first) {
            *sum += x(first + i);
        }
    }
    sums.iter().map(|&sum| f64::from(sum)).sum()
}

/// The largest number of a row, and the sum of the exponentials of the numbers less that; they go to `out`.
pub fn exps(isa: Isa, x: &[f32], out: Option<&mut [f32]>) -> [f64; 2] {
    assert!(out.as_ref().is_none_or(|out| out.len() == x.len()), "a row and its exponentials");
    let (mut largest, mut sum) = (0.0, 0.0);
    let out = out.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr);
    // SAFETY: `out` is null or as long as the row.
    unsafe { isa.run(Exps { x, out, largest: &mut largest, sum: &mut sum }) };
    [largest.into(), sum]
}

struct Exps<'a> {
    x: &'a [f32],
    out: *mut f32,
    largest: &'a mut f32,
    sum: &'a mut f64,
}

impl Kernel for Exps<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let blocks = || (0..self.x.len()).step_by(S::LANES).map(|i| (i, S::LANES.min(self.x.len() - i)));
        let mut all = [f32::NEG_INFINITY; 16];
        // SAFETY: blocks lie inside the row; no vector is longer than `all`.
        unsafe {
            let lowest = S::splat(f32::NEG_INFINITY);
            let mut most = lowest;
            for (i, n) in blocks() {
                most = S::max(S::join(read::<S>(self.x.as_ptr().add(i), n), lowest, n), most);
            }
            S::store(all.as_mut_ptr(), most);
            *self.largest = all.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let (largest, zero) = (S::splat(*self.largest), S::splat(0.0));
            let mut sums = zero;
            for (i, n) in blocks() {
                let e = math::exp::<S>(S::sub(read::<S>(self.x.as_ptr().add(i), n), largest));
                sums = S::add(sums, S::join(e, zero, n));
                if !self.out.is_null() {
                    write::<S>(self.out.add(i), e, n);
                }
            }
            all = [0.0; 16];
            S::store(all.as_mut_ptr(), sums);
        }
        *self.sum = all.iter().map(|&sum| f64::from(sum)).sum();
    }
}

/// The sum over rows of the mean over the other classes of `max(0, margin − score of the label + score)`, or of its square.
pub fn multi_margin_rows(rows: &Rows<'_>, margin: f32, squared: bool, mut slope: Option<&mut [f32]>) -> f64 {
    rows.check(slope.as_deref());
    let (c, mut sum) = (rows.classes, 0.0);
    for (row, x) in rows.x.chunks_exact(c).enumerate() {
        let Targets::Labels(label) = rows.targets else { break };
        let Some(label) = label(row) else { continue };
        let share = rows.weight.map_or(1.0, |weight| weight[label]) / c as f32;
        let over = |class: usize| if class == label { 0.0 } else { (margin - x[label] + x[class]).max(0.0) };
        let steep = |z: f32| if squared { 2.0 * z } else { f32::from(u8::from(z > 0.0)) };
        sum += f64::from(share) * lanes(c, |class| if squared { over(class) * over(class) } else { over(class) });
        if let Some(slope) = &mut slope {
            let factor = rows.scale * share;
            let own = &mut slope[row * c..(row + 1) * c];
            own.iter_mut().enumerate().for_each(|(class, slope)| *slope = factor * steep(over(class)));
            own[label] = -(lanes(c, |class| steep(over(class))) as f32) * factor;
        }
    }
    sum
}

/// Numbers and what they should be, side by side.
#[derive(Clone, Copy)]
pub struct Elements<'a> {
    /// A loss of one number.
    pub kind: &'a LossKind,
    /// The numbers.
    pub x: &'a [f32],
    /// What they should be.
    pub targets: &'a [f32],
    /// Weights.
    pub weight: Option<&'a [f32]>,
    /// Weights of positives.
    pub positive: Option<&'a [f32]>,
    /// The factor of the gradient.
    pub scale: f32,
}

/// The sum of the losses.
pub fn element_losses(isa: Isa, elements: &Elements<'_>, slope: Option<&mut [f32]>) -> f64 {
    let (len, mut sum) = (elements.x.len(), 0.0);
    let lists = [Some(elements.targets), elements.weight, elements.positive, slope.as_deref()];
    assert!(lists.iter().flatten().all(|list| list.len() == len), "as many of all");
    let out = slope.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr);
    // SAFETY: all lists have one length, and the gradient is null or has it too.
    unsafe { isa.run(ElementLosses { elements, out, sum: &mut sum }) };
    sum
}

struct ElementLosses<'a> {
    elements: &'a Elements<'a>,
    out: *mut f32,
    sum: &'a mut f64,
}

impl Kernel for ElementLosses<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: passed on; the arithmetic is inlined into what is compiled for the instruction set.
        unsafe {
            let (zero, one) = (S::splat(0.0), S::splat(1.0));
            let huber = |delta: f32, steep: f32| {
                move |x, t, _| {
                    let away = S::sub(x, t);
                    let (size, delta) = (S::max(away, S::sub(zero, away)), S::splat(delta));
                    let parabola = S::mul(S::splat(steep), S::div(away, delta));
                    let sign =
                        S::select_lt(away, zero, S::splat(-steep), S::select_lt(zero, away, S::splat(steep), zero));
                    let half = S::splat(0.5);
                    let line = S::mul(S::splat(steep), S::sub(size, S::mul(half, delta)));
                    let inside = S::mul(half, S::mul(parabola, away));
                    (S::select_lt(size, delta, inside, line), S::select_lt(size, delta, parabola, sign))
                }
            };
            match *self.elements.kind {
                LossKind::SquaredError => self.pass::<S>(|x, t, _| {
                    let away = S::sub(x, t);
                    (S::mul(away, away), S::add(away, away))
                }),
                LossKind::AbsoluteError => self.pass::<S>(huber(0.0, 1.0)),
                LossKind::Huber { delta, slope } => self.pass::<S>(huber(delta, slope)),
                LossKind::Hinge => self.pass::<S>(|x, t, _| {
                    let below = S::sub(one, S::mul(t, x));
                    (S::max(below, zero), S::select_lt(zero, below, S::sub(zero, t), zero))
                }),
                _ => self.pass::<S>(|x, t, positive| {
                    let negated = S::sub(zero, x);
                    let e = math::exp::<S>(S::min(x, negated));
                    let softplus = S::add(S::max(negated, zero), log_1p::<S>(e));
                    let (rest, factor) = (S::sub(one, t), S::mul_add(S::sub(positive, one), t, one));
                    let slope = S::sub(rest, S::mul(factor, math::sigmoid::<S>(negated)));
                    (S::mul_add(rest, x, S::mul(factor, softplus)), slope)
                }),
            }
        }
    }
}

impl ElementLosses<'_> {
    /// # Safety
    /// All lists have one length, and the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn pass<S: Simd>(self, loss: impl Fn(S::V, S::V, S::V) -> (S::V, S::V)) {
        const BLOCK: usize = 1024;
        let Elements { x, targets, weight, positive, scale, .. } = *self.elements;
        for first in (0..x.len()).step_by(BLOCK) {
            let mut all = [0.0f32; 16];
            // SAFETY: the lanes lie inside the lists; no vector is longer than `all`.
            unsafe {
                let (zero, one) = (S::splat(0.0), S::splat(1.0));
                let mut sums = zero;
                for i in (first..x.len().min(first + BLOCK)).step_by(S::LANES) {
                    let n = S::LANES.min(x.len() - i);
                    let of = |list: Option<&[f32]>| list.map_or(one, |list| read::<S>(list.as_ptr().add(i), n));
                    let weight = of(weight);
                    let (loss, slope) = loss(of(Some(x)), of(Some(targets)), of(positive));
                    sums = S::add(sums, S::join(S::mul(weight, loss), zero, n));
                    if !self.out.is_null() {
                        write::<S>(self.out.add(i), S::mul(S::mul(weight, S::splat(scale)), slope), n);
                    }
                }
                S::store(all.as_mut_ptr(), sums);
            }
            *self.sum += all.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        }
    }
}

/// log (1 + x) for x in 0..=1: 2 artanh s with s = x / (2 + x) ≤ 1/3, by its series.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn log_1p<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only; the caller vouches for the instruction set.
    unsafe {
        let s = S::div(x, S::add(S::splat(2.0), x));
        let z = S::mul(s, s);
        let mut p = S::splat(2.0 / 15.0);
        for k in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0f32] {
            p = S::mul_add(p, z, S::splat(2.0 / k));
        }
        S::mul(p, s)
    }
}
