//! Checkpoints: named lists of numbers and a description in one safetensors file, which is replaced whole or not at all.
//!
//! safetensors holds numbers and nothing that can run, and other tools read it. What is not a number stands in its metadata as JSON.

use crate::{Error, Result};
use percept_graph::write_file;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::Path;

/// The key of the metadata under which the description stands.
const KEY: &str = "percept.checkpoint";

/// Lists of numbers by name.
pub(crate) type Lists = HashMap<String, Vec<f32>>;

/// Writes a checkpoint; after a crash at any moment either the old or the new one is there.
pub(crate) fn save(path: &Path, about: &impl Serialize, lists: &[(&str, &[f32])]) -> Result<()> {
    let bytes: Vec<(&str, Vec<u8>)> =
        lists.iter().map(|(name, list)| (*name, list.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let wrong = |reason: String| Error::Setting(format!("{} cannot be written: {reason}", path.display()));
    let view = |(name, bytes): &'_ (&str, Vec<u8>)| (name.to_string(), bytes.len() / 4);
    let views = bytes.iter().map(|entry| {
        let (name, len) = view(entry);
        TensorView::new(Dtype::F32, vec![len], &entry.1).map(|view| (name, view))
    });
    let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| wrong(e.to_string()))?;
    let json = serde_json::to_string(about).map_err(|e| wrong(e.to_string()))?;
    let metadata = HashMap::from([(KEY.to_string(), json)]);
    let file = serialize(views, Some(metadata)).map_err(|e| wrong(e.to_string()))?;
    write_file(path, &file).map_err(Error::io("write", path))
}

/// Reads a checkpoint; nothing if there is none.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<(T, Lists)>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Error::io("read", path))?,
    };
    let damaged = |reason: String| {
        Error::Setting(format!("{} is damaged ({reason}): remove it to begin this stage anew", path.display()))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let json = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let json = json.ok_or_else(|| damaged("it says nothing about itself".into()))?;
    let about = serde_json::from_str(json).map_err(|e| damaged(e.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
    let number = |bytes: &[u8]| f32::from_le_bytes(std::array::from_fn(|i| bytes[i]));
    let list = |(name, view): (String, TensorView<'_>)| match view.dtype() {
        Dtype::F32 => Ok((name, view.data().chunks_exact(4).map(number).collect())),
        other => Err(damaged(format!("\"{name}\" is of type {other:?}"))),
    };
    Ok(Some((about, tensors.tensors().into_iter().map(list).collect::<Result<_>>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_comes_back_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stage.safetensors");
        assert!(load::<Vec<f64>>(&path).unwrap().is_none());
        let numbers = [0.1, -0.0, f32::MIN_POSITIVE / 8.0, f32::INFINITY];
        save(&path, &vec![0.1f64 + 0.2], &[("a", &numbers), ("none", &[])]).unwrap();
        let (about, lists) = load::<Vec<f64>>(&path).unwrap().unwrap();
        assert_eq!(about, [0.1 + 0.2]);
        assert_eq!(lists["a"].iter().map(|x| x.to_bits()).collect::<Vec<_>>(), numbers.map(f32::to_bits));
        assert!(lists["none"].is_empty());

        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 7, 40, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let message = load::<Vec<f64>>(&path).unwrap_err().to_string();
            assert!(message.contains("stage.safetensors is damaged"), "{message}");
        }
    }
}
