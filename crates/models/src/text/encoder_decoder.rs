//! An encoder and a decoder with attention between them, which write one sequence for another.
//!
//! Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015, let the decoder look back at all
//! of the source, and read it in both directions. Attention itself is Luong, Pham and Manning's, "Effective Approaches to Attention-based
//! Neural Machine Translation", EMNLP 2015, global, with the score `dot`: it comes behind the recurrent layer instead of before each of its steps.
//! So a whole target is one GRU and two matrix products, and the score needs no parameters. Not taken from them: to feed what attention found into
//! the next step, which would undo that.

use percept_graph::{Builder, DType, Error, Graph, Recurrence, Tensor, Var, ops};

/// What is added to the score of padding, such that its share of attention is 0.
const NOWHERE: f32 = -1e9;

/// Sizes of an encoder–decoder. Token 0 of the source is padding.
///
/// Sources `source`, i64 `[S, B]`, stand beside each other; `lengths`, i32 `[B]`, says how many tokens each has in front of its padding. Of targets,
/// `target`, i64 `[T, B]`, holds what was there before each token: a token that begins, then all but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderDecoder {
    /// Different tokens of a source, with the padding.
    pub source_tokens: usize,
    /// Different tokens of a target.
    pub target_tokens: usize,
    /// Features of a token.
    pub embedding: usize,
    /// Units of the decoder, an even number: the encoder has half as many in each direction.
    pub hidden: usize,
}

/// What the decoder takes from the encoder.
#[derive(Clone, Copy)]
struct Encoded<'b> {
    /// What the encoder says of each token, `[B, S, hidden]`.
    memory: Var<'b>,
    /// What is added to the scores, `[B, 1, S]`.
    mask: Var<'b>,
    /// The state in which the decoder begins, `[1, B, hidden]`.
    hidden: Var<'b>,
}

impl EncoderDecoder {
    /// The whole, to learn with targets that are known: from `source`, `lengths` and `target` to `logits`, `[B·T, target_tokens]`, all of a target's
    /// tokens below each other.
    ///
    /// ```
    /// use percept_models::text::EncoderDecoder;
    ///
    /// let sizes = EncoderDecoder { source_tokens: 100, target_tokens: 90, embedding: 32, hidden: 64 };
    /// let whole = sizes.build()?;
    /// assert_eq!(whole.value(whole.outputs()[0]).ty.shape[1], 90.into());
    /// // Both parts have their parameters under the same names.
    /// let names = |graph: &percept_graph::Graph| graph.parameters().map(|value| value.name.clone()).collect::<Vec<_>>();
    /// assert_eq!(names(&whole), [names(&sizes.encoder()?), names(&sizes.decoder()?)].concat());
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// Sizes without sense, such as an odd number of units.
    pub fn build(&self) -> Result<Graph, Error> {
        let net = Builder::new("encoder_decoder");
        let encoded = self.encode(&net)?;
        let target = net.input("target", DType::I64, ["T".into(), "B".into()]);
        net.finish(&[("logits", self.decode(target, encoded).0)])
    }

