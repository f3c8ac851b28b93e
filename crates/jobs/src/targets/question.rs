//! What is asked of photos, and what a network is told of the answers.

use super::Heads;
use crate::{Error, Result};
use percept_graph::{Graph, Params};
use percept_learn::calibrate::{nll, temperature};
use percept_learn::trainer::Loss;
use percept_photos::table::{Answers, Kind};

/// A question with the answers that are known.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Name, kind, and an answer or NaN for each photo of the data set.
    pub(crate) answers: Answers,
    /// Mean and standard deviation of a number; 0 and 1 otherwise.
    pub(crate) scale: [f64; 2],
}

/// All that is asked.
#[derive(Clone, Debug)]
pub(crate) struct Questions(pub(crate) Vec<Question>);

impl Question {
    /// Standardises by the answers to `photos`; nothing if these are all the same, or missing.
    pub(crate) fn new(answers: Answers, photos: &[usize]) -> Option<Self> {
        let known: Vec<f64> = photos.iter().map(|&i| answers.values[i]).filter(|value| !value.is_nan()).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let deviation = (known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / known.len() as f64).sqrt();
        let scale = if answers.kind == Kind::Number { [mean, deviation] } else { [0.0, 1.0] };
        (deviation > 0.0).then_some(Self { answers, scale })
    }

    /// Numbers in the raw output: logits, or the standardised number.
    pub(crate) fn width(&self) -> usize {
        self.answers.kind.labels().len().max(1)
    }

    pub(crate) fn is_number(&self) -> bool {
        self.answers.kind == Kind::Number
    }

    /// The answer to a photo, standardised; nothing if it is missing.
    pub(crate) fn answer(&self, photo: usize) -> Option<f64> {
        Some((self.answers.values[photo] - self.scale[0]) / self.scale[1]).filter(|value| !value.is_nan())
    }

    /// The label's position; nothing if it is missing.
    pub(crate) fn label(&self, photo: usize) -> Option<usize> {
        self.answer(photo).map(|value| value as usize)
    }

    fn loss(&self) -> Loss {
        if self.is_number() { Loss::SquaredError } else { Loss::CrossEntropy }
    }

    /// What the loss takes. Known answers weigh such that their mean is that of the batch.
    fn lists(&self, photos: &[usize], smoothing: f32) -> Vec<Vec<f32>> {
        let known = photos.iter().filter(|&&i| self.answer(i).is_some()).count();
        let weight = photos.len() as f32 / known.max(1) as f32;
        let width = self.width();
        if self.is_number() {
            let pair = |&i: &usize| self.answer(i).map_or((0.0, 0.0), |answer| (answer as f32, weight));
            let (values, weights) = photos.iter().map(pair).unzip();
            return vec![values, weights];
        }
        let mut targets = vec![0.0; photos.len() * width];
        for (row, &i) in targets.chunks_exact_mut(width).zip(photos) {
            if let Some(label) = self.label(i) {
                row.fill(weight * smoothing / width as f32);
                row[label] += weight * (1.0 - smoothing);
            }
        }
        vec![targets]
    }

    /// The loss of raw outputs and the temperature at which it is least; nothing if no answer is known.
    pub(crate) fn check(&self, raw: &[f32], photos: &[usize]) -> Result<Option<(f64, f64)>> {
        let width = self.width();
        let known: Vec<_> = raw.chunks_exact(width).zip(photos).filter(|&(_, &i)| self.answer(i).is_some()).collect();
        if known.is_empty() {
            return Ok(None);
        }
        if self.is_number() {
            let square = |(row, i): &(&[f32], &usize)| (f64::from(row[0]) - self.answer(**i).unwrap_or(0.0)).powi(2);
            return Ok(Some((known.iter().map(square).sum::<f64>() / (2.0 * known.len() as f64), 1.0)));
        }
        let logits: Vec<f32> = known.iter().flat_map(|(row, _)| *row).copied().collect();
        let labels: Vec<usize> = known.iter().filter_map(|&(_, &i)| self.label(i)).collect();
        let temperature = temperature(&logits, width, &labels)?;
        Ok(Some((nll(&logits, width, &labels, temperature)?, temperature)))
    }
}

impl Questions {
    pub(crate) fn losses(&self) -> Vec<Loss> {
        self.0.iter().map(Question::loss).collect()
    }

    /// What the losses take for some photos.
    pub(crate) fn lists(&self, photos: &[usize], smoothing: f32) -> Vec<Vec<f32>> {
        self.0.iter().flat_map(|question| question.lists(photos, smoothing)).collect()
    }

