//! The part of a pretrained network that is not trained: from byte pictures to pooled features.

use crate::{Error, Result};
use percept_graph::onnx::Model;
use percept_graph::rewrite::{cut, fold_for_inference};
use percept_graph::{Builder, DType, Graph, Op, Params, Tensor, ValueId};
use percept_models::{Backbone, cache};
use percept_photos::resize::{Filter, Preprocess};
use std::path::Path;

/// What a network began as.
#[derive(Clone)]
pub(crate) struct Origin {
    /// The network's name.
    pub(crate) name: String,
    /// How pictures are resized for it.
    pub(crate) preprocess: Preprocess,
    /// The licence of its weights.
    pub(crate) licence: String,
}

/// A network from `u8[N, size, size, 3]` to `f32[N, width]`, folded for inference.
pub(crate) struct Frozen {
    pub(crate) origin: Origin,
    /// From pictures to features; its only output.
    pub(crate) graph: Graph,
    /// Its parameters.
    pub(crate) params: Params,
    /// Number of features.
    pub(crate) width: usize,
    /// SHA-256 of network and weights.
    pub(crate) fingerprint: String,
}

impl Frozen {
    /// The backbone of that name, or an ONNX classifier from a file.
    pub(crate) fn open(backbone: &str) -> Result<Self> {
        let path = Path::new(backbone);
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
            return Self::from_file(path);
        }
        let backbone = Backbone::find(backbone)?;
        let (graph, params) = backbone.load()?;
        let size = backbone.scale.size as u32;
        let preprocess = Preprocess::new(backbone.resize() as u32, size, Filter::Bicubic)?;
        Self::new(backbone.name, &graph, &params, preprocess, backbone.licence)
    }

    fn from_file(path: &Path) -> Result<Self> {
        let Model { graph, params, metadata } = Model::read(path)?;
        let wrong = |reason: String| Error::model(path, reason);
        // A model of ours has a score of known beside its probabilities.
        let graph = cut(&graph, graph.inputs(), &graph.outputs()[..1])?;
        let (graph, size) = from_bytes(graph).map_err(wrong)?;
        let preprocess = match metadata.get(crate::classifier::key::PREPROCESS) {
            Some(json) => {
                serde_json::from_str(json).map_err(|e| wrong(format!("its preprocessing is damaged: {e}")))?
            }
            None => Preprocess::new((f64::from(size) / 0.875).round() as u32, size, Filter::Bicubic)?,
        };
        let licence = metadata.get(crate::classifier::key::LICENCE).map_or("not stated", String::as_str);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::new(&name, &graph, &params, preprocess, licence)
    }

    /// The whole network, ready to be retrained: from byte pictures to the logits of so many classes, none of it folded.
    ///
    /// The new last layer, `classifier`, begins with zeros.
    pub(crate) fn trainable(backbone: &str, classes: usize) -> Result<(Graph, Params)> {
        let (graph, mut params) = Backbone::find(backbone)?.load()?;
        let none = || Error::Setting(format!("the backbone {backbone} has no pooled features"));
        let graph = cut(&graph, graph.inputs(), &[pooled_features(&graph).ok_or_else(none)?])?;
        let pooled = graph.value(graph.outputs()[0]).name.clone();
        let net = Builder::from_graph(graph);
        let logits = net.find(&pooled).flatten().linear("classifier", classes);
        let graph = net.finish(&[("logits", logits)])?;
        let mut needed = Params::new();
        for value in graph.parameters() {
            let shape = value.ty.concrete()?;
            let zeros = vec![0.0; shape.iter().product()];
            let tensor = match params.remove(&value.name).filter(|_| !value.name.starts_with("classifier.")) {
                Some(tensor) => tensor,
                None => Tensor::f32(shape, zeros)?,
            };
            needed.insert(value.name.clone(), tensor);
        }
        Ok((graph, needed))
    }

    fn new(name: &str, graph: &Graph, params: &Params, preprocess: Preprocess, licence: &str) -> Result<Self> {
        let none = || {
            Error::Setting(format!(
                "the backbone {name} has no pooled features: it needs a GlobalAveragePool, or another pooling to 1 × 1"
            ))
        };
        let features = pooled_features(graph).ok_or_else(none)?;
        Self::below(Origin { name: name.into(), preprocess, licence: licence.into() }, graph, params, features)
    }

    /// What of a network makes the value `top`, whose elements are the features.
    pub(crate) fn below(origin: Origin, graph: &Graph, params: &Params, top: ValueId) -> Result<Self> {
        let below = cut(graph, graph.inputs(), &[top])?;
        let (graph, params) = fold_for_inference(&below, params)?;
        let value = graph.value(graph.outputs()[0]);
        let (top, is_flat) = (value.name.clone(), value.ty.rank() == 2);
        let net = Builder::from_graph(graph);
        let flat = if is_flat { net.find(&top) } else { net.find(&top).flatten() };
        let graph = net.finish(&[("features", flat)])?;
        let width = graph.value(graph.outputs()[0]).ty.shape[1].as_const().and_then(|n| usize::try_from(n).ok());
        let unknown = || Error::Setting(format!("the number of features of {} is not known", origin.name));
        let width = width.ok_or_else(unknown)?;
        let model = Model { graph, params, ..Model::default() };
        let fingerprint = cache::sha256(&model.to_bytes()?);
        let Model { graph, params, .. } = model;
        Ok(Self { origin, width, graph, params, fingerprint })
    }
}

