//! Dropout, and gradients of what is neither a product nor a window.

use super::{Array, arithmetic, from_fn, index, largest, reduced, shown};
use crate::kernels::gradient;
use crate::plan::from_front;
use percept_graph::{Op, TensorType, ops};

/// What is dropped is drawn by the same function as in the plan: there is no other definition of it.
pub(super) fn dropout(given: &[&Array], op: &ops::DropoutTraining) -> Array {
    let (x, seed) = (given[0], gradient::dropout_seed(given[1].data[0] as i64, op.key));
    let mut kept = vec![0.0; x.data.len()];
    gradient::dropout(seed, op.ratio, 0, &vec![1.0; x.data.len()], &mut kept);
    let data = x.data.iter().zip(kept).map(|(x, kept)| if kept == 0.0 { 0.0 } else { x / f64::from(1.0 - op.ratio) });
    Array { data: data.collect(), ..x.clone() }
}

/// The slope of a function of one number.
fn slope(op: &Op, x: f64) -> Result<f64, String> {
    let inside = |inside: bool, slope: f64| if inside { slope } else { 0.0 };
    Ok(match op {
        Op::Relu(_) => inside(x > 0.0, 1.0),
        Op::LeakyRelu(op) => f64::from(if x > 0.0 { 1.0 } else { op.alpha }),
        Op::Clip(op) => inside(x > op.min.into() && x < op.max.into(), 1.0),
        Op::Sigmoid(_) => {
            let y = 1.0 / (1.0 + (-x).exp());
            y * (1.0 - y)
        }
        Op::HardSigmoid(op) => {
            let y = f64::from(op.alpha) * x + f64::from(op.beta);
            inside(y > 0.0 && y < 1.0, op.alpha.into())
        }
        Op::HardSwish(_) => match x {
            x if x <= -3.0 => 0.0,
            x if x >= 3.0 => 1.0,
            x => x / 3.0 + 0.5,
        },
        Op::Tanh(_) => 1.0 - x.tanh().powi(2),
        Op::Exp(_) => x.exp(),
        Op::Log(_) => 1.0 / x,
        Op::Sqrt(_) => 0.5 / x.sqrt(),
        Op::Abs(_) => inside(x != 0.0, x.signum()),
        Op::Neg(_) => -1.0,
        Op::Softplus(_) => 1.0 / (1.0 + (-x).exp()),
        Op::Erf(_) => std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp(),
        Op::Gelu(_) => arithmetic::normal(x) + x * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt(),
        Op::Pow(op) => f64::from(op.exponent) * x.powf(f64::from(op.exponent) - 1.0),
        other => return Err(format!("{} is not a function of one number", other.name())),
    })
}

pub(super) fn activation_grad(given: &[&Array], op: &Op) -> Result<Array, String> {
    let [x, gradient] = given[..] else { return Err("takes 2 inputs".into()) };
    let products = x.data.iter().zip(&gradient.data).map(|(&x, dy)| Ok(slope(op, x)? * dy));
    Ok(Array { data: products.collect::<Result<_, String>>()?, ..x.clone() })
}

pub(super) fn softmax_grad(given: &[&Array], axis: i64) -> Result<Array, String> {
    let [y, gradient] = given[..] else { return Err("takes 2 inputs".into()) };
    let axis = from_front(axis, y.shape.len());
    from_fn(&y.ty(), |at| {
        let mut other = at.to_vec();
        let mut dot = 0.0;
        for i in 0..y.shape[axis] {
            other[axis] = i;
            let j = index(&y.shape, &other);
            dot += y.data[j] * gradient.data[j];
        }
        let i = index(&y.shape, at);
        y.data[i] * (gradient.data[i] - dot)
    })
}

pub(super) fn reduce_max_grad(given: &[&Array], axes: &[usize]) -> Result<Array, String> {
    let [x, gradient] = given[..] else { return Err("takes 2 inputs".into()) };
    let mut dx = x.map(|_| 0.0);
    let (places, _) = largest(&reduced(&x.shape, axes), x);
    places.iter().zip(&gradient.data).for_each(|(&place, dy)| dx.data[place] += dy);
    Ok(dx)
}

pub(super) fn mean_grad(ty: &TensorType, gradient: &Array, axes: &[usize]) -> Result<Array, String> {
    let shape = ty.concrete().map_err(|e| e.to_string())?;
    let count: usize = axes.iter().map(|&axis| shape[axis]).product();
    let kept = reduced(&shape, axes);
    from_fn(ty, |at| gradient.data[shown(&kept, at)] / count as f64)
}
