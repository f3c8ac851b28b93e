//! Several answers from one picture: classes, yes/no and numbers of a table, from one shared network.
//!
//! A network has an output for each question. While it learns, an output is raw: logits of a class, of no and yes, or a standardised number,
//! so that all losses have the same size and none drowns another. In the model file temperatures and units are folded into the weights:
//! probabilities, the probability of yes, a number in the table's unit. A missing answer has no weight in the loss of its question.

mod evaluate;
mod heads;
mod heat;
mod model;
mod predict;
mod question;

pub use evaluate::{Answered, ByKind, Evaluation, Figures, evaluate};
pub(crate) use evaluate::{answered, measured};
pub(crate) use heads::{Head, Heads, body, only_of};
pub use heat::{COVERED, occlusion};
pub use model::{Model, Target};
pub(crate) use model::{output_names, package};
pub use predict::{Answer, Prediction, predict};
pub(crate) use question::{Question, Questions};

/// The key of a model's metadata under which its questions stand, as a JSON list of [`Target`].
pub const KEY: &str = "percept.targets";
