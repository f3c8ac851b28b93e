//! What a network is to say of photos: the class of each, or the answers to several questions.

use super::views::targets;
use crate::Result;
use crate::classifier::cooled_softmax;
use crate::targets::Questions;
use percept_learn::calibrate::temperature;
use percept_learn::metrics::Metrics;
use percept_learn::trainer::Loss;
use percept_photos::scan::DataSet;

/// What a network is to say of photos.
#[derive(Clone, Copy)]
pub(crate) enum Answers<'a> {
    /// The class of each.
    Classes(&'a DataSet),
    /// The answers to several questions.
    Questions(&'a Questions),
}

impl Answers<'_> {
    /// What is minimised of each of the network's outputs.
    pub(super) fn losses(self) -> Vec<Loss> {
        match self {
            Answers::Classes(_) => vec![Loss::CrossEntropy],
            Answers::Questions(questions) => questions.losses(),
        }
    }

    /// What these losses take for some photos, with so much of the targets of classes spread over all.
    pub(super) fn lists(self, photos: &[usize], smoothing: f32) -> Vec<Vec<f32>> {
        match self {
            Answers::Classes(data) => vec![targets(data, photos, data.classes.len(), smoothing)],
            Answers::Questions(questions) => questions.lists(photos, smoothing),
        }
    }

    /// Accuracy, where there are classes, and loss at the best temperature, of what was said to photos.
    pub(super) fn check(self, photos: &[usize], mut said: Vec<f32>) -> Result<(Option<f64>, Option<f64>)> {
        match self {
            Answers::Questions(questions) => Ok((None, questions.check(&said, photos)?)),
            Answers::Classes(data) => {
                let (classes, truth): (_, Vec<usize>) =
                    (data.classes.len(), photos.iter().map(|&i| data.pictures[i].class).collect());
                let temperature = temperature(&said, classes, &truth)?;
                cooled_softmax(&mut said, classes, temperature);
                let metrics = Metrics::new(&said, classes, &truth)?;
                Ok((Some(metrics.accuracy), Some(metrics.nll)))
            }
        }
    }
}
