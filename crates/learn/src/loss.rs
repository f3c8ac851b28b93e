//! Losses as pieces of a graph, with PyTorch's names, settings and meaning: each takes values of a network and gives one number.
//!
//! A network under training is a graph whose output is a loss; [`gradients`](crate::gradient::gradients) makes the gradients. Each is one node
//! ([`ops::Loss`](percept_graph::ops::Loss)) that computes both in one pass, numerically stable in f32. Labels and lengths are inputs of the network,
//! i64 or i32; what is no class is an error of the run.

use percept_graph::Var;
pub use percept_graph::ops::Reduction;
use percept_graph::ops::{Loss, LossKind};

/// Settings of [`cross_entropy`].
#[derive(Clone, Copy)]
pub struct CrossEntropy<'b> {
    /// A weight for each class, `[C]`.
    pub weight: Option<Var<'b>>,
    /// Rows with this label do not count: −100 unless set. If no row counts, the mean is NaN and the gradient zero.
    pub ignore_index: i64,
    /// The share of each target that all classes get alike, 0 to 1 (Szegedy et al., arXiv:1512.00567).
    pub label_smoothing: f32,
    /// How rows become one number.
    pub reduction: Reduction,
}

impl Default for CrossEntropy<'_> {
    fn default() -> Self {
        Self { weight: None, ignore_index: -100, label_smoothing: 0.0, reduction: Reduction::Mean }
    }
}

/// Cross-entropy of scores `[N, C, d…]` (before softmax) and labels `[N, d…]`, or probabilities of the scores' shape.
///
/// A mean divides by the sum of the weights of the labels, for probabilities by the number of rows.
///
/// ```
/// use percept_engine::{Input, Network, Settings};
/// use percept_graph::{Builder, DType, Params};
/// use percept_learn::loss::{CrossEntropy, cross_entropy};
///
/// let net = Builder::new("net");
/// let scores = net.input("scores", DType::F32, ["N".into(), 2.into()]);
/// let labels = net.input("labels", DType::I64, ["N".into()]);
/// let loss = cross_entropy(scores, labels, CrossEntropy::default());
/// let mut network = Network::new(&net.finish(&[("loss", loss)])?, &Params::new(), Settings::detect()?)?;
/// let inputs = [(&[2, 2][..], Input::F32(&[0.0, 0.0, 9.0, 1.0])), (&[2][..], Input::I64(&[1, -100]))];
/// assert!((network.run(&inputs)?.output(0).1[0] - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn cross_entropy<'b>(scores: Var<'b>, targets: Var<'_>, settings: CrossEntropy<'_>) -> Var<'b> {
    let CrossEntropy { weight, ignore_index, label_smoothing, reduction } = settings;
    let kind = LossKind::SoftmaxCrossEntropy { ignore_index, label_smoothing };
    scores.apply_optional(Loss { kind, reduction }, &[Some(targets), weight])
}

/// Settings of [`binary_cross_entropy_with_logits`].
#[derive(Clone, Copy, Default)]
pub struct BinaryCrossEntropy<'b> {
    /// A weight for each element; it broadcasts to the shape of the input.
    pub weight: Option<Var<'b>>,
    /// A weight of positives, for instance one for each class; it broadcasts likewise.
    pub pos_weight: Option<Var<'b>>,
    /// How elements become one number; a mean divides by their number.
    pub reduction: Reduction,
}

/// Cross-entropy of logits of yes and targets 0 to 1 of the same shape.
///
/// ```
/// # use percept_graph::{Builder, DType};
/// # use percept_learn::loss::{BinaryCrossEntropy, binary_cross_entropy_with_logits};
/// let net = Builder::new("net");
/// let [x, t] = ["x", "t"].map(|name| net.input(name, DType::F32, ["N".into(), 3.into()]));
/// let loss = binary_cross_entropy_with_logits(x, t, BinaryCrossEntropy { weight: Some(t), ..Default::default() });
/// assert_eq!(net.finish(&[("loss", loss)])?.nodes().len(), 1);
/// # Ok::<(), percept_graph::Error>(())
/// ```
pub fn binary_cross_entropy_with_logits<'b>(
    input: Var<'b>,
    target: Var<'_>,
    BinaryCrossEntropy { weight, pos_weight, reduction }: BinaryCrossEntropy<'_>,
) -> Var<'b> {
    let kind = LossKind::BinaryCrossEntropyWithLogits;
    input.apply_optional(Loss { kind, reduction }, &[Some(target), weight, pos_weight])
}

/// What the elements weigh, and how they become one number.
#[derive(Clone, Copy, Default)]
pub struct Weighted<'b> {
    /// A weight for each element; it broadcasts to the shape of the input. Zero for what is not known leaves it out.
    pub weight: Option<Var<'b>>,
    /// How elements become one number.
    pub reduction: Reduction,
}

