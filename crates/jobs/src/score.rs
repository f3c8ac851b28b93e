//! The score of known as a piece of graph, from what the last layer of a network reads to one number.
//!
//! The features are projected to the linear discriminants of the classes, where their differences within a class are alike in all
//! directions; the score is the squared cosine of the angle between a picture and the nearest class mean, both seen from the centre: 1 for a
//! picture that is exactly like a class, 0 for one at right angles to all. `ARCHITECTURE.md` has the comparison with other scores.

use crate::known::OUTPUT;
use crate::{Error, Result};
use percept_engine::{Input, Network, Settings};
use percept_graph::{Builder, DType, Graph, Params, Tensor, Var, ops};
use percept_learn::features::Features;
use percept_learn::gaussian::{Discriminants, Gaussians};
use percept_learn::logistic::Samples;

/// Rows that are scored at once.
const ROWS: usize = 256;

/// What is added to a squared length, so that a picture in the very centre is unknown and not undefined.
const EPSILON: f32 = 1e-9;

/// Names of the parameters, as a model file has them.
mod name {
    /// Dimensions × width.
    pub(super) const PROJECTION: &str = "known.weight";
    /// What is added to the projection.
    pub(super) const SHIFT: &str = "known.bias";
    /// Dimensions × classes: unit vectors, divided by the root of the number of dimensions.
    pub(super) const MEANS: &str = "known.means";
}

/// `f32[N, width]` to `f32[N, 1]`.
pub(crate) struct Score {
    graph: Graph,
    pub(crate) params: Params,
}

impl Score {
    /// Fits it to rows of all classes.
    pub(crate) fn fit(settings: &Settings, samples: &Samples<'_>, classes: usize) -> Result<Self> {
        let gaussians = Gaussians::fit(settings, samples, classes)?;
        let Discriminants { dims, projection, means } = gaussians.discriminants();
        let width = gaussians.width;
        let axes = (0..dims).flat_map(|j| (0..width).map(move |i| (i, j)));
        let axes: Vec<f32> = axes.map(|(i, j)| projection[i * dims + j] as f32).collect();
        let shift = |j: usize| -(0..width).map(|i| gaussians.centre[i] * projection[i * dims + j]).sum::<f64>();
        let directions = means.chunks_exact(dims).map(direction).collect::<Vec<_>>();
        let transposed = (0..dims).flat_map(|j| directions.iter().map(move |direction| direction[j]));
        let params = Params::from([
            (name::PROJECTION.into(), Tensor::f32([dims, width], axes)?),
            (name::SHIFT.into(), Tensor::f32([dims], (0..dims).map(|j| shift(j) as f32).collect())?),
            (name::MEANS.into(), Tensor::f32([dims, classes], transposed.collect())?),
        ]);
        Self::with(params)
    }

    /// The score with these parameters.
    fn with(params: Params) -> Result<Self> {
        let sides = |name: &str| params.get(name).map_or(&[][..], Tensor::shape).to_vec();
        let (&[dims, width], &[_, classes]) = (&sides(name::PROJECTION)[..], &sides(name::MEANS)[..]) else {
            return Err(Error::Setting("the score of known is damaged: train the model anew".into()));
        };
        let net = Builder::new("known");
        let features = net.input("features", DType::F32, ["N".into(), width.into()]);
        let projected = features.linear("known", dims);
        let along = projected.apply(ops::MatMul, &[net.parameter(name::MEANS, [dims.into(), classes.into()])]);
        let largest = ops::MaxPool {
            kernel_shape: vec![1, classes],
            strides: vec![1, 1],
            dilations: vec![1, 1],
            padding: ops::Padding::Explicit(vec![0; 4]),
            ceil_mode: false,
        };
        let along = along.apply(ops::Unsqueeze { axes: vec![1, 2] }, &[]).apply(largest, &[]).flatten().relu();
        let square = (projected * projected).apply(ops::ReduceMean { axes: Some(vec![1]), keepdims: true }, &[]);
        let score = along * along / (square + net.constant(Tensor::scalar(EPSILON)));
        Ok(Self { graph: net.finish(&[(OUTPUT, score)])?, params })
    }

    /// The score in a network under construction, behind the value that its last layer reads.
    pub(crate) fn behind<'b>(&self, net: &'b Builder, features: Var<'b>) -> Var<'b> {
        net.append(&self.graph, &[features])[0]
    }

    /// The score of every row.
    pub(crate) fn of(&self, settings: &Settings, features: &dyn Features) -> Result<Vec<f32>> {
        let mut network = Network::new(&self.graph, &self.params, settings.clone())?;
        let (rows, width) = (features.rows(), features.width());
        let (mut scores, mut values) = (Vec::with_capacity(rows), vec![0.0; ROWS * width]);
        for start in (0..rows).step_by(ROWS) {
            let count = ROWS.min(rows - start);
            features.read(start, &mut values[..count * width])?;
            // One size of batch, so that one plan does.
            let plan = network.run(&[(&[ROWS, width], Input::F32(&values))])?;
            scores.extend_from_slice(&plan.output(0).1[..count]);
        }
        Ok(scores)
    }
}

/// A vector of length 1, divided by the root of its dimensions: the mean of its product with others is then a cosine's.
fn direction(vector: &[f64]) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    vector.iter().map(|x| (x / length / (vector.len() as f64).sqrt()) as f32).collect()
}
