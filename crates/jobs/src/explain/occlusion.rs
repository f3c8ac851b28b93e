//! Occlusion: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014.
//!
//! A patch is put over each place of the picture in turn, and what the score loses by it is the heat of that place. Patches lie around the
//! middles of a regular grid of cells, so the heat map has the geometry of any other, up to the border. They are four cells wide, 2/7 of the
//! picture: smaller ones hide too little of a thing for its name to change, and what is left is noise (the rank correlation with Grad-CAM
//! was 0.26, 0.41, 0.43 and 0.56 with patches of two, three, four and six cells; median of 8 photos). They have the picture's mean
//! colour: the grey of the paper is a mark of its own on a white or a dark picture.

use super::Heat;
use crate::Result;
use crate::classifier::BATCH;
use image::{Rgb, RgbImage, imageops};

/// Cells along each side, of 16 pixels in a picture of 224, and how many of them a patch is wide.
const CELLS: u32 = 14;
const COVERED: u32 = 4;

/// Gives a number for each picture.
pub type Score<'a> = &'a mut dyn FnMut(&[RgbImage]) -> Result<Vec<f32>>;

/// What each place of a prepared picture is worth: the score of the picture less the score with that place covered.
///
/// `score` gives a number for each of the pictures that it is handed, of which the first is the picture itself. For the classes of a
/// softmax that number is best [`log_odds`].
///
/// ```
/// use percept_jobs::explain::occlude;
/// // One bright corner, and a score that is the brightness of that corner.
/// let mut picture = image::RgbImage::new(28, 28);
/// picture.put_pixel(0, 0, image::Rgb([255; 3]));
/// let heat = occlude(&picture, &mut |pictures| Ok(pictures.iter().map(|p| f32::from(p.get_pixel(0, 0)[0])).collect()))?;
/// assert_eq!((heat.rows, heat.columns, heat.maximum()), (14, 14, (0, 0, 255.0)));
/// # Ok::<(), percept_jobs::Error>(())
/// ```
///
/// # Errors
/// Those of `score`.
pub fn occlude(picture: &RgbImage, score: Score<'_>) -> Result<Heat> {
    occlude_by(picture, COVERED, score)
}

/// The same with patches of so many cells: smaller ones for what is small.
///
/// # Errors
/// Those of `score`.
pub fn occlude_by(picture: &RgbImage, covered: u32, score: Score<'_>) -> Result<Heat> {
    let (width, height) = picture.dimensions();
    let (rows, columns) = (CELLS.min(height), CELLS.min(width));
    let colour = mean_colour(picture);
    let cover = |row: u32, column: u32| {
        let (left, right) = patch(column, covered, columns, width);
        let (top, bottom) = patch(row, covered, rows, height);
        let mut covered = picture.clone();
        let patch = RgbImage::from_pixel(right - left, bottom - top, colour);
        imageops::replace(&mut covered, &patch, i64::from(left), i64::from(top));
        covered
    };
    let cells: Vec<(u32, u32)> = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).collect();
    let whole = score(std::slice::from_ref(picture))?.first().copied().unwrap_or(0.0);
    let mut values = Vec::with_capacity(cells.len());
    for chunk in cells.chunks(BATCH) {
        let covered: Vec<RgbImage> = chunk.iter().map(|&(row, column)| cover(row, column)).collect();
        values.extend(score(&covered)?.into_iter().map(|left| whole - left));
    }
    Ok(Heat { rows: rows as usize, columns: columns as usize, values })
}

/// The logarithm of the odds of a class: of its probability against that of all others.
///
/// What covering a place takes away from it is the weight of evidence there. A probability barely moves where the model is sure; the sum of
/// the other probabilities keeps its precision, so this does move.
///
/// ```
/// use percept_jobs::explain::log_odds;
/// assert_eq!(log_odds(&[0.5, 0.25, 0.25], 0), 0.0);
/// assert_eq!(log_odds(&[1.0, 1e-20], 0), 1e20f64.ln() as f32);
/// ```
pub fn log_odds(probabilities: &[f32], class: usize) -> f32 {
    let others = probabilities.iter().enumerate().filter(|&(i, _)| i != class).map(|(_, &p)| f64::from(p)).sum::<f64>();
    let own = probabilities.get(class).map_or(0.0, |&p| f64::from(p));
    // A probability too small for a float is taken as the smallest one.
    let least = f64::from(f32::MIN_POSITIVE);
    (own.max(least).ln() - others.max(least).ln()) as f32
}

/// From where to where a patch of so many cells around the middle of one reaches, along a side of so many pixels, as far as there is a picture.
fn patch(cell: u32, covered: u32, cells: u32, side: u32) -> (u32, u32) {
    let at = |halves: u32| u64::from(halves) * u64::from(side) / u64::from(2 * cells.max(1));
    let middle = 2 * cell + 1;
    let (first, last) = (at(middle.saturating_sub(covered)), at(middle + covered).min(u64::from(side)));
    (first as u32, (last as u32).max(first as u32 + 1))
}

fn mean_colour(picture: &RgbImage) -> Rgb<u8> {
    let mut sums = [0u64; 3];
    picture.pixels().for_each(|pixel| sums.iter_mut().zip(pixel.0).for_each(|(sum, value)| *sum += u64::from(value)));
    let count = u64::from(picture.width()) * u64::from(picture.height());
    Rgb(sums.map(|sum| ((sum + count / 2) / count.max(1)) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_reach_two_cells_from_the_middle_and_cover_every_pixel() {
        assert_eq!([0, 1, 6, 13].map(|cell| patch(cell, 4, 14, 224)), [(0, 40), (0, 56), (72, 136), (184, 224)]);
        assert_eq!([0, 1, 6, 13].map(|cell| patch(cell, 2, 14, 224)), [(0, 24), (8, 40), (88, 120), (200, 224)]);
        for (cells, side) in [(14, 224), (14, 28), (14, 33), (5, 5), (1, 1), (14, 15)] {
            let patches: Vec<_> = (0..cells).map(|cell| patch(cell, COVERED, cells, side)).collect();
            assert!(patches.iter().all(|&(from, to)| from < to && to <= side), "{patches:?}");
            assert!(patches.windows(2).all(|pair| pair[1].0 <= pair[0].1), "{patches:?}");
            assert_eq!((patches[0].0, patches[cells as usize - 1].1), (0, side));
        }
    }

    #[test]
    fn the_patch_has_the_mean_colour_so_an_even_picture_stays_as_it_is() {
        let even = RgbImage::from_pixel(30, 20, Rgb([250, 3, 99]));
        let heat = occlude(&even, &mut |pictures| {
            Ok(pictures.iter().map(|picture| f32::from(u8::from(*picture == even))).collect())
        });
        assert_eq!(heat.unwrap().values, [0.0; 14 * 14]);
    }

    #[test]
    fn log_odds_of_what_is_certain_are_numbers() {
        for (row, class) in [(&[1.0, 0.0][..], 0), (&[1.0, 0.0], 1), (&[1.0], 0), (&[], 3)] {
            assert!(log_odds(row, class).is_finite(), "{row:?}");
        }
    }
}