impl Weighted<'_> {
    fn of<'b>(self, kind: LossKind, input: Var<'b>, target: Var<'_>) -> Var<'b> {
        input.apply_optional(Loss { kind, reduction: self.reduction }, &[Some(target), self.weight])
    }
}

/// Squared error of an input and a target of the same shape; a mean divides by the sum of the weights.
///
/// ```
/// # use percept_engine::{Input, Network, Settings};
/// # use percept_graph::{Builder, DType, Params};
/// # use percept_learn::loss::{Weighted, mse_loss};
/// let net = Builder::new("net");
/// let [x, t] = ["x", "t"].map(|name| net.input(name, DType::F32, [2.into()]));
/// let graph = net.finish(&[("loss", mse_loss(x, t, Weighted::default()))])?;
/// let mut network = Network::new(&graph, &Params::new(), Settings::detect()?)?;
/// let plan = network.run(&[(&[2], Input::F32(&[1.0, 2.0])), (&[2], Input::F32(&[1.0, 4.0]))])?;
/// assert_eq!(plan.output(0).1, [2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mse_loss<'b>(input: Var<'b>, target: Var<'_>, settings: Weighted<'_>) -> Var<'b> {
    settings.of(LossKind::SquaredError, input, target)
}

/// Absolute error; as [`mse_loss`].
///
/// ```
/// # use percept_graph::{Builder, DType};
/// # use percept_learn::{gradient::gradients, loss::{Weighted, l1_loss}};
/// let net = Builder::new("net");
/// let [x, t] = ["x", "t"].map(|name| net.input(name, DType::F32, ["N".into()]));
/// let loss = l1_loss(x, t, Weighted::default());
/// let mut graph = net.finish(&[("loss", loss)])?;
/// assert!(gradients(&mut graph, loss.id(), &[x.id(), t.id()])?.iter().all(Option::is_some));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn l1_loss<'b>(input: Var<'b>, target: Var<'_>, settings: Weighted<'_>) -> Var<'b> {
    settings.of(LossKind::AbsoluteError, input, target)
}

/// Squared error below `delta`, absolute error beyond (Huber, "Robust Estimation of a Location Parameter", 1964); a mean divides by the number
/// of elements.
///
/// ```
/// # use percept_graph::{Builder, DType};
/// # use percept_learn::loss::{Weighted, huber_loss};
/// let net = Builder::new("net");
/// let x = net.input("x", DType::F32, ["N".into()]);
/// let wrong = huber_loss(x, x, -1.0, Weighted::default());
/// assert!(net.finish(&[("loss", wrong)]).unwrap_err().to_string().contains("delta is -1"));
/// ```
pub fn huber_loss<'b>(input: Var<'b>, target: Var<'_>, delta: f32, settings: Weighted<'_>) -> Var<'b> {
    settings.of(LossKind::Huber { delta, slope: delta }, input, target)
}

/// [`huber_loss`] divided by `beta`, where the parabola ends (Girshick, "Fast R-CNN", arXiv:1504.08083).
///
/// ```
/// # use percept_graph::{Builder, DType};
/// # use percept_learn::loss::{Weighted, smooth_l1_loss};
/// let net = Builder::new("net");
/// let [x, t] = ["x", "t"].map(|name| net.input(name, DType::F32, ["N".into(), 4.into()]));
/// let graph = net.finish(&[("loss", smooth_l1_loss(x, t, 1.0, Weighted::default()))])?;
/// assert_eq!(graph.value(graph.outputs()[0]).ty.rank(), 0);
/// # Ok::<(), percept_graph::Error>(())
/// ```
pub fn smooth_l1_loss<'b>(input: Var<'b>, target: Var<'_>, beta: f32, settings: Weighted<'_>) -> Var<'b> {
    settings.of(LossKind::Huber { delta: beta, slope: 1.0 }, input, target)
}

/// `max(0, 1 − target · input)` for targets ±1, as discriminators of GANs have it (Lim & Ye, arXiv:1705.02894); a mean divides by the number of
/// elements.
///
/// ```
/// # use percept_engine::{Input, Network, Settings};
/// # use percept_graph::{Builder, DType, Params};
/// # use percept_learn::loss::{Weighted, hinge_loss};
/// let net = Builder::new("net");
/// let [x, t] = ["x", "t"].map(|name| net.input(name, DType::F32, [2.into()]));
/// let graph = net.finish(&[("loss", hinge_loss(x, t, Weighted::default()))])?;
/// let mut network = Network::new(&graph, &Params::new(), Settings::detect()?)?;
/// let plan = network.run(&[(&[2], Input::F32(&[3.0, 0.5])), (&[2], Input::F32(&[1.0, -1.0]))])?;
/// assert_eq!(plan.output(0).1, [0.75]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn hinge_loss<'b>(input: Var<'b>, target: Var<'_>, settings: Weighted<'_>) -> Var<'b> {
    settings.of(LossKind::Hinge, input, target)
}

