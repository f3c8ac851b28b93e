//! Learning from blends of pictures: what is shown is two pictures in some shares, and what is to be said is both answers in the same shares.
//!
//! A batch is blended with itself from the other end: the first picture with the last, the second with the last but one. A batch is in
//! random order, so that is as good as any pairing, and it needs no copy. How much is blended depends on seed and step alone.

use crate::random::{mixed, uniform};
use crate::{Error, Result};

/// A number of a batch.
pub trait Value: Copy {
    /// `share` of `self`, and of `other` what is missing to the whole.
    fn blend(self, other: Self, share: f32) -> Self;
}

impl Value for f32 {
    fn blend(self, other: Self, share: f32) -> Self {
        share * self + (1.0 - share) * other
    }
}

impl Value for u8 {
    fn blend(self, other: Self, share: f32) -> Self {
        f32::from(self).blend(f32::from(other), share).round() as u8
    }
}

/// The least parameter of [`beta`].
pub const LEAST_ALPHA: f32 = 0.05;

/// A draw from Beta(alpha, alpha) for a step: the share that mixup and CutMix leave of a picture.
///
/// Jöhnk's method ("Erzeugung von betaverteilten und gammaverteilten Zufallszahlen", Metrika 1964), which is quick for these `alpha`.
///
/// # Errors
/// An `alpha` that is not at least 0.05, below which there is hardly anything but 0 and 1, and at most 1.
pub fn beta(alpha: f32, seed: u64, step: u64) -> Result<f32> {
    let must = "at least 0.05 and at most 1";
    Error::check_setting("alpha of a beta distribution", alpha.into(), (LEAST_ALPHA..=1.0).contains(&alpha), must)?;
    let mut state = mixed(seed, step);
    let mut power = || uniform(&mut state).powf(1.0 / f64::from(alpha));
    loop {
        let (a, b) = (power(), power());
        if a + b > 0.0 && a + b <= 1.0 {
            return Ok((a / (a + b)) as f32);
        }
    }
}

/// Blends each of `rows` rows with the one at the same distance from the other end, of which it keeps `share`: pictures, and targets after
/// them (Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018).
///
/// ```
/// use percept_learn::mix::{beta, mixup};
///
/// let share = beta(0.2, 7, 0)?;
/// assert!((0.0..=1.0).contains(&share));
/// let (mut pictures, mut targets) = ([0u8, 100, 200, 40], [1.0, 0.0, 0.0, 1.0]);
/// mixup(&mut pictures, 2, 0.75)?;
/// mixup(&mut targets, 2, 0.75)?;
/// assert_eq!(pictures, [50, 85, 150, 55]);
/// assert_eq!(targets, [0.75, 0.25, 0.25, 0.75]);
/// # Ok::<(), percept_learn::Error>(())
/// ```
///
/// # Errors
/// Values that are not so many rows.
pub fn mixup<T: Value>(values: &mut [T], rows: usize, share: f32) -> Result<()> {
    let len = values.len() / rows.max(1);
    Error::check_size("values of a batch", values.len(), len * rows)?;
    for i in 0..rows.div_ceil(2) {
        for k in 0..len {
            let (a, b) = (i * len + k, (rows - 1 - i) * len + k);
            (values[a], values[b]) = (values[a].blend(values[b], share), values[b].blend(values[a], share));
        }
    }
    Ok(())
}

/// The rectangle that CutMix takes from another picture (Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
/// Localizable Features", ICCV 2019).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    size: [usize; 2],
    rows: [usize; 2],
    columns: [usize; 2],
}

impl Cut {
    /// The rectangle for a step in pictures of `height` × `width` pixels: of their form, with `1 − share` of their area, around any
    /// pixel, cut off at the edges.
    ///
    /// ```
    /// use percept_learn::mix::{Cut, beta, mixup};
    ///
    /// // Two pictures of 4 × 4 pixels with 3 channels.
    /// let mut pictures = [[0u8; 48], [9; 48]].concat();
    /// let mut targets = [1.0, 0.0, 0.0, 1.0];
    /// let cut = Cut::draw(4, 4, beta(1.0, 7, 0)?, 7, 0);
    /// cut.apply(&mut pictures, 2, 1)?;
    /// mixup(&mut targets, 2, cut.share())?;
    /// let kept = pictures[..48].iter().filter(|&&value| value == 0).count();
    /// assert_eq!(kept as f32 / 48.0, targets[0]);
    /// # Ok::<(), percept_learn::Error>(())
    /// ```
    pub fn draw(height: usize, width: usize, share: f32, seed: u64, step: u64) -> Self {
        let side = (1.0 - f64::from(share)).clamp(0.0, 1.0).sqrt();
        // Not the numbers that the share was drawn from.
        let mut state = mixed(mixed(seed, step), 2);
        let mut cut = |size: usize| {
            let middle = (uniform(&mut state) * size as f64) as usize;
            let half = (side * size as f64 / 2.0).round() as usize;
            [middle.saturating_sub(half), (middle + half).min(size)]
        };
        Self { size: [height, width], rows: cut(height), columns: cut(width) }
    }

