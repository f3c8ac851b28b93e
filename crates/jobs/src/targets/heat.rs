//! Where on a picture the answers come from.
//!
//! Covering a place ([`occlude_by`]) shows what is small, since its cells are half as large as those of the network's last map, on which Grad-CAM
//! paints; and one pass through the network answers all questions, so the maps of all cost no more than that of one.

use super::{Model, Target};
use crate::Result;
use crate::explain::{GradCam, Heat, log_odds, occlude_by};
use image::RgbImage;
use percept_engine::{Input, Settings};
use percept_photos::table::Kind;

/// How wide what is covered is, in fourteenths of the picture, such that something small is found.
pub const COVERED: u32 = 2;

/// For each question a map of what covering a place of a prepared picture does to its answer: how much of the log-odds of a class is gone,
/// or of the probability of the yes or no that was said, or by how many standard deviations a number changes. What is covered is `covered`
/// fourteenths of the picture wide; reports take [`COVERED`].
///
/// # Errors
/// A picture of another size than the network takes.
pub fn occlusion(model: &mut Model, picture: &RgbImage, covered: u32) -> Result<Vec<Heat>> {
    let (width, mut rows) = (model.width().max(1), Vec::new());
    let cells = occlude_by(picture, covered, &mut |pictures| {
        let more = model.answers(pictures)?;
        let first = more.chunks_exact(width).map(|row| row[0]).collect();
        rows.extend(more);
        Ok(first)
    })?;
    let (whole, rows) = rows.split_at(width.min(rows.len()));
    let mut begin = 0;
    let maps = model.targets.iter().map(|target| {
        let own = begin..begin + target.width();
        begin = own.end;
        let values =
            rows.chunks_exact(width).map(|row| change(target, &whole[own.clone()], &row[own.clone()])).collect();
        Heat { values, ..cells }
    });
    Ok(maps.collect())
}

fn change(target: &Target, before: &[f32], after: &[f32]) -> f32 {
    match &target.kind {
        Kind::Class { .. } => {
            let said = most(before);
            log_odds(before, said) - log_odds(after, said)
        }
        Kind::YesNo { .. } if before[0] < 0.5 => after[0] - before[0],
        Kind::YesNo { .. } => before[0] - after[0],
        Kind::Number => (before[0] - after[0]).abs() / target.scale.map_or(1.0, |scale| scale[1] as f32),
    }
}

fn most(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best })
}

impl Model {
    /// What finds out where the network looks for a question; `None` if it has no feature map. See [`GradCam::new`].
    ///
    /// # Errors
    /// A question that the model does not have, an operator without a derivative behind the feature map.
    pub fn grad_cam(&self, question: usize, settings: &Settings) -> Result<Option<GradCam>> {
        let size = self.preprocess.crop() as usize;
        GradCam::new(&self.network, &[1, size, size, 3], question, settings)
    }

    /// What of a prepared picture speaks for an answer, by Grad-CAM: for the most probable label, for yes, for a larger number. `row` is the
    /// answer to the question.
    ///
    /// # Errors
    /// A picture of another size than the network takes.
    pub fn heat(&self, cam: &mut GradCam, prepared: &RgbImage, row: &[f32]) -> Result<Heat> {
        cam.heat(Input::U8(prepared.as_raw()), most(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: Kind) -> Target {
        let scale = (kind == Kind::Number).then_some([10.0, 4.0]);
        Target { name: "q".into(), output: "q".into(), kind, scale, temperature: None, within90: None }
    }

    #[test]
    fn heat_is_what_speaks_for_what_was_said() {
        let class = target(Kind::Class { labels: ["a", "b"].map(String::from).to_vec() });
        assert!((change(&class, &[0.25, 0.75], &[0.5, 0.5]) - 3f32.ln()).abs() < 1e-6);
        let word = target(Kind::YesNo { labels: ["no", "yes"].map(String::from) });
        assert_eq!(change(&word, &[0.75], &[0.25]), 0.5);
        assert_eq!(change(&word, &[0.25], &[0.75]), 0.5);
        assert_eq!(change(&target(Kind::Number), &[12.0], &[14.0]), 0.5);
    }
}
