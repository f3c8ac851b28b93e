//! Which photos show the same scene: bursts, and what was taken a step apart.
//!
//! If one photo of a burst is held out and the others are learned from, the accuracy says how well scenes are remembered, not how
//! well things are recognised. Photos of one class whose features are more alike than those of nearly all photos of different classes
//! are therefore taken for one scene, and a scene stays on one side of the split. On the 2,640 groceries of Klasson et al. (WACV 2019)
//! this finds about 1,400 scenes.

use crate::Result;
use crate::features::Extracted;
use crate::near::{root, unite};
use percept_engine::Settings;
use percept_learn::features::Features;
use percept_photos::scan::DataSet;
use std::collections::HashMap;

/// Photos that stand for all when different classes are compared.
const SAMPLE: usize = 2000;
/// The share of them that may be more alike to another class than what makes a scene.
const QUANTILE: f64 = 0.95;
/// How many following photos of its class a photo is compared with: scenes are near in name, and time stays bounded.
const WINDOW: usize = 500;

/// Lets photos of a scene share their `group`. A class that is all one scene keeps its groups; its names are given back.
pub(crate) fn join(data: &mut DataSet, features: &Extracted, views: u32, settings: &Settings) -> Result<Vec<String>> {
    let rows = features.photos.len();
    let sample: Vec<usize> = (0..rows).step_by(rows.div_ceil(SAMPLE).max(1)).collect();
    let all = Table::read(features, views, &sample)?;
    let scale = all.scale();
    let all = all.standardised(&scale);
    let class: Vec<usize> = sample.iter().map(|&row| data.pictures[features.photos[row]].class).collect();
    let threshold = all.threshold(&class, settings);
    let mut classes: HashMap<usize, Vec<usize>> = HashMap::new();
    for (row, &photo) in features.photos.iter().enumerate() {
        classes.entry(data.pictures[photo].class).or_default().push(row);
    }
    let mut classes: Vec<_> = classes.into_iter().collect();
    classes.sort_unstable();
    let scenes = crate::parallel::map(&settings.pool, &classes, |(_, rows), _| {
        Ok(Table::read(features, views, rows)?.standardised(&scale).scenes(threshold))
    });
    let scenes: Vec<Vec<usize>> = scenes.into_iter().collect::<Result<_>>()?;
    let mut alone = Vec::new();
    for ((class, rows), scenes) in classes.iter().zip(scenes) {
        let group = |row: usize| data.pictures[features.photos[row]].group;
        // What is the same picture is the same scene, whatever its features.
        let same: HashMap<usize, usize> =
            rows.iter().zip(&scenes).rev().map(|(&row, &scene)| (group(row), scene)).collect();
        let joined: Vec<usize> = rows.iter().map(|&row| group(rows[same[&group(row)]])).collect();
        if joined.iter().all(|group| *group == joined[0]) {
            alone.push(data.classes[*class].clone());
            continue;
        }
        for (&row, group) in rows.iter().zip(joined) {
            data.pictures[features.photos[row]].group = group;
        }
    }
    Ok(alone)
}

/// Features of some plain photos; once standardised, their products are cosines.
struct Table {
    width: usize,
    values: Vec<f32>,
}

impl Table {
    fn read(features: &Extracted, views: u32, rows: &[usize]) -> Result<Self> {
        let width = features.file.width();
        let mut values = vec![0.0; rows.len() * width];
        for (&row, values) in rows.iter().zip(values.chunks_exact_mut(width)) {
            features.file.read(row * (1 + views as usize), values)?;
        }
        Ok(Self { width, values })
    }

    fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Mean and standard deviation of each feature.
    fn scale(&self) -> Vec<(f64, f64)> {
        let column = |j: usize| self.values.iter().skip(j).step_by(self.width).map(|&x| f64::from(x));
        let n = self.rows() as f64;
        let one = |j: usize| {
            let mean = column(j).sum::<f64>() / n;
            (mean, (column(j).map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-6))
        };
        (0..self.width).map(one).collect()
    }

    fn standardised(mut self, scale: &[(f64, f64)]) -> Self {
        for row in self.values.chunks_exact_mut(self.width) {
            row.iter_mut()
                .zip(scale)
                .for_each(|(x, (mean, deviation))| *x = ((f64::from(*x) - mean) / deviation) as f32);
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
            row.iter_mut().for_each(|x| *x /= length);
        }
        self
    }

    fn cosine(&self, a: usize, b: usize) -> f32 {
        let row = |i: usize| self.values[i * self.width..][..self.width].chunks_exact(8);
        // Eight sums, so that the compiler may use vector instructions.
        let mut sums = [0.0f32; 8];
        for (a, b) in row(a).zip(row(b)) {
            sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
        }
        sums.iter().sum()
    }

    /// How alike photos of different classes hardly ever are.
    fn threshold(&self, class: &[usize], settings: &Settings) -> f32 {
        let rows: Vec<usize> = (0..self.rows()).collect();
        let mut nearest = crate::parallel::map(&settings.pool, &rows, |&a, _| {
            let others = rows.iter().filter(|&&b| class[b] != class[a]);
            others.map(|&b| self.cosine(a, b)).fold(-1.0, f32::max)
        });
        nearest.sort_by(f32::total_cmp);
        nearest.get((QUANTILE * nearest.len() as f64) as usize).copied().unwrap_or(1.0)
    }

    /// For each row, the position of the first row of its scene; scenes are chains of photos alike enough.
    fn scenes(&self, threshold: f32) -> Vec<usize> {
        let mut parent: Vec<usize> = (0..self.rows()).collect();
        for i in 0..self.rows() {
            for j in i + 1..self.rows().min(i + 1 + WINDOW) {
                if self.cosine(i, j) > threshold {
                    unite(&mut parent, i, j);
                }
            }
        }
        (0..self.rows()).map(|i| root(&mut parent, i)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_are_chains_of_photos_that_are_alike() {
        let row = |angle: f32| [angle.cos(), angle.sin(), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let values = [0.0, 1.5, 0.2, 0.4, 3.0].map(row).concat();
        let table = Table { width: 8, values };
        assert_eq!(table.scenes(0.97), [0, 1, 0, 0, 4]);
    }
}
