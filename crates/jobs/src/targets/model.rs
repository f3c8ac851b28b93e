//! The model file: an output for each question, and what is to be known of each in its metadata.

use super::heads::{Head, Heads, body, only_of};
use super::{KEY, Questions};
use crate::classifier::{BATCH, key};
use crate::frozen::Origin;
use crate::{Error, Result};
use image::RgbImage;
use percept_engine::{Input, Network, Settings};
use percept_graph::onnx;
use percept_graph::{Builder, Graph, Params};
use percept_photos::resize::Preprocess;
use percept_photos::table::Kind;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A question that a model answers, as its file describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The name of the column that it was learned from.
    pub name: String,
    /// The name of the output that answers it: `[N, labels]` probabilities of a class, `[N, 1]` the probability of yes or the number.
    pub output: String,
    /// Its kind, with the labels.
    #[serde(flatten)]
    pub kind: Kind,
    /// Mean and standard deviation of the number among what was learned from, in its unit; absent of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<[f64; 2]>,
    /// The temperature that the output contains; absent of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// How far from the truth nine of ten predictions of photos held out were at most, in the number's unit; absent of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within90: Option<f64>,
}

impl Target {
    /// Numbers in the output.
    pub fn width(&self) -> usize {
        match &self.kind {
            Kind::Class { labels } => labels.len(),
            Kind::YesNo { .. } | Kind::Number => 1,
        }
    }

    /// What the output says where a network says this raw.
    pub(crate) fn of_raw(&self, raw: &[f32]) -> Vec<f32> {
        let cool = |x: f32| f64::from(x) / self.temperature.unwrap_or(1.0);
        match (&self.kind, raw) {
            (Kind::Class { .. }, _) => {
                let mut row: Vec<f32> = raw.iter().map(|&x| cool(x) as f32).collect();
                crate::classifier::softmax(&mut row);
                row
            }
            (Kind::YesNo { .. }, &[no, yes]) => vec![(1.0 / (1.0 + (cool(no) - cool(yes)).exp())) as f32],
            _ => {
                let [mean, deviation] = self.scale.unwrap_or([0.0, 1.0]);
                raw.iter().map(|&x| (mean + deviation * f64::from(x)) as f32).collect()
            }
        }
    }

    /// The layer whose output needs no temperature or unit any more.
    fn fold(&self, head: &Head) -> Head {
        let temperature = self.temperature.unwrap_or(1.0);
        let scaled = |rows: Vec<Vec<f64>>, factor: f64| -> Vec<Vec<f64>> {
            rows.into_iter().map(|row| row.into_iter().map(|x| x * factor).collect()).collect()
        };
        head.map(|rows| match &self.kind {
            Kind::Class { .. } => scaled(rows, 1.0 / temperature),
            Kind::YesNo { .. } => {
                let difference = rows[0].iter().zip(&rows[1]).map(|(no, yes)| yes - no).collect();
                scaled(vec![difference], 1.0 / temperature)
            }
            Kind::Number => {
                let [mean, deviation] = self.scale.unwrap_or([0.0, 1.0]);
                let mut rows = scaled(rows, deviation);
                rows.iter_mut().filter_map(|row| row.last_mut()).for_each(|bias| *bias += mean);
                rows
            }
        })
    }
}

/// Names for outputs that any runtime takes: letters, digits and underscores, each once and none that the graph has.
pub(crate) fn output_names(questions: &Questions, graph: &Graph) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for question in &questions.0 {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut name: String = question.answers.name.chars().map(plain).collect();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            name.insert(0, '_');
        }
        while names.contains(&name) || graph.find(&name).is_ok() {
            name.push('_');
        }
        names.push(name);
    }
    names
}

