//! A generator at work.

use super::players::noise;
use crate::classifier::key;
use crate::{Error, Result, output};
use image::{Rgb, RgbImage};
use percept_engine::{Input, Network, Settings};
use percept_graph::DType;
use percept_graph::onnx::Model;
use percept_photos::sheet;
use std::path::{Path, PathBuf};

/// Pictures that are drawn at a time.
const BATCH: usize = 64;
/// Pictures on a sheet if nobody says how many, and the most in a row of one with classes.
const SHEET: usize = 64;
const WIDEST: usize = 32;

/// A network from noise, and maybe a class, to pictures.
pub struct Generator {
    network: Network,
    /// The names of the classes that can be asked for.
    pub classes: Vec<String>,
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
            Error::model(path, "is no generator of pictures: give a run of `percept gan train`, or its generator.onnx")
        })
    }

    /// Nothing if it does not go from noise, and a class if it has classes, to square pictures.
    pub(super) fn new(model: &Model, settings: &Settings) -> Result<Option<Self>> {
        let sizes = |id| {
            let ty = Some(&model.graph.value(id).ty).filter(|ty| ty.dtype == DType::F32 && ty.rank() == 4)?;
            let sizes = ty.shape[1..].iter().map(|dim| dim.as_const().and_then(|size| usize::try_from(size).ok()));
            <[usize; 3]>::try_from(sizes.collect::<Option<Vec<_>>>()?).ok()
        };
        let labels = model.metadata.get(key::LABELS).and_then(|json| serde_json::from_str::<Vec<String>>(json).ok());
        let classes = labels.unwrap_or_default();
        let (input, fits) = match *model.graph.inputs() {
            [noise] => (noise, classes.is_empty()),
            [noise, class] => {
                let ty = &model.graph.value(class).ty;
                (noise, ty.dtype == DType::I64 && ty.rank() == 1 && !classes.is_empty())
            }
            _ => return Ok(None),
        };
        let &[output] = model.graph.outputs() else { return Ok(None) };
        match (sizes(input), sizes(output)) {
            (Some([noise, 1, 1]), Some([channels @ (1 | 3), size, width])) if fits && noise > 0 && size == width => {
                let network = Network::new(&model.graph, &model.params, settings.clone())?;
                Ok(Some(Self { network, classes, noise, channels, size }))
            }
            _ => Ok(None),
        }
    }

    /// Pictures `[count, channels, size, size]` from 0 to 1, of one class or of all in turn; the first are the same whatever `count` is.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn draw(&mut self, seed: u64, count: usize, class: Option<usize>) -> Result<Vec<f32>> {
        let noise = noise(seed, "samples", [count, self.noise]);
        let classes: Vec<i64> = (0..count).map(|i| class.unwrap_or_else(|| self.in_turn(i)) as i64).collect();
        let mut pictures = Vec::with_capacity(count * self.len());
        for (noise, classes) in noise.chunks(BATCH * self.noise).zip(classes.chunks(BATCH)) {
            let (shape, count) = ([classes.len(), self.noise, 1, 1], [classes.len()]);
            let mut inputs = vec![(&shape[..], Input::F32(noise))];
            inputs.extend((!self.classes.is_empty()).then_some((&count[..], Input::I64(classes))));
            pictures.extend_from_slice(self.network.run(&inputs)?.output(0).1);
        }
        Ok(pictures)
    }

    /// The class of a picture if none is asked for.
    fn in_turn(&self, i: usize) -> usize {
        i % self.classes.len().max(1)
    }

    /// Numbers of one picture.
    pub(super) fn len(&self) -> usize {
        self.channels * self.size * self.size
    }

    /// Pictures in a row of a sheet of so many of all classes: each class has columns of its own, as far as they fit.
    pub(super) fn columns(&self, count: usize) -> usize {
        match self.classes.len() {
            0 => square(count),
            classes => (square(SHEET) / classes).max(1) * classes.min(WIDEST),
        }
    }

    /// How many pictures a sheet has if nobody says it: whole rows.
    pub(super) fn usual(&self) -> usize {
        let columns = self.columns(SHEET);
        (SHEET / columns).max(1) * columns
    }

    /// Pictures as [`Generator::draw`] gives them.
    pub(super) fn pictures(&self, numbers: &[f32]) -> Vec<RgbImage> {
        let plane = self.size * self.size;
        let picture = |picture: &[f32]| {
            RgbImage::from_fn(self.size as u32, self.size as u32, |x, y| {
                let at = y as usize * self.size + x as usize;
                let level = |channel: usize| (picture[channel % self.channels * plane + at] * 255.0 + 0.5) as u8;
                Rgb([0, 1, 2].map(level))
            })
        };
        numbers.chunks_exact(self.len()).map(picture).collect()
    }
}

/// What is to be drawn.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The run, or its `generator.onnx`.
    pub model: PathBuf,
    /// A PNG, which becomes a sheet, or else a folder of single pictures, in a folder for each class.
    pub out: PathBuf,
    /// How many pictures; absent for as many as a run's `samples.png` has.
    pub count: Option<usize>,
    /// The name of a class; absent for all in turn.
    pub class: Option<String>,
    /// Seed of the noise that they are drawn from.
    pub seed: u64,
}

/// Writes pictures that a generator draws.
///
/// # Errors
/// A model that is no generator, a class that it does not know, or an output that is there already or cannot be written.
pub fn sample(request: &Request, settings: &Settings) -> Result<()> {
    let Request { model, out, seed, .. } = request;
    output::absent(out)?;
    let file = if model.is_dir() { model.join("generator.onnx") } else { model.clone() };
    let mut generator = Generator::open(&file, settings)?;
    let class = request.class.as_ref().map(|name| position(&generator.classes, name)).transpose()?;
    let count = request.count.unwrap_or_else(|| generator.usual());
    let pictures = generator.draw(*seed, count, class)?;
    let pictures = generator.pictures(&pictures);
    if out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
        let columns = if class.is_some() { square(count) } else { generator.columns(count) };
        return Ok(sheet::save_png(&sheet::contact_sheet(&pictures, columns), out)?);
    }
    let folder = output::Folder::create(out)?;
    for (i, picture) in pictures.iter().enumerate() {
        let name = generator.classes.get(class.unwrap_or_else(|| generator.in_turn(i)));
        let part = match name {
            Some(name) => folder.path().join(output::folder_name(name)?),
            None => folder.path().to_path_buf(),
        };
        std::fs::create_dir_all(&part).map_err(Error::io("create", &part))?;
        sheet::save_png(picture, &part.join(format!("{i:05}.png")))?;
    }
    folder.finish()
}

fn position(classes: &[String], name: &str) -> Result<usize> {
    classes.iter().position(|class| class == name).ok_or_else(|| {
        let known: Vec<_> = classes.iter().take(20).map(|name| format!("\"{name}\"")).collect();
        Error::Setting(match classes.len() {
            0 => "the generator has no classes to choose from: leave --class away".into(),
            n if n > known.len() => {
                format!("there is no class \"{name}\"; those of the generator are {} and others", known.join(", "))
            }
            _ => format!("there is no class \"{name}\"; those of the generator are {}", known.join(", ")),
        })
    })
}

/// Pictures in a row such that a sheet of so many is about square.
fn square(count: usize) -> usize {
    (count as f64).sqrt().ceil() as usize
}
