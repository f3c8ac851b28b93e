//! The model file: what was learned on top of the frozen part, with everything that a runtime has to know.

use crate::Result;
use crate::classifier::key;
use crate::frozen::{Frozen, Origin};
use percept_graph::onnx::Model;
use percept_graph::{Builder, Error, Graph, Params, Tensor};
use percept_learn::logistic::Weights;

/// The classifier that was fitted on top of the frozen part: see [`classifier`].
pub(crate) fn model(frozen: &Frozen, weights: &Weights, temperature: f64, labels: &[String]) -> Result<Model> {
    let features = frozen.graph.value(frozen.graph.outputs()[0]).name.clone();
    let net = Builder::from_graph(frozen.graph.clone());
    let logits = net.find(&features).linear("classifier", labels.len());
    let graph = net.finish(&[("logits", logits)])?;
    let mut params: Params = frozen.params.clone();
    // PyTorch's linear layer keeps a row for each class.
    let (width, classes) = (weights.width, weights.classes);
    let rows = (0..classes).flat_map(|c| (0..width).map(move |i| weights.coefficients[i * classes + c]));
    params.insert("classifier.weight".into(), Tensor::f32([classes, width], rows.collect())?);
    params.insert("classifier.bias".into(), Tensor::f32([classes], weights.intercept.clone())?);
    classifier(&frozen.origin, graph, params, temperature, labels)
}

/// A network from `u8[N, size, size, 3]` in RGB to probabilities: normalisation, temperature and softmax are inside.
///
/// `graph` gives logits; `origin` is what it began as, and says how pictures are resized for it.
pub(crate) fn classifier(
    origin: &Origin,
    graph: Graph,
    params: Params,
    temperature: f64,
    labels: &[String],
) -> Result<Model> {
    let logits = graph.value(graph.outputs()[0]).name.clone();
    let net = Builder::from_graph(graph);
    let scaled = net.find(&logits) / net.constant(Tensor::scalar(temperature as f32));
    let mut graph = net.finish(&[("probabilities", scaled.softmax())])?;
    graph.name = "percept".into();
    let json = |e: serde_json::Error| Error::Format(format!("metadata cannot be written: {e}"));
    let metadata = [
        (key::LABELS, serde_json::to_string(labels).map_err(json)?),
        (key::PREPROCESS, serde_json::to_string(&origin.preprocess).map_err(json)?),
        (key::LICENCE, origin.licence.clone()),
        (key::BACKBONE, origin.name.clone()),
        (key::TEMPERATURE, temperature.to_string()),
    ];
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    Ok(Model { graph, params, metadata })
}
