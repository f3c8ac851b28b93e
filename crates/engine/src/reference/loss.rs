//! Losses and their gradients.

use super::{Array, position, shown};
use crate::kernels::gradient::{Ctc, check_labels, check_lengths};
use percept_graph::ops::{Loss, LossKind, Reduction};

pub(super) fn loss(given: &[Option<&Array>], op: &Loss) -> Result<Vec<Array>, String> {
    let [Some(x), Some(targets), rest @ ..] = given else { return Err("takes 2 inputs or more".into()) };
    let rest = [0, 1].map(|i| rest.get(i).copied().flatten());
    let mut slope = Array { data: vec![0.0; x.data.len()], ..(*x).clone() };
    let (sum, mut total) = match &op.kind {
        LossKind::SoftmaxCrossEntropy { .. } | LossKind::MultiMargin { .. } => {
            rows(x, targets, rest[0], &op.kind, &mut slope)?
        }
        LossKind::Ctc { blank, zero_infinity } => {
            let [Some(inputs), Some(lengths)] = rest else { return Err("lacks the lengths".into()) };
            let mean = op.reduction == Reduction::Mean;
            ctc(x, [targets, inputs, lengths], (*blank, *zero_infinity, mean), &mut slope)?
        }
        kind => elements(x, targets, rest, kind, &mut slope),
    };
    if op.reduction == Reduction::Sum {
        total = 1.0;
    }
    // Of rows that do not count, the slope is 0 even if none counts.
    slope.data.iter_mut().filter(|slope| **slope != 0.0).for_each(|slope| *slope /= total);
    Ok(vec![Array { dtype: x.dtype, shape: Vec::new(), data: vec![sum / total] }, slope])
}

/// The sum of the losses of all rows, and what a mean divides by.
fn rows(
    x: &Array,
    targets: &Array,
    weight: Option<&Array>,
    kind: &LossKind,
    slope: &mut Array,
) -> Result<(f64, f64), String> {
    let (classes, inner) = (x.shape[1], x.shape[2..].iter().product::<usize>().max(1));
    let (soft, ignored) = match kind {
        LossKind::SoftmaxCrossEntropy { ignore_index, .. } => (targets.dtype.is_float(), Some(*ignore_index)),
        _ => (false, None),
    };
    if !soft {
        check_labels(targets.data.iter().map(|&label| label as i64), classes, ignored)?;
    }
    let weights: Vec<f64> = weight.map_or(vec![1.0; classes], |weight| weight.data.clone());
    let (mut sum, mut total) = (0.0, 0.0);
    for row in 0..x.data.len() / classes.max(1) {
        let at = |class: usize| (row / inner * classes + class) * inner + row % inner;
        let label = if soft { 0 } else { targets.data[row] as i64 };
        if !soft && Some(label) == ignored {
            continue;
        }
        let own = if soft || !kind.is_weighted_mean() { 1.0 } else { weights[label as usize] };
        total += own;
        let scores: Vec<f64> = (0..classes).map(|class| x.data[at(class)]).collect();
        match kind {
            LossKind::SoftmaxCrossEntropy { label_smoothing, .. } => {
                let smooth = f64::from(*label_smoothing);
                let target = |class: usize| {
                    let hard = if soft { targets.data[at(class)] } else { f64::from(u8::from(class as i64 == label)) };
                    weights[class] * ((1.0 - smooth) * hard + smooth / classes as f64)
                };
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let log_sum = largest + scores.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
                let all: f64 = (0..classes).map(target).sum();
                for (class, &score) in scores.iter().enumerate() {
                    let target = target(class);
                    sum += if target == 0.0 { 0.0 } else { target * (log_sum - score) };
                    slope.data[at(class)] = (score - log_sum).exp() * all - target;
                }
            }
            LossKind::MultiMargin { margin, squared } => {
                let (label, share) = (label as usize, weights[label as usize] / classes as f64);
                for class in (0..classes).filter(|&class| class != label) {
                    let over = (f64::from(*margin) - scores[label] + scores[class]).max(0.0);
                    let steep = if *squared { 2.0 * over } else { f64::from(u8::from(over > 0.0)) };
                    sum += share * if *squared { over * over } else { over };
                    slope.data[at(class)] += share * steep;
                    slope.data[at(label)] -= share * steep;
                }
            }
            _ => return Err("has no rows".into()),
        }
    }
    Ok((sum, total))
}

