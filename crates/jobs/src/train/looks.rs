//! Where a new model looks: heat maps for the report.
//!
//! They are of the photos that accuracy was measured on where there are any of a class, so they go with the figures. Grad-CAM alone: it
//! takes a pass a photo and class, where occlusion takes 197.

use crate::evaluate::Evaluation;
use crate::event::Phase;
use crate::explain::{GradCam, Heat, overlay};
use crate::report::{Look, Picture};
use crate::{Classifier, Result, parallel};
use image::RgbImage;
use image::imageops;
use percept_engine::Settings;
use percept_photos::decode;
use percept_photos::resize::Window;
use std::path::{Path, PathBuf};

/// Photos that are decoded at once.
const GROUP: usize = 32;

/// Finds out where a model looks.
pub(super) struct Looker<'a> {
    classifier: &'a Classifier,
    cam: Option<GradCam>,
    settings: &'a Settings,
}

impl<'a> Looker<'a> {
    /// A model that is trained is not to be lost for want of its heat maps, so what is wrong with them is a warning.
    pub(super) fn new(classifier: &'a Classifier, settings: &'a Settings, phase: &mut Phase<'_>) -> Self {
        let cam = classifier.grad_cam(settings).unwrap_or_else(|error| {
            phase.warning(format!("the report has no heat maps: {error}"));
            None
        });
        Self { classifier, cam, settings }
    }

    /// What of each photo speaks for each of some classes, as the network gets it and `side` pixels wide. Empty for a photo that cannot
    /// be read, and where the network has no feature map.
    pub(super) fn look(&mut self, photos: &[(&Path, Vec<usize>)], side: u32) -> Result<Vec<Vec<Picture>>> {
        let mut all = Vec::with_capacity(photos.len());
        let Some(cam) = &mut self.cam else { return Ok(photos.iter().map(|_| Vec::new()).collect()) };
        for group in photos.chunks(GROUP) {
            let prepare = |(path, _): &(&Path, _), _| Some(self.classifier.prepare(&decode::open(path).ok()?));
            for (prepared, (_, classes)) in parallel::map(&self.settings.pool, group, prepare).iter().zip(group) {
                let Some(prepared) = prepared else {
                    all.push(Vec::new());
                    continue;
                };
                let shown = imageops::thumbnail(prepared, side, side);
                let one = |&class: &usize| Ok(covered(&shown, &self.classifier.heat(cam, prepared, class)?));
                all.push(classes.iter().map(one).collect::<Result<_>>()?);
            }
        }
        Ok(all)
    }

    /// A photo of each class under what speaks for the class: one that the model names right if there is one.
    pub(super) fn examples(&mut self, evaluation: &Evaluation, firsts: &[PathBuf], side: u32) -> Result<Vec<Look>> {
        let labels = &self.classifier.labels;
        let answers = &evaluation.answers;
        let mut chosen: Vec<(Option<usize>, bool)> = vec![(None, false); labels.len()];
        for (i, row) in answers.probabilities.chunks_exact(labels.len().max(1)).enumerate() {
            let truth = answers.truth[i];
            let right = row.iter().all(|&p| p <= row[truth]);
            let choice = &mut chosen[truth];
            if choice.0.is_none() || right && !choice.1 {
                *choice = (Some(i), right);
            }
        }
        let photo = |class: usize| match chosen[class].0 {
            Some(i) => &*answers.pictures[i],
            None => &*firsts[class],
        };
        let photos: Vec<_> = (0..labels.len()).map(|class| (photo(class), vec![class])).collect();
        let pictures = self.look(&photos, side)?;
        let look = |(label, pictures): (&String, Vec<Picture>)| {
            Some(Look { label: label.clone(), picture: pictures.into_iter().next()? })
        };
        Ok(labels.iter().zip(pictures).filter_map(look).collect())
    }
}

/// A small square photo under its heat map.
fn covered(shown: &RgbImage, heat: &Heat) -> Picture {
    let seen = Window { x: 0.0, y: 0.0, width: shown.width().into(), height: shown.height().into() };
    super::summary::jpeg(&overlay(shown, seen, heat))
}
