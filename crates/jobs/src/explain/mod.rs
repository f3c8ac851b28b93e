//! `percept explain`: which part of a picture an answer comes from.
//!
//! Two methods stand side by side because they fail in different ways. [`GradCam`] asks the network's last feature map what spoke for the
//! answer: one pass, but on a coarse grid, and a linear look at what is not linear. [`occlude`] covers a patch at a time and sees
//! what that does to the answer: it needs nothing but answers, so it holds for every network, but a patch is itself something to see.
//! Where both agree, the answer does come from there.

mod cover;
mod grad_cam;
mod occlusion;

pub(crate) use cover::colour;
pub use cover::{overlay, side_by_side};
pub use grad_cam::GradCam;
pub use occlusion::{Score, log_odds, occlude, occlude_by};

use crate::predict::Answer;
use crate::{Classifier, Error, Result, output};
use image::RgbImage;
use percept_engine::Settings;
use percept_photos::resize::Window;
use percept_photos::{decode, sheet};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How much each place of a prepared picture speaks for an answer: a grid of cells that covers all of it.
///
/// Values are in units of the method's own, larger for more, and negative where something speaks against the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    /// Cells from top to bottom.
    pub rows: usize,
    /// Cells from left to right.
    pub columns: usize,
    /// A value a cell, row by row.
    pub values: Vec<f32>,
}

impl Heat {
    /// The cell with the largest value: row, column and value.
    ///
    /// ```
    /// use percept_jobs::explain::Heat;
    /// let heat = Heat { rows: 2, columns: 2, values: vec![0.0, 1.0, 3.0, -5.0] };
    /// assert_eq!(heat.maximum(), (1, 0, 3.0));
    /// ```
    pub fn maximum(&self) -> (usize, usize, f32) {
        let best = (0..self.values.len()).fold(0, |best, i| if self.values[i] > self.values[best] { i } else { best });
        let columns = self.columns.max(1);
        (best / columns, best % columns, self.values.get(best).copied().unwrap_or(0.0))
    }

    /// The value at a place of the picture, bilinear between the middles of the cells; `x` and `y` are between 0 (left, top) and 1.
    ///
    /// ```
    /// use percept_jobs::explain::Heat;
    /// let heat = Heat { rows: 1, columns: 2, values: vec![0.0, 1.0] };
    /// assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|x| heat.at(x, 0.5)), [0.0, 0.0, 0.5, 1.0, 1.0]);
    /// ```
    pub fn at(&self, x: f64, y: f64) -> f32 {
        let between = |place: f64, cells: usize| {
            let last = cells.saturating_sub(1);
            let place = (place * cells as f64 - 0.5).clamp(0.0, last as f64);
            let first = (place as usize).min(last);
            (first, (first + 1).min(last), (place - first as f64) as f32)
        };
        let ((left, right, x), (top, bottom, y)) = (between(x, self.columns), between(y, self.rows));
        let value = |row: usize, column: usize| self.values.get(row * self.columns + column).copied().unwrap_or(0.0);
        let along = |row: usize| value(row, left) * (1.0 - x) + value(row, right) * x;
        along(top) * (1.0 - y) + along(bottom) * y
    }
}

/// How heat maps are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// See [`GradCam`].
    GradCam,
    /// See [`occlude`].
    Occlusion,
    /// One beside the other; occlusion alone for a network that has no feature map.
    Both,
}

/// What an answer comes from.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The picture.
    pub picture: String,
    /// Its width and height in pixels.
    pub size: [u32; 2],
    /// What the model says that it shows.
    pub answer: Answer,
    /// The class that the heat maps are of, and its probability.
    pub explained: Answer,
    /// The part of the picture that the network gets, in the picture's pixels.
    pub seen: Window,
    /// The network's own feature map; absent if it was not asked for, or there is none.
    pub grad_cam: Option<Map>,
    /// What covering a place does.
    pub occlusion: Option<Map>,
    /// The probability of the class that is left when the place that matters most is covered.
    pub covered: Option<f32>,
    /// Why Grad-CAM is absent although it was asked for.
    pub note: Option<String>,
}

/// A heat map, and where in the picture it is hottest.
#[derive(Debug, Serialize)]
pub struct Map {
    /// The heat map, over the part of the picture that the network gets.
    #[serde(flatten)]
    pub heat: Heat,
    /// The hottest cell.
    pub maximum: Maximum,
}

/// The hottest cell of a heat map.
#[derive(Debug, Serialize)]
pub struct Maximum {
    /// Its row, from 0.
    pub row: usize,
    /// Its column, from 0.
    pub column: usize,
    /// Its value.
    pub value: f32,
    /// The middle of the cell from the left, in the picture's pixels.
    pub x: f64,
    /// The middle of the cell from the top.
    pub y: f64,
}

impl Map {
    fn new(heat: Heat, seen: &Window) -> Self {
        let (row, column, value) = heat.maximum();
        let middle = |cell: usize, cells: usize| (cell as f64 + 0.5) / cells.max(1) as f64;
        let x = seen.x + seen.width * middle(column, heat.columns);
        let y = seen.y + seen.height * middle(row, heat.rows);
        Self { maximum: Maximum { row, column, value, x, y }, heat }
    }
}