fn ctc(
    x: &Array,
    [labels, inputs, lengths]: [&Array; 3],
    (blank, zero_infinity, mean): (usize, bool, bool),
    slope: &mut Array,
) -> Result<(f64, f64), String> {
    let ([times, batch, classes], most) = ([x.shape[0], x.shape[1], x.shape[2]], labels.shape[1]);
    let integers = |x: &Array| x.data.iter().map(|&x| x as i64).collect::<Vec<_>>();
    let [labels, inputs, lengths] = [labels, inputs, lengths].map(integers);
    check_lengths([times, classes, most], blank, &labels, &inputs, &lengths)?;
    let mut sum = 0.0;
    for n in 0..batch {
        let (own, row) = (inputs[n] as usize, |t: usize| (t * batch + n) * classes);
        let labels = &labels[n * most..][..lengths[n] as usize];
        let share = if mean { 1.0 / labels.len().max(1) as f64 } else { 1.0 };
        let logs: Vec<f64> = (0..own)
            .flat_map(|t| {
                let scores = &x.data[row(t)..row(t) + classes];
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let log_sum = largest + scores.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
                scores.iter().map(move |x| x - log_sum)
            })
            .collect();
        for t in 0..own {
            for class in 0..classes {
                slope.data[row(t) + class] = share * logs[t * classes + class].exp();
            }
        }
        let mut scratch = vec![0.0; Ctc::scratch(own, labels.len())];
        let posterior = |t: usize, class: usize, p: f64| slope.data[row(t) + class] -= share * p;
        let loss = Ctc { times: own, blank, labels }.run(|t, c| logs[t * classes + c], &mut scratch, Some(posterior));
        if loss.is_infinite() {
            let fill = if zero_infinity { 0.0 } else { f64::NAN };
            (0..own).for_each(|t| slope.data[row(t)..row(t) + classes].fill(fill));
        }
        sum += if loss.is_infinite() && zero_infinity { 0.0 } else { share * loss };
    }
    Ok((sum, batch as f64))
}

fn elements(x: &Array, targets: &Array, rest: [Option<&Array>; 2], kind: &LossKind, slope: &mut Array) -> (f64, f64) {
    let (mut sum, mut total) = (0.0, 0.0);
    for i in 0..x.data.len() {
        let at = position(&x.shape, i);
        let [weight, positive] = rest.map(|list| list.map_or(1.0, |list| list.data[shown(&list.shape, &at)]));
        let (loss, own) = element(kind, x.data[i], targets.data[i], positive);
        slope.data[i] = weight * own;
        sum += weight * loss;
        total += if kind.is_weighted_mean() { weight } else { 1.0 };
    }
    (sum, total)
}

/// A loss of one number, and its slope.
fn element(kind: &LossKind, x: f64, t: f64, positive: f64) -> (f64, f64) {
    let away = x - t;
    let sign = if away == 0.0 { 0.0 } else { away.signum() };
    match kind {
        LossKind::SquaredError => (away * away, 2.0 * away),
        LossKind::AbsoluteError => (away.abs(), sign),
        LossKind::Huber { delta, slope } => {
            let (delta, slope) = (f64::from(*delta), f64::from(*slope));
            match away.abs() < delta {
                true => (slope / delta * away * away / 2.0, slope / delta * away),
                false => (slope * (away.abs() - delta / 2.0), slope * sign),
            }
        }
        LossKind::Hinge => ((1.0 - t * x).max(0.0), if t * x < 1.0 { -t } else { 0.0 }),
        _ => {
            let softplus = (-x).max(0.0) + (-x.abs()).exp().ln_1p();
            let factor = 1.0 + (positive - 1.0) * t;
            ((1.0 - t) * x + factor * softplus, 1.0 - t - factor / (1.0 + x.exp()))
        }
    }
}
