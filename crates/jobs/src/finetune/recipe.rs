//! The settings of one training, and what an epoch of it came to.

use crate::{Error, Result};
use percept_learn::mix::LEAST_ALPHA;
use percept_learn::optim::{Optimizer, Schedule};
use percept_learn::trainer::BatchNorm;
use serde::{Deserialize, Serialize};

/// The settings of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// How often every photo is learned from.
    pub epochs: u32,
    /// Photos in a step.
    pub batch: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// The share of it that the first layer gets; layers between get shares between, in equal ratios.
    pub lowest_rate: f64,
    /// How it rises and falls.
    pub schedule: Schedule,
    /// Weight decay of weights; biases and normalisations have none.
    pub weight_decay: f32,
    /// Share of the target that is spread evenly over all classes.
    pub label_smoothing: f32,
    /// Photos are learned from in pairs, blended in a share from Beta(mixup, mixup) that a step draws (Zhang et al., "mixup", ICLR 2018);
    /// 0 for not at all.
    pub mixup: f32,
    /// A rectangle of each photo is that of another one, which has a share of 1 − Beta(cutmix, cutmix) of the area (Yun et al., "CutMix", ICCV
    /// 2019); 0 for not at all. A stage has this or mixup.
    pub cutmix: f32,
    /// The lower part of the network that stays as it is; absent if all is trained.
    pub frozen: Option<Lower>,
    /// How much of itself the running mean of the weights keeps in a step; 0 for no mean. With one, the mean is what is checked and kept.
    pub averaging: f32,
    /// Epochs without a better answer to the photos held out after which to stop, and to go back to the best; 0 for never.
    pub patience: u32,
    /// Whether batch normalisations learn new statistics.
    pub batch_norm: BatchNorm,
    /// How gradients move parameters.
    pub optimizer: Optimizer,
}

/// The part of a network below some value; what it makes of the photos is computed once and kept on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lower {
    /// The name in the graph of what the part makes.
    pub up_to: String,
    /// Augmented views of each photo that it looks at; epochs learn from one after the other, then from the first again.
    pub views: u32,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 8,
            batch: 32,
            learning_rate: 1e-3,
            lowest_rate: 1.0,
            schedule: Schedule::OneCycle,
            weight_decay: 1e-2,
            label_smoothing: 0.1,
            mixup: 0.0,
            cutmix: 0.0,
            frozen: None,
            averaging: 0.0,
            patience: 0,
            batch_norm: BatchNorm::Batch { momentum: 0.9 },
            optimizer: Optimizer::ADAMW,
        }
    }
}

impl Recipe {
    /// Fails if a setting makes no sense; the error names it.
    pub fn check(&self) -> Result<()> {
        let share = |x: f32| (0.0..1.0).contains(&x);
        let no_alpha = |x: f32| x != 0.0 && !(LEAST_ALPHA..=1.0).contains(&x);
        let wrong = [
            (self.epochs == 0, "epochs must be at least 1"),
            (self.batch == 0, "batch must be at least 1"),
            (!(self.learning_rate > 0.0 && self.learning_rate.is_finite()), "learning_rate must be positive"),
            (!(self.lowest_rate > 0.0 && self.lowest_rate <= 1.0), "lowest_rate must be above 0 and at most 1"),
            (!(self.weight_decay >= 0.0 && self.weight_decay.is_finite()), "weight_decay must not be negative"),
            (!share(self.label_smoothing), "label_smoothing must be at least 0 and below 1"),
            (no_alpha(self.mixup), "mixup must be 0, or at least 0.05 and at most 1"),
            (no_alpha(self.cutmix), "cutmix must be 0, or at least 0.05 and at most 1"),
            (self.cutmix != 0.0 && self.mixup != 0.0, "cutmix and mixup cannot both be set"),
            (
                self.cutmix != 0.0 && self.frozen.is_some(),
                "cutmix cuts photos, which a frozen part has looked at before",
            ),
            (!share(self.averaging), "averaging must be at least 0 and below 1"),
            (
                self.frozen.as_ref().is_some_and(|lower| lower.views == 0),
                "frozen part must look at one view of each photo, or more",
            ),
        ];
        if let Some((_, reason)) = wrong.iter().find(|(wrong, _)| *wrong) {
            return Err(Error::Setting(format!("a stage's {reason}")));
        }
        self.schedule
            .check()
            .and_then(|()| self.optimizer.check())
            .map_err(|e| Error::Setting(format!("a stage's {e}")))
    }
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean loss of its steps.
    pub loss: f64,
    /// Accuracy on the photos held out; absent if there are none.
    pub accuracy: Option<f64>,
    /// Negative log-likelihood on them, at the temperature that suits them best.
    pub nll: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blending_has_one_way_at_a_time() {
        let wrong = |recipe: Recipe| recipe.check().unwrap_err().to_string();
        Recipe { cutmix: 1.0, ..Recipe::default() }.check().unwrap();
        assert!(wrong(Recipe { cutmix: 1.5, ..Recipe::default() }).contains("cutmix must be 0, or"));
        assert!(wrong(Recipe { cutmix: 1.0, mixup: 0.2, ..Recipe::default() }).contains("cannot both be set"));
        let frozen = Some(Lower { up_to: "x".into(), views: 1 });
        assert!(wrong(Recipe { cutmix: 1.0, frozen, ..Recipe::default() }).contains("cuts photos"));
    }
}