/// The model of a network with raw outputs, folded for inference.
pub(crate) fn package(origin: &Origin, graph: &Graph, params: Params, targets: &[Target]) -> Result<onnx::Model> {
    let heads = Heads::of(graph, &params)?;
    let body = body(graph)?;
    let mut params = only_of(&body, params);
    let features = body.value(body.outputs()[0]).name.clone();
    let net = Builder::from_graph(body);
    let features = net.find(&features);
    let mut outputs = Vec::new();
    for (head, target) in heads.0.iter().zip(targets) {
        let folded = target.fold(head);
        let layer = format!("{}.head", target.output);
        let linear = features.linear(&layer, folded.bias.len());
        folded.store(&layer, &mut params)?;
        outputs.push((
            target.output.as_str(),
            match target.kind {
                Kind::Class { .. } => linear.softmax(),
                Kind::YesNo { .. } => linear.sigmoid(),
                Kind::Number => linear,
            },
        ));
    }
    let mut graph = net.finish(&outputs)?;
    graph.name = "percept".into();
    let json = |e: serde_json::Error| Error::Setting(format!("metadata cannot be written: {e}"));
    let metadata = [
        (KEY, serde_json::to_string(targets).map_err(json)?),
        (key::PREPROCESS, serde_json::to_string(&origin.preprocess).map_err(json)?),
        (key::LICENCE, origin.licence.clone()),
        (key::BACKBONE, origin.name.clone()),
    ];
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    Ok(onnx::Model { graph, params, metadata })
}

/// A model that answers several questions about a picture.
pub struct Model {
    pub(super) network: Network,
    /// The questions.
    pub targets: Vec<Target>,
    /// How a picture is resized for it.
    pub preprocess: Preprocess,
}

impl Model {
    /// Opens a model file; nothing if it is a model of another kind.
    ///
    /// # Errors
    /// A file that is no model, or is damaged.
    pub fn open(path: &Path, settings: &Settings) -> Result<Option<Self>> {
        let onnx::Model { graph, params, metadata } = onnx::Model::read(path)?;
        let Some(targets) = metadata.get(KEY) else { return Ok(None) };
        let damaged = |key: &str, reason: String| Error::model(path, format!("its {key} is damaged: {reason}"));
        let targets: Vec<Target> = serde_json::from_str(targets).map_err(|e| damaged(KEY, e.to_string()))?;
        let preprocess = metadata.get(key::PREPROCESS).map_or("", String::as_str);
        let preprocess = serde_json::from_str(preprocess).map_err(|e| damaged(key::PREPROCESS, e.to_string()))?;
        let outputs = graph.outputs().iter().map(|&id| graph.value(id));
        let width = |target: &Target| i64::try_from(target.width()).ok();
        let fits = outputs.len() == targets.len()
            && outputs.zip(&targets).all(|(value, target)| {
                let columns = value.ty.shape.get(1).and_then(|dim| dim.as_const());
                value.name == target.output && value.ty.rank() == 2 && columns == width(target)
            });
        if !fits || targets.is_empty() {
            return Err(damaged(KEY, "it describes other outputs than the file has".into()));
        }
        Ok(Some(Self { network: Network::new(&graph, &params, settings.clone())?, targets, preprocess }))
    }

    /// A picture as the network takes it.
    pub fn prepare(&self, picture: &RgbImage) -> RgbImage {
        self.preprocess.apply(picture)
    }

    /// Numbers in the answers to a picture.
    pub fn width(&self) -> usize {
        self.targets.iter().map(Target::width).sum()
    }

    /// The answers to prepared pictures, a row for each: the outputs of all questions one after the other.
    ///
    /// # Errors
    /// Pictures of another size, or a network that takes something else.
    pub fn answers(&mut self, pictures: &[RgbImage]) -> Result<Vec<f32>> {
        let size = self.preprocess.crop() as usize;
        let mut rows = Vec::with_capacity(pictures.len() * self.width());
        for chunk in pictures.chunks(BATCH) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|picture| picture.as_raw()).copied().collect();
            let plan = self.network.run(&[(&[chunk.len(), size, size, 3], Input::U8(&bytes))])?;
            for i in 0..chunk.len() {
                for (k, width) in self.targets.iter().map(Target::width).enumerate() {
                    rows.extend_from_slice(&plan.output(k).1[i * width..(i + 1) * width]);
                }
            }
        }
        Ok(rows)
    }
}
