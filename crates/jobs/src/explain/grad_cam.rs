//! Grad-CAM: Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
//! Localization", ICCV 2017.
//!
//! The gradient is a graph made from the graph: behind the last feature map stand a few layers, and the gradients of what they say are a
//! few nodes more, so one run of the engine gives both the map and how much each of its channels matters. What a Softmax or Sigmoid does
//! last is left out, as in the paper: where an answer is sure, it is flat. A temperature is one factor for all, which a heat map does not show.

use super::Heat;
use crate::{Error, Result};
use percept_engine::{Input, Network, Settings};
use percept_graph::rewrite::{bottlenecks, cut};
use percept_graph::{DType, Graph, Op, ValueId, ops};
use percept_learn::gradient::gradients;

/// A network that also says where its answers come from.
pub struct GradCam {
    /// From a batch of pictures and the chosen elements of the score to the feature map and the score's gradient with respect to it.
    network: Network,
    shape: Vec<usize>,
    score: Vec<usize>,
}

impl GradCam {
    /// Looks behind output number `output` of a network whose one input has this shape, batch first; `None` if no value on the way to that
    /// output has several positions.
    ///
    /// ```
    /// use percept_engine::{Input, Network, Settings};
    /// use percept_graph::{Builder, DType, Tensor};
    /// use percept_jobs::explain::GradCam;
    ///
    /// // Two channels, red and not red, and two scores: how much there is of each.
    /// let net = Builder::new("colours");
    /// let x = net.input("x", DType::F32, ["N".into(), 1.into(), 2.into(), 2.into()]);
    /// let scores = x.conv("colour", 2, 1, |conv| conv).relu().global_average_pool().flatten().softmax();
    /// let graph = net.finish(&[("scores", scores)])?;
    /// let params = [
    ///     ("colour.weight".to_string(), Tensor::f32([2, 1, 1, 1], vec![1.0, -1.0])?),
    ///     ("colour.bias".to_string(), Tensor::f32([2], vec![0.0, 1.0])?),
    /// ].into();
    /// let settings = Settings::detect()?;
    /// let network = Network::new(&graph, &params, settings.clone())?;
    /// let mut cam = GradCam::new(&network, &[1, 1, 2, 2], 0, &settings)?.expect("it has a feature map");
    /// let heat = cam.heat(Input::F32(&[0.0, 1.0, 0.0, 0.5]), 0)?;
    /// assert_eq!((heat.rows, heat.columns, &heat.values[..]), (2, 2, &[0.0, 0.25, 0.0, 0.125][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A shape or an output that the network does not have, an operator without a derivative behind the feature map.
    pub fn new(network: &Network, shape: &[usize], output: usize, settings: &Settings) -> Result<Option<Self>> {
        let graph = network.graph().bind(&network.bindings(&[shape])?)?;
        let missing = || Error::Setting(format!("the network has no output {output}, but {}", graph.outputs().len()));
        let score = score_of(&graph, *graph.outputs().get(output).ok_or_else(missing)?);
        let mut graph = cut(&graph, graph.inputs(), &[score])?;
        let (Some(map), score) = (feature_map(&graph), graph.outputs()[0]) else { return Ok(None) };
        let ty = graph.value(score).ty.clone();
        if ty.dtype != DType::F32 || ty.rank() == 0 {
            return Err(Error::Setting(format!("a score is a batch of f32, not {ty}")));
        }
        let chosen = graph.add_input("percept.chosen", ty.clone())?;
        let product = graph.add(ops::Mul, &[score, chosen])?;
        let mean = graph.add(ops::ReduceMean { axes: None, keepdims: false }, &[product])?;
        let Some(slope) = gradients(&mut graph, mean, &[map])?[0] else { return Ok(None) };
        graph.set_outputs([map, slope]);
        let network = Network::new(&graph, network.params(), settings.clone())?;
        Ok(Some(Self { network, shape: shape.to_vec(), score: ty.concrete()? }))
    }

    /// What of the first picture of a batch raises element number `element` of its score: the sum of the feature map's channels, each
    /// times the mean of its gradient, where that is positive.
    ///
    /// # Errors
    /// An input of another size than the shape says, an element that the score does not have.
    pub fn heat(&mut self, input: Input<'_>, element: usize) -> Result<Heat> {
        let all: usize = self.score.iter().product();
        let count = all / self.score[0].max(1);
        if element >= count {
            return Err(Error::Setting(format!("the network gives {count} scores: there is no number {element}")));
        }
        let mut chosen = vec![0.0; all];
        chosen[element] = 1.0;
        let plan = self.network.run(&[(&self.shape, input), (&self.score, Input::F32(&chosen))])?;
        let ((shape, map), (_, slope)) = (plan.output(0), plan.output(1));
        let &[_, channels, rows, columns] = shape else {
            return Err(Error::Setting(format!("a feature map of shape {shape:?} is no picture")));
        };
        let positions = rows * columns;
        let mut sums = vec![0.0f64; positions];
        for (map, slope) in map.chunks_exact(positions).zip(slope.chunks_exact(positions)).take(channels) {
            // The loss was the mean of all scores, chosen or not.
            let weight = slope.iter().map(|&s| f64::from(s)).sum::<f64>() * all as f64 / positions as f64;
            sums.iter_mut().zip(map).for_each(|(sum, &value)| *sum += weight * f64::from(value));
        }
        Ok(Heat { rows, columns, values: sums.iter().map(|&sum| sum.max(0.0) as f32).collect() })
    }
}