    /// The encoder, from `source` and `lengths` to `memory` `[B, S, hidden]`, `mask` `[B, 1, S]` and `hidden` `[1, B, hidden]`.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn encoder(&self) -> Result<Graph, Error> {
        let net = Builder::new("encoder");
        let Encoded { memory, mask, hidden } = self.encode(&net)?;
        net.finish(&[("memory", memory), ("mask", mask), ("hidden", hidden)])
    }

    /// The decoder, from `target`, of one or more steps, and what the encoder gave (`memory`, `mask`, `hidden`) to `logits` `[B·T, target_tokens]`, the
    /// state after the last step, `next_hidden`, and where it looked, `attention` `[B, T, S]`. See [`greedy`].
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn decoder(&self) -> Result<Graph, Error> {
        let net = Builder::new("decoder");
        let target = net.input("target", DType::I64, ["T".into(), "B".into()]);
        let size = self.hidden;
        let encoded = Encoded {
            memory: net.input("memory", DType::F32, ["B".into(), "S".into(), size.into()]),
            mask: net.input("mask", DType::F32, ["B".into(), 1.into(), "S".into()]),
            hidden: net.input("hidden", DType::F32, [1.into(), "B".into(), size.into()]),
        };
        let (logits, hidden, attention) = self.decode(target, encoded);
        net.finish(&[("logits", logits), ("next_hidden", hidden), ("attention", attention)])
    }

    fn encode<'b>(&self, net: &'b Builder) -> Result<Encoded<'b>, Error> {
        let Self { source_tokens, embedding, hidden, .. } = *self;
        if !hidden.is_multiple_of(2) || source_tokens == 0 {
            let text =
                format!("{hidden} units, {source_tokens} tokens of sources: an even number and at least one token");
            return Err(Error::Format(text));
        }
        let source = net.input("source", DType::I64, ["S".into(), "B".into()]);
        let lengths = net.input("lengths", DType::I32, ["B".into()]);
        let given = Recurrence::default().bidirectional().lengths(lengths);
        let read = source.embedding("source_embed", source_tokens, embedding).gru("encoder", hidden / 2, given);
        let [forward, back] = [0, 1].map(|way| read.hidden.slice(0, way..way + 1));
        let mut masks = vec![0.0; source_tokens];
        masks[0] = NOWHERE;
        let masks = net.constant(Tensor::f32([source_tokens], masks)?).apply(ops::Gather { axis: 0 }, &[source]);
        Ok(Encoded {
            memory: read.sequence.transpose(&[1, 0, 2]),
            mask: masks.transpose(&[1, 0]).apply(ops::Unsqueeze { axes: vec![1] }, &[]),
            hidden: forward.apply(ops::Concat { axis: 2 }, &[back]),
        })
    }

    /// Logits, the last state, and the attention.
    fn decode<'b>(&self, target: Var<'b>, encoded: Encoded<'b>) -> (Var<'b>, Var<'b>, Var<'b>) {
        let Self { target_tokens, embedding, hidden, .. } = *self;
        let Encoded { memory, mask, hidden: first } = encoded;
        let embedded = target.embedding("target_embed", target_tokens, embedding);
        let written = embedded.gru("decoder", hidden, Recurrence::default().hidden(first));
        let states = written.sequence.transpose(&[1, 0, 2]);
        let scores = states.apply(ops::MatMul, &[memory.transpose(&[0, 2, 1])]) + mask;
        let attention = scores.apply(ops::Softmax { axis: -1 }, &[]);
        let both = attention.apply(ops::MatMul, &[memory]).apply(ops::Concat { axis: 2 }, &[states]);
        let rows = ops::Reshape { shape: vec![(-1).into(), (2 * hidden).into()], allowzero: false };
        let logits = both.apply(rows, &[]).linear("combine", hidden).tanh().linear("fc", target_tokens);
        (logits, written.hidden, attention)
    }
}

/// Writes `batch` targets token by token, each time the most probable, until `end` or for at most `steps` tokens; `end` is not among them.
///
/// `next` gets the last token of each target, at first `begin`, and gives the logits of what follows, `[batch, tokens]`; it keeps the decoder's state.
///
/// ```
/// use percept_models::text::greedy;
///
/// // Counts down to the end, which is 0.
/// let count_down = |last: &[i64]| Ok::<_, String>(last.iter().flat_map(|&x| (0..4).map(move |y| if y == x - 1 { 1.0 } else { 0.0 })).collect());
/// assert_eq!(greedy(2, 4, 0, 9, count_down)?, [[3, 2, 1], [3, 2, 1]]);
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// Those of `next`.
pub fn greedy<E>(
    batch: usize,
    begin: i64,
    end: i64,
    steps: usize,
    mut next: impl FnMut(&[i64]) -> Result<Vec<f32>, E>,
) -> Result<Vec<Vec<i64>>, E> {
    let mut written = vec![Vec::new(); batch];
    let (mut last, mut ended) = (vec![begin; batch], vec![false; batch]);
    for _ in 0..steps {
        if ended.iter().all(|&ended| ended) {
            break;
        }
        let logits = next(&last)?;
        for (i, row) in logits.chunks_exact((logits.len() / batch).max(1)).enumerate().take(batch) {
            last[i] = (1..row.len()).fold(0, |best, token| if row[token] > row[best] { token } else { best }) as i64;
            ended[i] |= last[i] == end;
            if !ended[i] {
                written[i].push(last[i]);
            }
        }
    }
    Ok(written)
}
