//! Which parameters are treated alike.

use crate::trainer::Slice;
use std::ops::Range;

/// Parameters that are treated alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Where they lie in the arena.
    pub range: Range<usize>,
    /// Factor of the learning rate.
    pub rate: f32,
    /// Weight decay: of AdamW the share of a parameter that a step takes away, times the learning rate; of the others the share of it that is
    /// added to its gradient.
    pub weight_decay: f32,
}

impl Group {
    /// A group for each slice of an arena, in the order from input to output.
    ///
    /// The learning rate falls from the last slice to `lowest_rate` of itself at the first, in equal ratios (Howard and Ruder, "Universal
    /// Language Model Fine-tuning for Text Classification", ACL 2018); at 1 it is the same for all. Slices for which `decays` says so have
    /// the weight decay, the others none.
    ///
    /// ```
    /// use percept_learn::optim::{Group, is_weight};
    /// use percept_learn::trainer::Slice;
    ///
    /// let slices = [
    ///     Slice { name: "fc.weight".into(), shape: vec![2, 3], range: 0..6 },
    ///     Slice { name: "fc.bias".into(), shape: vec![2], range: 6..8 },
    /// ];
    /// let groups = Group::of_slices(&slices, 1.0, 0.01, is_weight);
    /// assert_eq!(groups[0], Group { range: 0..6, rate: 1.0, weight_decay: 0.01 });
    /// assert_eq!(groups[1], Group { range: 6..8, rate: 1.0, weight_decay: 0.0 });
    /// ```
    pub fn of_slices(
        slices: &[Slice],
        lowest_rate: f64,
        weight_decay: f32,
        decays: impl Fn(&Slice) -> bool,
    ) -> Vec<Self> {
        let last = slices.len().saturating_sub(1).max(1) as f64;
        let group = |(i, slice): (usize, &Slice)| Self {
            range: slice.range.clone(),
            rate: lowest_rate.powf(1.0 - i as f64 / last) as f32,
            weight_decay: if decays(slice) { weight_decay } else { 0.0 },
        };
        slices.iter().enumerate().map(group).collect()
    }
}

/// Whether a parameter is a matrix, a filter or a table: the usual rule for weight decay, which leaves out biases and normalisations.
///
/// Those are vectors; a bias of another shape, as recurrent layers have in ONNX, is known by the end of its name.
pub fn is_weight(slice: &Slice) -> bool {
    slice.shape.len() > 1 && !slice.name.ends_with("bias")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_fall_in_equal_ratios_towards_the_input_and_biases_of_any_shape_do_not_decay() {
        let slice = |name: &str, shape: &[usize], begin| Slice {
            name: name.into(),
            shape: shape.into(),
            range: begin..begin + 8,
        };
        let slices = [slice("lstm.weight", &[1, 8], 0), slice("lstm.bias", &[1, 8], 8), slice("norm.weight", &[8], 16)];
        let groups = Group::of_slices(&slices, 0.01, 0.5, is_weight);
        assert_eq!(groups.iter().map(|group| group.weight_decay).collect::<Vec<_>>(), [0.5, 0.0, 0.0]);
        for (group, expected) in groups.iter().zip([0.01, 0.1, 1.0]) {
            assert!((group.rate - expected).abs() < 1e-7);
        }
        assert_eq!(Group::of_slices(&slices[..1], 1.0, 0.5, |_| false)[0].weight_decay, 0.0);
    }
}
