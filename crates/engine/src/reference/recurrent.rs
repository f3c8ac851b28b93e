//! Recurrent layers, a step of one sequence in one direction at a time, and backpropagation through time (Werbos 1990).

use super::Array;
use percept_graph::{Op, TensorType};
use std::ops::Range;

/// A layer on its inputs.
struct Layer<'a> {
    op: &'a Op,
    inputs: [Option<&'a Array>; 8],
    steps: usize,
    batch: usize,
    features: usize,
    hidden: usize,
    gates: usize,
    reversed: &'static [bool],
}

/// What a step leaves: the gates behind their activations, what `R` gives the last gate, and the new states.
#[derive(Clone)]
struct Step {
    gates: Vec<Vec<f64>>,
    q: Vec<f64>,
    h: Vec<f64>,
    c: Vec<f64>,
}

/// The gradients of what `W` and of what `R` gives each gate, and what reaches the old states otherwise.
struct Slopes {
    w: Vec<Vec<f64>>,
    r: Vec<Vec<f64>>,
    h: Vec<f64>,
    c: Vec<f64>,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Adds `factor · from`.
fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

impl<'a> Layer<'a> {
    fn new(op: &'a Op, given: &[Option<&'a Array>]) -> Result<Self, String> {
        let inputs: [_; 8] = std::array::from_fn(|i| given.get(i).copied().flatten());
        let (direction, gates) = match op {
            Op::Lstm(op) => (op.direction, 4),
            Op::Gru(op) => (op.direction, 3),
            Op::Rnn(op) => (op.direction, 1),
            _ => return Err("is not recurrent".into()),
        };
        let [Some(x), _, Some(r), ..] = inputs else { return Err("takes X, W and R".into()) };
        let (steps, batch, features, hidden) = (x.shape[0], x.shape[1], x.shape[2], r.shape[2]);
        if let Some(lengths) = inputs[4]
            && let Some(length) = lengths.data.iter().find(|&&length| !(0.0..=steps as f64).contains(&length))
        {
            return Err(format!("has a sequence of {length} steps, of {steps}"));
        }
        Ok(Self { op, inputs, steps, batch, features, hidden, gates, reversed: direction.reversed() })
    }