/// A classifier such that it takes byte pictures: ImageNet's normalisation goes in front of one that takes floats.
fn from_bytes(graph: Graph) -> std::result::Result<(Graph, u32), String> {
    let [input] = graph.inputs() else {
        return Err(format!("takes {} inputs, a backbone takes 1", graph.inputs().len()));
    };
    let ty = graph.value(*input).ty.clone();
    let sizes: Vec<_> = ty.shape.iter().map(|dim| dim.as_const()).collect();
    let (size, channels_first) = match (ty.dtype, &sizes[..]) {
        (DType::U8, &[_, size, _, Some(3)]) => return Ok((graph, open_size(size)?)),
        (DType::F32, &[_, Some(3), size, _]) => (open_size(size)?, true),
        (DType::F32, &[_, size, _, Some(3)]) => (open_size(size)?, false),
        _ => return Err(format!("takes {ty}, a backbone takes pictures with 3 channels")),
    };
    let side = i64::from(size);
    let net = Builder::new(&graph.name);
    let x = net.input("image", DType::U8, ["N".into(), side.into(), side.into(), 3.into()]).cast(DType::F32);
    let x = if channels_first { x.transpose(&[0, 3, 1, 2]) } else { x };
    let per_channel = |values: [f32; 3]| {
        let shape = if channels_first { vec![3, 1, 1] } else { vec![3] };
        Tensor::f32(shape, values.map(|v| v * 255.0).to_vec()).map_err(|e| e.to_string())
    };
    let options = crate::classifier::Options::default();
    let x = (x - net.constant(per_channel(options.mean)?)) / net.constant(per_channel(options.std)?);
    let outputs = net.append(&graph, &[x]);
    let graph = net.finish(&[("logits", outputs[0])]).map_err(|e| e.to_string())?;
    Ok((graph, size))
}

fn open_size(size: Option<i64>) -> std::result::Result<u32, String> {
    let size = size.unwrap_or(224);
    u32::try_from(size).map_err(|_| format!("takes pictures of {size} pixels"))
}

/// The last value that is pooled to one position: what the classifier's last layer reads.
fn pooled_features(graph: &Graph) -> Option<ValueId> {
    graph.nodes().iter().rev().find_map(|node| {
        let output = node.outputs[0];
        let ty = &graph.value(output).ty;
        let single = |axis: usize| ty.shape.get(axis).is_none_or(|dim| *dim == 1.into());
        let pools = match &node.op {
            Op::GlobalAveragePool(_) | Op::ReduceMean(_) => true,
            Op::AveragePool(_) | Op::MaxPool(_) => ty.rank() == 4,
            _ => false,
        };
        (pools && ty.rank() >= 2 && single(2) && single(3)).then_some(output)
    })
}