/// What a network without a feature map is told.
const NO_MAP: &str = "the network has no feature map with several positions, which Grad-CAM needs";

/// Explains the answer that a model gives to a picture, or why it gives `class` as much as it does; writes the picture with the heat
/// maps beside it to `out` if there is such a path.
///
/// # Errors
/// A picture that cannot be read, a class that the model does not know, an output that exists; Grad-CAM alone for a network that has no
/// feature map.
pub fn explain(
    classifier: &mut Classifier,
    path: &Path,
    class: Option<&str>,
    method: Method,
    out: Option<&Path>,
    settings: &Settings,
) -> Result<Explanation> {
    out.map(output::absent).transpose()?;
    let class = class.map(|name| find_class(&classifier.labels, name)).transpose()?;
    let picture = decode::open(path)?;
    let prepared = classifier.prepare(&picture);
    let row = classifier.probabilities(std::slice::from_ref(&prepared))?;
    let best = (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    let class = class.unwrap_or(best);
    let answer = |i: usize| Answer { label: classifier.labels[i].clone(), probability: row[i] };
    let (size, seen) = (picture.dimensions(), classifier.preprocess.window(picture.width(), picture.height()));
    let mut explanation = Explanation {
        picture: path.display().to_string(),
        size: size.into(),
        answer: answer(best),
        explained: answer(class),
        seen,
        grad_cam: None,
        occlusion: None,
        covered: None,
        note: None,
    };
    if method != Method::Occlusion {
        match classifier.grad_cam(settings)? {
            Some(mut cam) => {
                let heat = classifier.heat(&mut cam, &prepared, class)?;
                explanation.grad_cam = Some(Map::new(heat, &seen));
            }
            None if method == Method::GradCam => {
                return Err(Error::Setting(format!("{NO_MAP}: use --method occlusion")));
            }
            None => explanation.note = Some(NO_MAP.into()),
        }
    }
    if method != Method::GradCam {
        let map = Map::new(classifier.occlude(&prepared, class)?, &seen);
        let left = log_odds(&row, class) - map.maximum.value;
        explanation.covered = Some(1.0 / (1.0 + (-left).exp()));
        explanation.occlusion = Some(map);
    }
    if let Some(out) = out {
        let heats = [&explanation.grad_cam, &explanation.occlusion].map(|map| map.as_ref().map(|map| &map.heat));
        save(&side_by_side(&picture, seen, &heats.into_iter().flatten().collect::<Vec<_>>()), out)?;
    }
    Ok(explanation)
}

/// Writes a picture as what its name says, JPEG or else PNG.
fn save(picture: &RgbImage, out: &Path) -> Result<()> {
    let jpeg = out.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"));
    Ok(if jpeg { sheet::save_jpeg(picture, out) } else { sheet::save_png(picture, out) }?)
}

/// The index of a class by its name, or by its number.
fn find_class(labels: &[String], name: &str) -> Result<usize> {
    let number = || name.parse().ok().filter(|&i: &usize| i < labels.len());
    labels.iter().position(|label| label == name).or_else(number).ok_or_else(|| {
        let wish = name.to_lowercase();
        let alike: Vec<_> = labels.iter().filter(|label| label.to_lowercase().contains(&wish)).collect();
        let shown = if alike.is_empty() { labels.iter().collect() } else { alike };
        let names: Vec<String> = shown.iter().take(5).map(|label| format!("\"{label}\"")).collect();
        let names = names.join(", ");
        Error::Setting(format!("the model does not know \"{name}\": it has {} classes, such as {names}", labels.len()))
    })
}

impl Classifier {
    /// What finds out where this model looks; `None` if it has no feature map. See [`GradCam::new`].
    ///
    /// # Errors
    /// An operator without a derivative behind the feature map.
    pub fn grad_cam(&self, settings: &Settings) -> Result<Option<GradCam>> {
        GradCam::new(self.network(), &self.input(&[]).shape, 0, settings)
    }

    /// What of a prepared picture speaks for a class, by Grad-CAM.
    ///
    /// # Errors
    /// A class that the model does not have.
    pub fn heat(&self, cam: &mut GradCam, prepared: &RgbImage, class: usize) -> Result<Heat> {
        cam.heat(self.input(std::slice::from_ref(prepared)).data(), class)
    }

    /// What covering each place of a prepared picture takes away from the log-odds of a class: see [`occlude`].
    ///
    /// # Errors
    /// A network that cannot be run.
    pub fn occlude(&mut self, prepared: &RgbImage, class: usize) -> Result<Heat> {
        let classes = self.labels.len().max(1);
        occlude(prepared, &mut |pictures| {
            let rows = self.probabilities(pictures)?;
            Ok(rows.chunks_exact(classes).map(|row| log_odds(row, class)).collect())
        })
    }
}
