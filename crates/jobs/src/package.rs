//! The model file: what was learned on top of the frozen part, with everything that a runtime has to know.

use crate::Result;
use crate::classifier::key;
use crate::frozen::{Frozen, Origin};
use crate::known::{self, Known};
use crate::layer::last_layer;
use crate::score::Score;
use percept_graph::onnx::Model;
use percept_graph::{Builder, Error, Graph, Params, Tensor};
use percept_learn::logistic::Weights;
use std::collections::BTreeMap;

/// The classifier that was fitted on top of the frozen part: see [`classifier`].
pub(crate) fn model(
    frozen: &Frozen,
    weights: &Weights,
    temperature: f64,
    labels: &[String],
    known: Option<(&Score, &Known)>,
) -> Result<Model> {
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
    classifier(&frozen.origin, graph, params, temperature, labels, known)
}

/// A network from `u8[N, size, size, 3]` in RGB to probabilities: normalisation, temperature and softmax are inside. So is the score of
/// known, which reads what the last layer reads.
///
/// `graph` gives logits; `origin` is what it began as, and says how pictures are resized for it.
pub(crate) fn classifier(
    origin: &Origin,
    graph: Graph,
    mut params: Params,
    temperature: f64,
    labels: &[String],
    known: Option<(&Score, &Known)>,
) -> Result<Model> {
    let logits = graph.value(graph.outputs()[0]).name.clone();
    let read = last_layer(&graph, &params).map(|layer| graph.value(layer.features).name.clone());
    let net = Builder::from_graph(graph);
    let scaled = net.find(&logits) / net.constant(Tensor::scalar(temperature as f32));
    let mut outputs = vec![("probabilities", scaled.softmax())];
    if let (Some((score, _)), Some(features)) = (known, read) {
        outputs.push((known::OUTPUT, score.behind(&net, net.find(&features))));
        params.extend(score.params.clone());
    }
    let mut graph = net.finish(&outputs)?;
    graph.name = "percept".into();
    let json = |e: serde_json::Error| Error::Format(format!("metadata cannot be written: {e}"));
    let metadata = [
        (key::LABELS, serde_json::to_string(labels).map_err(json)?),
        (key::PREPROCESS, serde_json::to_string(&origin.preprocess).map_err(json)?),
        (key::LICENCE, origin.licence.clone()),
        (key::BACKBONE, origin.name.clone()),
        (key::TEMPERATURE, temperature.to_string()),
    ];
    let mut metadata: BTreeMap<_, _> = metadata.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    if let Some((_, known)) = known {
        metadata.insert(key::KNOWN.into(), serde_json::to_string(known).map_err(json)?);
    }
    Ok(Model { graph, params, metadata })
}