    fn data(&self, i: usize) -> &'a [f64] {
        self.inputs[i].map_or(&[], |array| &array.data)
    }

    /// The steps of sequence `b` in the order in which direction `d` takes them.
    fn order(&self, d: usize, b: usize) -> Vec<usize> {
        let length = self.inputs[4].map_or(self.steps, |lengths| lengths.data[b] as usize);
        if self.reversed[d] { (0..length).rev().collect() } else { (0..length).collect() }
    }

    fn x(&self, t: usize, b: usize) -> Range<usize> {
        let begin = (t * self.batch + b) * self.features;
        begin..begin + self.features
    }

    /// A state of a sequence.
    fn state(&self, d: usize, b: usize) -> Range<usize> {
        let begin = (d * self.batch + b) * self.hidden;
        begin..begin + self.hidden
    }

    fn y(&self, t: usize, d: usize, b: usize) -> Range<usize> {
        let begin = ((t * self.reversed.len() + d) * self.batch + b) * self.hidden;
        begin..begin + self.hidden
    }

    /// Row `j` of gate `g` in a matrix with so many columns.
    fn row(&self, d: usize, g: usize, j: usize, columns: usize) -> Range<usize> {
        let begin = ((d * self.gates + g) * self.hidden + j) * columns;
        begin..begin + columns
    }

    /// Where the bias of `W` (0) or of `R` (1) for a row lies.
    fn bias(&self, d: usize, of: usize, g: usize, j: usize) -> usize {
        ((2 * d + of) * self.gates + g) * self.hidden + j
    }

    /// `matrix · v + bias` for a gate: of `W`, input 1, or of `R`, input 2.
    fn product(&self, d: usize, matrix: usize, g: usize, v: &[f64]) -> Vec<f64> {
        let bias = |j| self.inputs[3].map_or(0.0, |b| b.data[self.bias(d, matrix - 1, g, j)]);
        (0..self.hidden).map(|j| dot(&self.data(matrix)[self.row(d, g, j, v.len())], v) + bias(j)).collect()
    }

    fn first(&self, d: usize, b: usize) -> Step {
        let state = |i: usize| self.inputs[i].map_or(vec![0.0; self.hidden], |s| s.data[self.state(d, b)].to_vec());
        Step { gates: Vec::new(), q: Vec::new(), h: state(5), c: state(6) }
    }

    fn step(&self, d: usize, x: &[f64], old: &Step) -> Step {
        let each = |f: &dyn Fn(usize) -> f64| (0..self.hidden).map(f).collect::<Vec<_>>();
        let w: Vec<_> = (0..self.gates).map(|g| self.product(d, 1, g, x)).collect();
        let r: Vec<_> = (0..self.gates).map(|g| self.product(d, 2, g, &old.h)).collect();
        let gate = |g: usize, f: fn(f64) -> f64| each(&|j| f(w[g][j] + r[g][j]));
        match self.op {
            Op::Lstm(_) => {
                let [i, o, f, n] = [gate(0, sigmoid), gate(1, sigmoid), gate(2, sigmoid), gate(3, f64::tanh)];
                let c = each(&|j| f[j] * old.c[j] + i[j] * n[j]);
                let h = each(&|j| o[j] * c[j].tanh());
                Step { gates: vec![i, o, f, n], q: Vec::new(), h, c }
            }
            Op::Gru(op) => {
                let [z, reset] = [gate(0, sigmoid), gate(1, sigmoid)];
                let q = match op.linear_before_reset {
                    true => r[2].clone(),
                    false => self.product(d, 2, 2, &each(&|j| reset[j] * old.h[j])),
                };
                let factor = |j: usize| if op.linear_before_reset { reset[j] } else { 1.0 };
                let n = each(&|j| (w[2][j] + factor(j) * q[j]).tanh());
                let h = each(&|j| (1.0 - z[j]) * n[j] + z[j] * old.h[j]);
                Step { gates: vec![z, reset, n], q, h, c: Vec::new() }
            }
            op => {
                let relu = matches!(op, Op::Rnn(op) if op.relu);
                let h = gate(0, if relu { |x| x.max(0.0) } else { f64::tanh });
                Step { gates: vec![h.clone()], q: Vec::new(), h, c: Vec::new() }
            }
        }
    }

    /// All states of sequence `b` in direction `d`, the first one in front.
    fn states(&self, d: usize, b: usize) -> Vec<Step> {
        let mut states = vec![self.first(d, b)];
        for t in self.order(d, b) {
            states.push(self.step(d, &self.data(0)[self.x(t, b)], &states[states.len() - 1]));
        }
        states
    }

    /// From the gradients of the new states.
    fn back(&self, d: usize, old: &Step, new: &Step, dh: &[f64], dc: &[f64]) -> Slopes {
        let each = |f: &dyn Fn(usize) -> f64| (0..self.hidden).map(f).collect::<Vec<_>>();
        let zeros = vec![0.0; self.hidden];
        let bell = |x: f64| x * (1.0 - x);
        match (self.op, &new.gates[..]) {
            (Op::Lstm(_), [i, o, f, n]) => {
                let c = each(&|j| dc[j] + dh[j] * o[j] * (1.0 - new.c[j].tanh().powi(2)));
                let w = vec![
                    each(&|j| c[j] * n[j] * bell(i[j])),
                    each(&|j| dh[j] * new.c[j].tanh() * bell(o[j])),
                    each(&|j| c[j] * old.c[j] * bell(f[j])),
                    each(&|j| c[j] * i[j] * (1.0 - n[j] * n[j])),
                ];
                Slopes { r: w.clone(), w, h: zeros, c: each(&|j| c[j] * f[j]) }
            }
            (Op::Gru(op), [z, reset, n]) => {
                let dn = each(&|j| dh[j] * (1.0 - z[j]) * (1.0 - n[j] * n[j]));
                let dz = each(&|j| dh[j] * (old.h[j] - n[j]) * bell(z[j]));
                let mut h = each(&|j| dh[j] * z[j]);
                if op.linear_before_reset {
                    let (dr, dq) = (each(&|j| dn[j] * new.q[j] * bell(reset[j])), each(&|j| dn[j] * reset[j]));
                    return Slopes { w: vec![dz.clone(), dr.clone(), dn], r: vec![dz, dr, dq], h, c: zeros };
                }
                // Of r · h, which `R` was multiplied with.
                let mut both = zeros.clone();
                (0..self.hidden).for_each(|j| add(&mut both, dn[j], &self.data(2)[self.row(d, 2, j, self.hidden)]));
                let dr = each(&|j| both[j] * old.h[j] * bell(reset[j]));
                h = each(&|j| h[j] + both[j] * reset[j]);
                Slopes { w: vec![dz.clone(), dr.clone(), dn.clone()], r: vec![dz, dr, dn], h, c: zeros }
            }
            (op, _) => {
                let relu = matches!(op, Op::Rnn(op) if op.relu);
                let slope = |y: f64| if relu { f64::from(u8::from(y > 0.0)) } else { 1.0 - y * y };
                let w = vec![each(&|j| dh[j] * slope(new.h[j]))];
                Slopes { r: w.clone(), w, h: zeros.clone(), c: zeros }
            }
        }
    }
}

