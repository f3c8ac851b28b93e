//! A generator at work.

use super::players::noise;
use crate::{Error, Result, output};
use image::{Rgb, RgbImage};
use percept_engine::{Input, Network, Settings};
use percept_graph::DType;
use percept_graph::onnx::Model;
use percept_photos::sheet;
use std::path::Path;

/// Pictures that are drawn at a time.
const BATCH: usize = 64;

/// A network from noise to pictures.
pub struct Generator {
    network: Network,
    /// How many numbers a picture is drawn from.
    noise: usize,
    channels: usize,
    size: usize,
}

impl Generator {
    /// Reads a model file.
    ///
    /// # Errors
    /// A file that cannot be read, or that is no generator as `percept gan train` writes it.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self> {
        Self::new(&Model::read(path)?, settings)?.ok_or_else(|| {
            Error::model(path, "is no generator of pictures: give the generator.onnx of a run of `percept gan train`")
        })
    }

    /// Nothing if it does not go from noise to square pictures.
    pub(super) fn new(model: &Model, settings: &Settings) -> Result<Option<Self>> {
        let type_of = |ids: &[_]| if let &[id] = ids { Some(model.graph.value(id).ty.clone()) } else { None };
        let sizes = |ids: &[_]| {
            let ty = type_of(ids).filter(|ty| ty.dtype == DType::F32 && ty.rank() == 4)?;
            let sizes = ty.shape[1..].iter().map(|dim| dim.as_const().and_then(|size| usize::try_from(size).ok()));
            <[usize; 3]>::try_from(sizes.collect::<Option<Vec<_>>>()?).ok()
        };
        match (sizes(model.graph.inputs()), sizes(model.graph.outputs())) {
            (Some([noise, 1, 1]), Some([channels @ (1 | 3), size, width])) if size == width => {
                let network = Network::new(&model.graph, &model.params, settings.clone())?;
                Ok(Some(Self { network, noise, channels, size }))
            }
            _ => Ok(None),
        }
    }

    /// Pictures `[count, channels, size, size]` from 0 to 1; the first are the same whatever `count` is.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn draw(&mut self, seed: u64, count: usize) -> Result<Vec<f32>> {
        let noise = noise(seed, "samples", [count, self.noise]);
        let mut pictures = Vec::with_capacity(count * self.len());
        for noise in noise.chunks(BATCH * self.noise.max(1)) {
            let shape = [noise.len() / self.noise, self.noise, 1, 1];
            pictures.extend_from_slice(self.network.run(&[(&shape, Input::F32(noise))])?.output(0).1);
        }
        Ok(pictures)
    }

    /// Numbers of one picture.
    pub(super) fn len(&self) -> usize {
        self.channels * self.size * self.size
    }

    /// Pictures as [`Generator::draw`] gives them on a sheet with so many in a row.
    pub(super) fn sheet(&self, pictures: &[f32], columns: usize) -> RgbImage {
        let plane = self.size * self.size;
        let tile = |picture: &[f32]| {
            RgbImage::from_fn(self.size as u32, self.size as u32, |x, y| {
                let at = y as usize * self.size + x as usize;
                let level = |channel: usize| (picture[channel % self.channels * plane + at] * 255.0 + 0.5) as u8;
                Rgb([0, 1, 2].map(level))
            })
        };
        sheet::contact_sheet(&pictures.chunks_exact(self.len()).map(tile).collect::<Vec<_>>(), columns)
    }
}

/// Writes a sheet of pictures that a generator draws.
///
/// # Errors
/// A model that is no generator, or an output that is there already or cannot be written.
pub fn sample(model: &Path, out: &Path, count: usize, seed: u64, settings: &Settings) -> Result<()> {
    output::absent(out)?;
    let mut generator = Generator::open(model, settings)?;
    let pictures = generator.draw(seed, count)?;
    Ok(sheet::save_png(&generator.sheet(&pictures, columns(count)), out)?)
}

/// Pictures in a row such that the sheet is about square.
pub(super) fn columns(count: usize) -> usize {
    (count as f64).sqrt().ceil() as usize
}