    /// The share of a picture that it leaves: what [`mixup`] of the targets takes.
    pub fn share(&self) -> f32 {
        let pixels = |[from, to]: [usize; 2]| (to - from) as f64;
        let all = (self.size[0] * self.size[1]).max(1) as f64;
        (1.0 - pixels(self.rows) * pixels(self.columns) / all) as f32
    }

    /// Swaps the rectangle of each of `pictures` pictures with that of the one at the same distance from the other end.
    ///
    /// A picture is `planes` times height × width × whatever: 1 for `[N, H, W, C]`, the number of channels for `[N, C, H, W]`.
    ///
    /// # Errors
    /// Values that are not so many pictures of the size for which the rectangle was drawn.
    pub fn apply<T: Copy>(&self, values: &mut [T], pictures: usize, planes: usize) -> Result<()> {
        let [height, width] = self.size;
        let pixels = [pictures, planes, height, width].iter().product::<usize>();
        let channels = values.len() / pixels.max(1);
        Error::check_size("values of a batch", values.len(), channels * pixels)?;
        let (plane, line) = (height * width * channels, width * channels);
        for i in 0..pictures / 2 {
            let (before, behind) = values.split_at_mut((pictures - 1 - i) * planes * plane);
            for begin in (0..planes).flat_map(|p| (self.rows[0]..self.rows[1]).map(move |row| p * plane + row * line)) {
                let run = begin + self.columns[0] * channels..begin + self.columns[1] * channels;
                before[i * planes * plane..][run.clone()].swap_with_slice(&mut behind[run]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_blended_and_the_one_in_the_middle_stays() {
        let mut values = [0u8, 8, 5, 7, 100, 108];
        mixup(&mut values, 3, 0.75).unwrap();
        assert_eq!(values, [25, 33, 5, 7, 75, 83]);
        assert!(mixup(&mut values, 4, 0.75).is_err() && mixup(&mut values, 0, 0.75).is_err());
        mixup::<f32>(&mut [], 0, 0.5).unwrap();
    }

    #[test]
    fn shares_have_the_mean_and_variance_of_the_beta_distribution() {
        for alpha in [0.05f32, 0.2, 1.0] {
            let shares: Vec<f64> = (0..20_000).map(|step| beta(alpha, 3, step).unwrap().into()).collect();
            let n = shares.len() as f64;
            let mean = shares.iter().sum::<f64>() / n;
            let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / n;
            let expected = 1.0 / (4.0 * (2.0 * f64::from(alpha) + 1.0));
            assert!((mean - 0.5).abs() < 5.0 * (expected / n).sqrt(), "{alpha}: {mean}");
            assert!((variance - expected).abs() < 0.02 * expected, "{alpha}: {variance}, not {expected}");
        }
        assert!([0.0, 0.04, 1.1, f32::NAN].into_iter().all(|alpha| beta(alpha, 3, 0).is_err()));
    }

    #[test]
    fn a_cut_swaps_its_rectangle_in_both_layouts_and_twice_is_not_at_all() {
        const N: usize = 3;
        let (height, width, channels) = (5, 7, 2);
        let len = height * width * channels;
        let batch: Vec<f32> = (0..N * len).map(|i| i as f32).collect();
        for step in 0..200 {
            let cut = Cut::draw(height, width, beta(1.0, 1, step).unwrap(), 1, step);
            for planes in [1, channels] {
                let mut values = batch.clone();
                cut.apply(&mut values, N, planes).unwrap();
                let (per_plane, per_pixel) = (len / planes, channels / planes);
                for (i, &value) in values.iter().enumerate() {
                    let (picture, pixel) = (i / len, i % len % per_plane / per_pixel);
                    let (row, column) = (pixel / width, pixel % width);
                    let inside =
                        (cut.rows[0]..cut.rows[1]).contains(&row) && (cut.columns[0]..cut.columns[1]).contains(&column);
                    let from = if inside { N - 1 - picture } else { picture };
                    assert_eq!(value, batch[from * len + i % len], "{cut:?} {i}");
                }
                let kept = (0..len).filter(|&i| values[i] == batch[i]).count();
                assert!((kept as f32 / len as f32 - cut.share()).abs() < 1e-6);
                cut.apply(&mut values, N, planes).unwrap();
                assert_eq!(values, batch);
            }
            assert!(cut.apply(&mut batch.clone(), N + 1, 1).is_err());
        }
        assert_eq!(Cut::draw(8, 8, 1.0, 0, 0).share(), 1.0);
    }

    #[test]
    fn cuts_lie_anywhere_and_have_the_share_where_no_edge_is_near() {
        let mut inner = 0;
        for step in 0..500 {
            let cut = Cut::draw(100, 60, 0.75, 9, step);
            assert!(cut.share() >= 0.75);
            inner += usize::from((cut.share() - 0.75).abs() < 1e-6);
        }
        // The middle lies at least half a side from all edges with probability 1/4.
        assert!((90..165).contains(&inner), "{inner}");
    }
}