/// The value whose elements an output's softmax or sigmoid makes probabilities of; the output itself if there is none.
fn score_of(graph: &Graph, output: ValueId) -> ValueId {
    let mut id = output;
    while let Some(node) = graph.producer(id) {
        match (&node.op, node.inputs.first()) {
            (Op::Softmax(_) | Op::Sigmoid(_), Some(&Some(x))) => return x,
            (
                Op::Identity(_) | Op::Flatten(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Cast(_),
                Some(&Some(x)),
            ) => id = x,
            _ => break,
        }
    }
    output
}

/// The last value with several positions through which everything passes on the way to the score, or the last one at all.
///
/// Such values are what convolutions make and what is computed from that position by position, with channels first; a pooling in
/// front of a dense layer (LeNet, VGG) only makes the map coarser, so the last one is before it.
fn feature_map(graph: &Graph) -> Option<ValueId> {
    let mut is_map = vec![false; graph.values().len()];
    let mut maps = Vec::new();
    for node in graph.nodes() {
        let y = node.outputs[0];
        let wide = matches!(graph.value(y).ty.concrete().as_deref(), Ok(&[_, _, h, w]) if h > 1 && w > 1);
        let pooled = matches!(node.op, Op::MaxPool(_) | Op::AveragePool(_));
        let moves =
            matches!(node.op, Op::Transpose(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::MatMul(_));
        let made = matches!(node.op, Op::Conv(_) | Op::BatchNormalization(_)) || pooled;
        let passed = !moves && node.inputs.iter().flatten().any(|id| is_map[id.index()]);
        is_map[y.index()] = wide && (made || passed);
        if is_map[y.index()] && !pooled {
            maps.push(y);
        }
    }
    let through = bottlenecks(graph);
    maps.iter().rev().find(|id| through.contains(id)).or(maps.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_graph::Builder;

    /// The name of the feature map of a network from pictures of 16 × 16.
    fn found(net: impl for<'b> FnOnce(percept_graph::Var<'b>) -> percept_graph::Var<'b>) -> Option<String> {
        let builder = Builder::new("net");
        let x = builder.input("x", DType::F32, [1.into(), 3.into(), 16.into(), 16.into()]);
        let graph = builder.finish(&[("y", net(x))]).unwrap();
        let graph = cut(&graph, graph.inputs(), &[score_of(&graph, graph.outputs()[0])]).unwrap();
        let map = graph.value(feature_map(&graph)?);
        let shape = map.ty.concrete().unwrap();
        Some(format!(
            "{} {}x{}x{}",
            graph.producer(graph.find(&map.name).unwrap()).unwrap().op.name(),
            shape[1],
            shape[2],
            shape[3]
        ))
    }

    #[test]
    fn the_last_feature_map_is_found_in_front_of_every_kind_of_head() {
        let found = |expected: &str, name: Option<String>| assert_eq!(name.as_deref(), Some(expected));
        found(
            "Relu 8x8x8",
            self::found(|x| {
                x.conv("a", 4, 3, |c| c.padding(1))
                    .relu()
                    .conv("b", 8, 3, |c| c.stride(2).padding(1))
                    .relu()
                    .global_average_pool()
                    .flatten()
                    .linear("fc", 5)
                    .softmax()
            }),
        );
        found(
            "Relu 8x16x16",
            self::found(|x| {
                x.conv("a", 8, 3, |c| c.padding(1))
                    .relu()
                    .max_pool(2, 2)
                    .flatten()
                    .linear("fc", 9)
                    .relu()
                    .linear("fc2", 5)
            }),
        );
        found(
            "Relu 5x14x14",
            self::found(|x| x.conv("a", 5, 3, |c| c).relu().global_average_pool().flatten().softmax()),
        );
        found(
            "Add 4x16x16",
            self::found(|x| {
                let x = x.conv("a", 4, 1, |c| c);
                (x + x.conv("b", 4, 3, |c| c.padding(1))).global_average_pool().flatten().linear("fc", 5).sigmoid()
            }),
        );
        // Channels-last in front of the mean, as TensorFlow's exporter leaves it.
        found(
            "Relu 4x14x14",
            self::found(|x| {
                let x = x.conv("a", 4, 3, |c| c).relu().transpose(&[0, 2, 3, 1]);
                x.apply(ops::ReduceMean { axes: Some(vec![1, 2]), keepdims: false }, &[]).linear("fc", 5)
            }),
        );
        // Two ways that meet again only where there are no positions: what both come from.
        found(
            "Relu 4x16x16",
            self::found(|x| {
                let x = x.conv("a", 4, 1, |c| c).relu();
                let [a, b] = ["b", "c"].map(|name| x.conv(name, 4, 3, |c| c).relu().global_average_pool().flatten());
                (a + b).linear("fc", 5)
            }),
        );
    }

    #[test]
    fn a_network_without_positions_has_none() {
        assert_eq!(found(|x| x.flatten().linear("fc", 5).softmax()), None);
        assert_eq!(found(|x| x.conv("a", 5, 16, |c| c).relu().flatten()), None);
    }
}
