//! Where on a picture the answers come from: how much each changes when a part is covered (Zeiler and Fergus, *Visualizing and Understanding
//! Convolutional Networks*, ECCV 2014).
//!
//! One pass through the network answers all questions, so the maps of all questions cost no more than that of one.

use super::{Model, Target};
use crate::Result;
use image::{Rgb, RgbImage};
use percept_photos::table::Kind;

/// Cells of a map along each side: half as large as those of the network's last map, which something small gets lost in.
pub const CELLS: usize = 14;
/// Cells that are covered at once along each side.
const COVERED: usize = 2;

/// A map over the picture as the network takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// Cells along each side.
    pub side: usize,
    /// A number from 0 up for each cell, row by row: how much the answer leans on it.
    pub values: Vec<f32>,
}

/// A map for each question about a prepared picture.
///
/// # Errors
/// A picture of another size than the network takes.
pub fn occlusion(model: &mut Model, picture: &RgbImage) -> Result<Vec<Heat>> {
    let size = picture.width();
    let mean = mean_colour(picture);
    let covered = |cell: usize| {
        let mut covered = picture.clone();
        let reach = |at: usize| {
            let middle = (at as f32 + 0.5) / CELLS as f32 * size as f32;
            let half = COVERED as f32 / 2.0 / CELLS as f32 * size as f32;
            ((middle - half).max(0.0).round() as u32)..((middle + half).round() as u32).min(size)
        };
        for y in reach(cell / CELLS) {
            reach(cell % CELLS).for_each(|x| covered.put_pixel(x, y, mean));
        }
        covered
    };
    let whole = model.answers(std::slice::from_ref(picture))?;
    let width = model.width();
    let mut rows = Vec::with_capacity(CELLS * CELLS * width);
    for row in 0..CELLS {
        let pictures: Vec<RgbImage> = (row * CELLS..(row + 1) * CELLS).map(covered).collect();
        rows.extend(model.answers(&pictures)?);
    }
    let mut begin = 0;
    let maps = model.targets.iter().map(|target| {
        let own = begin..begin + target.width();
        begin = own.end;
        let values = rows.chunks_exact(width).map(|row| loss(target, &whole[own.clone()], &row[own.clone()])).collect();
        Heat { side: CELLS, values }
    });
    Ok(maps.collect())
}

/// How much of an answer is gone: of the probability of what was said, or, in standard deviations, how far a number has moved.
fn loss(target: &Target, before: &[f32], after: &[f32]) -> f32 {
    match &target.kind {
        Kind::Class { .. } => {
            let best = (0..before.len()).fold(0, |best, k| if before[k] > before[best] { k } else { best });
            (before[best] - after[best]).max(0.0)
        }
        Kind::YesNo { .. } => {
            let towards = if before[0] >= 0.5 { 1.0 } else { -1.0 };
            (towards * (before[0] - after[0])).max(0.0)
        }
        Kind::Number => (before[0] - after[0]).abs() / target.scale.map_or(1.0, |scale| scale[1] as f32),
    }
}

fn mean_colour(picture: &RgbImage) -> Rgb<u8> {
    let count = u64::from(picture.width() * picture.height()).max(1);
    let sum = |c: usize| picture.pixels().map(|pixel| u64::from(pixel.0[c])).sum::<u64>();
    Rgb([0, 1, 2].map(|c| (sum(c) / count) as u8))
}

impl Heat {
    /// The share of all heat that lies within a box: left, top, right and bottom, from 0 to 1. Nothing if there is no heat.
    ///
    /// ```
    /// use percept_jobs::targets::Heat;
    /// let heat = Heat { side: 2, values: vec![0.0, 3.0, 0.0, 1.0] };
    /// assert_eq!(heat.share([0.5, 0.0, 1.0, 0.5]), Some(0.75));
    /// ```
    pub fn share(&self, [left, top, right, bottom]: [f64; 4]) -> Option<f64> {
        let side = self.side as f64;
        let overlap = |i: usize, low: f64, high: f64| {
            let (from, to) = (i as f64 / side, (i + 1) as f64 / side);
            ((to.min(high) - from.max(low)) * side).max(0.0)
        };
        let all: f64 = self.values.iter().map(|&x| f64::from(x)).sum();
        let inside = |(i, &x): (usize, &f32)| {
            f64::from(x) * overlap(i % self.side, left, right) * overlap(i / self.side, top, bottom)
        };
        (all > 0.0).then(|| self.values.iter().enumerate().map(inside).sum::<f64>() / all)
    }

    /// The picture with the heat over it, between the middles of cells interpolated: what leaves the answer as it is darkens.
    pub fn over(&self, picture: &RgbImage) -> RgbImage {
        let most = self.values.iter().copied().fold(0.0, f32::max);
        let side = self.side as f32;
        let value = |x: u32, y: u32| {
            let at = |x: u32, of: u32| ((x as f32 + 0.5) / of as f32 * side - 0.5).clamp(0.0, side - 1.0);
            let (x, y) = (at(x, picture.width()), at(y, picture.height()));
            let cell = |i: f32, k: f32| self.values[(k.min(side - 1.0) * side + i.min(side - 1.0)) as usize];
            let (i, k) = (x.floor(), y.floor());
            let blend = |a: f32, b: f32, share: f32| a + (b - a) * share;
            let upper = blend(cell(i, k), cell(i + 1.0, k), x - i);
            let lower = blend(cell(i, k + 1.0), cell(i + 1.0, k + 1.0), x - i);
            if most > 0.0 { blend(upper, lower, y - k) / most } else { 0.0 }
        };
        RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
            let heat = value(x, y);
            // From the darkened picture to a glowing one.
            let glow = [255.0, 96.0 + 110.0 * heat, 32.0];
            let pixel = picture.get_pixel(x, y).0;
            Rgb(std::array::from_fn(|c| {
                let dark = f32::from(pixel[c]) * (0.45 + 0.55 * heat);
                (dark + (glow[c] - dark) * 0.45 * heat) as u8
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_heat_follow_the_area_of_cells_that_a_box_covers() {
        let heat = Heat { side: 2, values: vec![1.0; 4] };
        assert_eq!(heat.share([0.0, 0.0, 1.0, 1.0]), Some(1.0));
        assert_eq!(heat.share([0.25, 0.25, 0.75, 0.75]), Some(0.25));
        assert_eq!(Heat { side: 2, values: vec![0.0; 4] }.share([0.0, 0.0, 1.0, 1.0]), None);
    }

    #[test]
    fn the_hottest_place_of_a_picture_glows() {
        let grey = RgbImage::from_pixel(40, 40, Rgb([100; 3]));
        let mut values = vec![0.0; 16];
        values[6] = 2.0;
        let shown = Heat { side: 4, values }.over(&grey);
        assert!(shown.get_pixel(25, 15).0[0] > 150, "{:?}", shown.get_pixel(25, 15));
        assert!(shown.get_pixel(2, 35).0[0] < 60);
        assert_eq!(Heat { side: 1, values: vec![0.0] }.over(&grey).get_pixel(0, 0).0, [45; 3]);
    }
}