    /// The raw outputs of a question, of rows that have those of all.
    pub(crate) fn raw(&self, question: usize, rows: &[f32]) -> Vec<f32> {
        let widths: Vec<usize> = self.0.iter().map(Question::width).collect();
        let (begin, all): (usize, usize) = (widths[..question].iter().sum(), widths.iter().sum());
        rows.chunks_exact(all).flat_map(|row| &row[begin..begin + widths[question]]).copied().collect()
    }

    /// The sum over the questions of their losses, each at its best temperature; nothing if no answer is known.
    pub(crate) fn check(&self, rows: &[f32], photos: &[usize]) -> Result<Option<f64>> {
        let losses = self.0.iter().enumerate().map(|(i, question)| question.check(&self.raw(i, rows), photos));
        let losses: Vec<f64> =
            losses.collect::<Result<Vec<_>>>()?.into_iter().flatten().map(|(loss, _)| loss).collect();
        Ok((!losses.is_empty()).then(|| losses.iter().sum()))
    }

    /// A network with raw outputs for the questions in place of its own last layer; they begin with zeros.
    pub(crate) fn attach(&self, graph: &Graph, params: Params) -> Result<(Graph, Params)> {
        let widths: Vec<usize> = self.0.iter().map(Question::width).collect();
        let body = super::body(graph)?;
        let mut params = super::only_of(&body, params);
        let width = body.value(body.outputs()[0]).ty.shape.get(1).and_then(|dim| dim.as_const());
        let width = width.and_then(|n| usize::try_from(n).ok());
        let width =
            width.ok_or_else(|| Error::Setting(format!("the number of features of {} is not known", graph.name)))?;
        let heads = Heads::zeros(width, &widths);
        let graph = heads.on(body, &mut params)?;
        Ok((graph, params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(kind: Kind, values: &[f64]) -> Question {
        let photos: Vec<usize> = (0..values.len()).collect();
        Question::new(Answers { name: "q".into(), kind, values: values.to_vec() }, &photos).unwrap()
    }

    fn yes_no(values: &[f64]) -> Question {
        question(Kind::YesNo { labels: ["no".into(), "yes".into()] }, values)
    }

    #[test]
    fn missing_answers_have_no_weight_and_the_others_weigh_as_much_as_a_whole_batch() {
        let number = question(Kind::Number, &[10.0, 30.0, f64::NAN, 20.0]);
        let lists = number.lists(&[0, 2, 1, 2], 0.1);
        assert!((lists[0][0] + lists[0][2]).abs() < 1e-6 && lists[0][0] < -1.0, "{lists:?}");
        assert_eq!(lists[1], [2.0, 0.0, 2.0, 0.0]);
        let lists = yes_no(&[0.0, 1.0, f64::NAN]).lists(&[1, 2, 0], 0.2);
        let expected = [0.15, 1.35, 0.0, 0.0, 1.35, 0.15];
        assert!(lists[0].iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{lists:?}");
        let lists = yes_no(&[0.0, 1.0, f64::NAN]).lists(&[2, 2], 0.0);
        assert_eq!(lists[0], [0.0; 4]);
    }

    #[test]
    fn rows_are_taken_apart_by_question_and_checked_on_what_is_known() {
        let questions = Questions(vec![question(Kind::Number, &[1.0, 3.0, f64::NAN]), yes_no(&[f64::NAN, 1.0, 0.0])]);
        let rows = [-1.0, 9.0, 9.0, 2.0, 0.0, 0.0, 9.0, 0.0, 0.0];
        assert_eq!(questions.raw(1, &rows), [9.0, 9.0, 0.0, 0.0, 0.0, 0.0]);
        let [number, word] =
            [0, 1].map(|i| questions.0[i].check(&questions.raw(i, &rows), &[0, 1, 2]).unwrap().unwrap());
        assert!((number.0 - 0.25).abs() < 1e-9 && (word.0 - 2f64.ln()).abs() < 1e-9);
        let all = questions.check(&rows, &[0, 1, 2]).unwrap().unwrap();
        assert!((all - number.0 - word.0).abs() < 1e-12);
        assert_eq!(questions.0[0].check(&[0.0], &[2]).unwrap(), None);
    }

    #[test]
    fn what_is_the_same_for_all_photos_to_learn_from_is_no_question() {
        let answers = |values: &[f64]| Answers { name: "q".into(), kind: Kind::Number, values: values.to_vec() };
        assert!(Question::new(answers(&[5.0, 5.0, 7.0]), &[0, 1]).is_none());
        assert!(Question::new(answers(&[f64::NAN, f64::NAN, 7.0]), &[0, 1]).is_none());
    }
}