/// Settings of [`multi_margin_loss`].
#[derive(Clone, Copy)]
pub struct MultiMargin<'b> {
    /// How far the label's score has to lie above the others.
    pub margin: f32,
    /// Whether what is missing to that is squared: PyTorch's `p = 2`.
    pub squared: bool,
    /// A weight for each class, `[C]`.
    pub weight: Option<Var<'b>>,
    /// How rows become one number; a mean divides by their number.
    pub reduction: Reduction,
}

impl Default for MultiMargin<'_> {
    fn default() -> Self {
        Self { margin: 1.0, squared: false, weight: None, reduction: Reduction::Mean }
    }
}

/// Hinge loss of scores `[N, C]` and labels `[N]`: the mean over the classes of `max(0, margin − score of the label + score)`.
///
/// ```
/// # use percept_engine::{Input, Network, Settings};
/// # use percept_graph::{Builder, DType, Params};
/// # use percept_learn::loss::{MultiMargin, multi_margin_loss};
/// let net = Builder::new("net");
/// let (x, t) = (net.input("x", DType::F32, [1.into(), 2.into()]), net.input("t", DType::I32, [1.into()]));
/// let graph = net.finish(&[("loss", multi_margin_loss(x, t, MultiMargin::default()))])?;
/// let mut network = Network::new(&graph, &Params::new(), Settings::detect()?)?;
/// assert_eq!(network.run(&[(&[1, 2], Input::F32(&[1.0, 2.0])), (&[1], Input::I32(&[0]))])?.output(0).1, [1.0]);
/// let wrong = network.run(&[(&[1, 2], Input::F32(&[1.0, 2.0])), (&[1], Input::I32(&[2]))]).err().unwrap();
/// assert!(wrong.to_string().ends_with("label 2 at position 0 is none of 2 classes, which count from 0"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn multi_margin_loss<'b>(scores: Var<'b>, labels: Var<'_>, settings: MultiMargin<'_>) -> Var<'b> {
    let MultiMargin { margin, squared, weight, reduction } = settings;
    scores.apply_optional(Loss { kind: LossKind::MultiMargin { margin, squared }, reduction }, &[Some(labels), weight])
}

/// Settings of [`ctc_loss`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Ctc {
    /// The class that stands for no label.
    pub blank: usize,
    /// Whether a sequence that is too long for its scores counts as nothing; otherwise its loss is infinite and its gradient NaN.
    pub zero_infinity: bool,
    /// How sequences become one number; a mean is one over the batch, of each loss divided by the number of its labels.
    pub reduction: Reduction,
}

/// Connectionist temporal classification: scores `[T, N, C]` (log-probabilities, or before softmax), labels `[N, S]`, of which each sequence has the
/// first `target_lengths` `[N]`, and `input_lengths` `[N]` of the scores (Graves et al., ICML 2006). A sequence is a task.
///
/// ```
/// # use percept_engine::{Input, Network, Settings};
/// # use percept_graph::{Builder, DType, Params};
/// # use percept_learn::loss::{Ctc, ctc_loss};
/// let net = Builder::new("net");
/// let scores = net.input("scores", DType::F32, [1.into(), 1.into(), 2.into()]);
/// let labels = net.input("labels", DType::I64, [1.into(), 1.into()]);
/// let [times, lengths] = ["times", "lengths"].map(|name| net.input(name, DType::I64, [1.into()]));
/// let graph = net.finish(&[("loss", ctc_loss(scores, labels, times, lengths, Ctc::default()))])?;
/// let mut network = Network::new(&graph, &Params::new(), Settings::detect()?)?;
/// let one = Input::I64(&[1]);
/// let plan = network.run(&[(&[1, 1, 2], Input::F32(&[0.0, 0.0])), (&[1, 1], one), (&[1], one), (&[1], one)])?;
/// assert!((plan.output(0).1[0] - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ctc_loss<'b>(
    scores: Var<'b>,
    targets: Var<'_>,
    input_lengths: Var<'_>,
    target_lengths: Var<'_>,
    Ctc { blank, zero_infinity, reduction }: Ctc,
) -> Var<'b> {
    scores.apply(
        Loss { kind: LossKind::Ctc { blank, zero_infinity }, reduction },
        &[targets, input_lengths, target_lengths],
    )
}
