//! Checkpoints: all that the next step of a training depends on, in one file that is replaced whole or not at all.
//!
//! Arenas (parameters, running statistics, what an optimiser remembers, means of weights) are lists by name; what is not a list of numbers (the
//! step, the seed, a [`Plateau`](crate::optim::Plateau), losses so far) is a description that serialises. Both come back to the
//! bit. The file is one of [`weights`](crate::weights) with the description in its metadata as JSON, so other tools read it.

use crate::weights::{Metadata, Stored, read_with_metadata, write_tensors};
use crate::{Error, Result};
use percept_graph::TensorData;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

/// The key of the metadata under which the description stands.
const KEY: &str = "percept.checkpoint";

/// Lists of numbers by name.
pub type Lists = HashMap<String, Vec<f32>>;

/// Writes a checkpoint; after a crash at any moment either the old or the new one is there.
///
/// ```
/// use percept_learn::checkpoint;
/// use percept_learn::optim::{Group, Optimizer, Plateau, State};
///
/// // Gradient descent with momentum on x², at a rate that falls on a plateau.
/// let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: false };
/// let groups = [Group { range: 0..1, rate: 1.0, weight_decay: 0.0 }];
/// let go_on = |plateau: &mut Plateau, state: &mut State, x: &mut Vec<f32>| {
///     let rate = 0.1 * plateau.observe((x[0] * x[0]).into());
///     let gradients = [2.0 * x[0]];
///     sgd.step(state, &groups, rate as f32, x, &gradients)
/// };
/// let mut plateau = Plateau { patience: 0, ..Plateau::default() };
/// let (mut state, mut x) = (State::new(&sgd, 1), vec![1.0]);
/// for _ in 0..5 {
///     go_on(&mut plateau, &mut state, &mut x)?;
/// }
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("five.safetensors");
/// let mut lists = state.lists();
/// lists.push(("x", &x));
/// checkpoint::save(&path, &(state.step, &plateau), &lists)?;
///
/// let (about, mut lists) = checkpoint::load::<(u64, Plateau)>(&path)?.ok_or("no checkpoint")?;
/// let (step, mut other_plateau) = about;
/// let mut other_state = State::from_lists(&sgd, 1, step, &mut lists).ok_or("another optimiser")?;
/// let mut other_x = lists.remove("x").ok_or("no x")?;
/// for _ in 0..5 {
///     go_on(&mut plateau, &mut state, &mut x)?;
///     go_on(&mut other_plateau, &mut other_state, &mut other_x)?;
/// }
/// assert_eq!((x[0].to_bits(), state), (other_x[0].to_bits(), other_state));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A file that cannot be written.
pub fn save(path: &Path, about: &impl Serialize, lists: &[(&str, &[f32])]) -> Result<()> {
    let json = serde_json::to_string(about)
        .map_err(|e| Error::Weights { path: path.into(), reason: format!("it cannot be written: {e}") })?;
    let metadata = Metadata::from([(KEY.to_string(), json)]);
    write_tensors(path, lists.iter().map(|(name, list)| (*name, Stored::list(list))), &metadata)
}

/// Reads a checkpoint; nothing if there is none.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that is damaged or of another form.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<(T, Lists)>> {
    let damaged = |reason: String| Error::Checkpoint { path: path.into(), reason };
    let (params, metadata) = match read_with_metadata(path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(Error::Weights { reason, .. }) => return Err(damaged(reason)),
        read => read?,
    };
    let json = metadata.get(KEY).ok_or_else(|| damaged("it says nothing about itself".into()))?;
    let about = serde_json::from_str(json).map_err(|e| damaged(e.to_string()))?;
    let mut lists = Lists::with_capacity(params.len());
    for (name, tensor) in params {
        let TensorData::F32(list) = tensor.into_data() else {
            return Err(damaged(format!("\"{name}\" is not a list of f32")));
        };
        lists.insert(name, list);
    }
    Ok(Some((about, lists)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::mixed;

    #[test]
    fn every_bit_comes_back_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stage.safetensors");
        assert!(load::<Vec<f64>>(&path).unwrap().is_none());
        let numbers = [0.1, -0.0, f32::MIN_POSITIVE / 8.0, f32::INFINITY];
        // Doubles of all sizes: some JSON readers are wrong in the last bit.
        let doubles = (0..10_000).map(|i| f64::from_bits(mixed(1, i))).filter(|x| x.is_finite()).collect::<Vec<_>>();
        save(&path, &doubles, &[("a", &numbers), ("none", &[])]).unwrap();
        let (about, lists) = load::<Vec<f64>>(&path).unwrap().unwrap();
        assert!(about == doubles);
        assert_eq!(lists["a"].iter().map(|x| x.to_bits()).collect::<Vec<_>>(), numbers.map(f32::to_bits));
        assert!(lists["none"].is_empty());

        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 7, 40, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let message = load::<Vec<f64>>(&path).unwrap_err().to_string();
            assert!(message.contains("stage.safetensors is damaged"), "{message}");
        }
        crate::weights::write(&path, &percept_graph::Params::new(), &Metadata::new()).unwrap();
        let message = load::<Vec<f64>>(&path).unwrap_err().to_string();
        assert!(message.contains("it says nothing about itself"), "{message}");
    }
}
