//! Networks that read text: a language model of characters, a classifier of sentences, and an encoder–decoder that writes one text for another.

mod encoder_decoder;

pub use encoder_decoder::{EncoderDecoder, greedy};

use percept_graph::{Builder, DType, Error, Graph, Recurrence, ops};

/// A stack of LSTMs that tells the next character from those before it (Graves, "Generating Sequences With Recurrent Neural Networks",
/// arXiv:1308.0850; Zaremba, Sutskever and Vinyals, "Recurrent Neural Network Regularization", arXiv:1409.2329, for where dropout goes).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Language {
    /// Different characters.
    pub characters: usize,
    /// Features of a character.
    pub embedding: usize,
    /// Units of a layer.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Share of what goes from layer to layer that is dropped while training.
    pub dropout: f32,
}

impl Language {
    /// The network from `characters`, i64 `[T, B]` for T steps of B texts, and the states before them, `hidden.N` and `cell.N` `[1, B, hidden]` for
    /// each layer, to `logits` `[T·B, characters]`, the texts of a step beside each other, and the states after them, `next_hidden.N` and
    /// `next_cell.N`, in the order of the inputs.
    ///
    /// ```
    /// use percept_models::text::Language;
    ///
    /// let graph = Language { characters: 65, embedding: 64, hidden: 256, layers: 2, dropout: 0.1 }.build()?;
    /// let names = |ids: &[_]| ids.iter().map(|&id| graph.value(id).name.clone()).collect::<Vec<_>>();
    /// assert_eq!(names(graph.inputs()), ["characters", "hidden.0", "cell.0", "hidden.1", "cell.1"]);
    /// assert_eq!(names(graph.outputs()), ["logits", "next_hidden.0", "next_cell.0", "next_hidden.1", "next_cell.1"]);
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// Sizes without sense, such as no units.
    pub fn build(&self) -> Result<Graph, Error> {
        let Self { characters, embedding, hidden, layers, dropout } = *self;
        let net = Builder::new("language");
        let text = net.input("characters", DType::I64, ["T".into(), "B".into()]);
        let mut sequence = text.embedding("embed", characters, embedding);
        let mut states = Vec::new();
        for layer in 0..layers {
            let [h, c] = ["hidden", "cell"]
                .map(|what| net.input(&format!("{what}.{layer}"), DType::F32, [1.into(), "B".into(), hidden.into()]));
            // Nodes of one name, which a stack under one name would have, are none for other runtimes.
            let made = sequence.lstm(&format!("lstm{layer}"), hidden, Recurrence::default().hidden(h).cell(c));
            sequence = made.sequence.dropout(dropout);
            states.push((format!("next_hidden.{layer}"), made.hidden));
            states.push((format!("next_cell.{layer}"), made.cell));
        }
        let rows = ops::Reshape { shape: vec![(-1).into(), hidden.into()], allowzero: false };
        let logits = sequence.apply(rows, &[]).linear("fc", characters);
        let states = states.iter().map(|(name, var)| (name.as_str(), *var));
        net.finish(&std::iter::once(("logits", logits)).chain(states).collect::<Vec<_>>())
    }
}

/// Convolutions of several widths over the words of a sentence, of each of which the greatest answer counts (Kim, "Convolutional Neural Networks for
/// Sentence Classification", EMNLP 2014).
#[derive(Clone, Debug, PartialEq)]
pub struct Sentences {
    /// Words that have a number, with those that stand for no word and for any other.
    pub words: usize,
    /// Features of a word.
    pub embedding: usize,
    /// How many words a filter reads.
    pub widths: Vec<usize>,
    /// Filters of each width.
    pub filters: usize,
    /// Share of the filters' answers that is dropped while training.
    pub dropout: f32,
    /// Classes.
    pub classes: usize,
}

impl Sentences {
    /// The network from `words`, i64 `[N, T]`, to `logits` `[N, classes]`.
    ///
    /// A filter reads whole windows only, so T is at least the greatest width.
    ///
    /// ```
    /// use percept_models::text::Sentences;
    ///
    /// let kim = Sentences { words: 9000, embedding: 128, widths: vec![3, 4, 5], filters: 100, dropout: 0.5, classes: 6 };
    /// let graph = kim.build()?;
    /// assert_eq!(graph.value(graph.find("conv5.weight")?).ty.concrete()?, [100, 128, 5, 1]);
    /// assert_eq!(graph.value(graph.outputs()[0]).ty.to_string(), "f32[N, 6]");
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// Sizes without sense, such as no filters.
    pub fn build(&self) -> Result<Graph, Error> {
        let Self { words, embedding, ref widths, filters, dropout, classes } = *self;
        let net = Builder::new("sentences");
        let text = net.input("words", DType::I64, ["N".into(), "T".into()]);
        let column = ops::Reshape { shape: vec![0.into(), embedding.into(), (-1).into(), 1.into()], allowzero: false };
        let features = text.embedding("embed", words, embedding).transpose(&[0, 2, 1]).apply(column, &[]);
        let mut greatest = Vec::new();
        for width in widths {
            let shape = [filters.into(), embedding.into(), (*width).into(), 1.into()];
            let weight = net.parameter(&format!("conv{width}.weight"), shape);
            let bias = net.parameter(&format!("conv{width}.bias"), [filters.into()]);
            let answers = features.apply(ops::Conv::new_2d(1, 0), &[weight, bias]).relu();
            greatest.push(answers.apply(ops::ReduceMax { axes: Some(vec![2, 3]), keepdims: false }, &[]));
        }
        let (first, others) = greatest.split_first().ok_or_else(|| Error::Format("no widths of filters".into()))?;
        let logits = first.apply(ops::Concat { axis: 1 }, others).dropout(dropout).linear("fc", classes);
        net.finish(&[("logits", logits)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn nodes_have_names_of_their_own_as_other_runtimes_want() {
        let language = Language { characters: 9, embedding: 4, hidden: 5, layers: 3, dropout: 0.5 }.build().unwrap();
        let widths = vec![2, 3];
        let sentences =
            Sentences { words: 9, embedding: 4, widths, filters: 3, dropout: 0.5, classes: 2 }.build().unwrap();
        for graph in [language, sentences] {
            let names: BTreeSet<_> = graph.nodes().iter().map(|node| &node.name).collect();
            assert_eq!(names.len(), graph.nodes().len(), "{names:?}");
        }
    }

    #[test]
    fn sizes_without_sense_are_errors() {
        let kim = Sentences { words: 9, embedding: 4, widths: vec![], filters: 3, dropout: 0.5, classes: 2 };
        assert!(kim.build().unwrap_err().to_string().contains("no widths"));
    }
}