pub(super) fn forward(types: &[TensorType], op: &Op, given: &[Option<&Array>]) -> Result<Vec<Array>, String> {
    let layer = Layer::new(op, given)?;
    let mut outputs = types.iter().map(Array::zeros).collect::<Result<Vec<_>, _>>()?;
    for (d, b) in (0..layer.reversed.len()).flat_map(|d| (0..layer.batch).map(move |b| (d, b))) {
        let states = layer.states(d, b);
        for (t, state) in layer.order(d, b).into_iter().zip(&states[1..]) {
            outputs[0].data[layer.y(t, d, b)].copy_from_slice(&state.h);
        }
        let last = &states[states.len() - 1];
        outputs[1].data[layer.state(d, b)].copy_from_slice(&last.h);
        if let Some(cell) = outputs.get_mut(2) {
            cell.data[layer.state(d, b)].copy_from_slice(&last.c);
        }
    }
    Ok(outputs)
}

pub(super) fn gradients(types: &[TensorType], op: &Op, given: &[Option<&Array>]) -> Result<Vec<Array>, String> {
    let layer = Layer::new(op, given)?;
    let mut outputs = types.iter().map(Array::zeros).collect::<Result<Vec<_>, _>>()?;
    let slope = |i: usize, at: Range<usize>| match given.get(8 + i).copied().flatten() {
        Some(array) => array.data[at].to_vec(),
        None => vec![0.0; layer.hidden],
    };
    for (d, b) in (0..layer.reversed.len()).flat_map(|d| (0..layer.batch).map(move |b| (d, b))) {
        let (states, order) = (layer.states(d, b), layer.order(d, b));
        let (mut dh, mut dc) = (slope(1, layer.state(d, b)), slope(2, layer.state(d, b)));
        for (k, &t) in order.iter().enumerate().rev() {
            let (old, new, x) = (&states[k], &states[k + 1], &layer.data(0)[layer.x(t, b)]);
            add(&mut dh, 1.0, &slope(0, layer.y(t, d, b)));
            let slopes = layer.back(d, old, new, &dh, &dc);
            (dh, dc) = (slopes.h, slopes.c);
            for (g, j) in (0..layer.gates).flat_map(|g| (0..layer.hidden).map(move |j| (g, j))) {
                let (w, r) = (layer.row(d, g, j, layer.features), layer.row(d, g, j, layer.hidden));
                let (dw, dr) = (slopes.w[g][j], slopes.r[g][j]);
                add(&mut outputs[0].data[layer.x(t, b)], dw, &layer.data(1)[w.clone()]);
                add(&mut outputs[1].data[w], dw, x);
                let reset = matches!(op, Op::Gru(op) if g == 2 && !op.linear_before_reset);
                if reset {
                    let both: Vec<_> = new.gates[1].iter().zip(&old.h).map(|(r, h)| r * h).collect();
                    add(&mut outputs[2].data[r], dr, &both);
                } else {
                    add(&mut dh, dr, &layer.data(2)[r.clone()]);
                    add(&mut outputs[2].data[r], dr, &old.h);
                }
                outputs[3].data[layer.bias(d, 0, g, j)] += dw;
                outputs[3].data[layer.bias(d, 1, g, j)] += dr;
            }
        }
        outputs[4].data[layer.state(d, b)].copy_from_slice(&dh);
        if let Some(cell) = outputs.get_mut(5) {
            cell.data[layer.state(d, b)].copy_from_slice(&dc);
        }
    }
    Ok(outputs)
}
