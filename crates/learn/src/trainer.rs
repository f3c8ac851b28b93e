//! A network while it is trained: its weights in flat arenas, and the step that gives their gradients.
//!
//! What is trained enters the graph of a [`Step`] as inputs, so one plan serves all steps, and an optimiser sees two flat lists of numbers.
//! Running statistics are state like any other: a step takes the old and gives the new. Weights do not belong to a step, so several can
//! share them: the two players of a GAN each have a step of their own over the same weights.
//!
//! The loop is the caller's, a few lines:
//!
//! ```
//! use percept_engine::{Input, Settings};
//! use percept_graph::{Builder, DType, Params, Tensor};
//! use percept_learn::optim::{Group, Optimizer, State};
//! use percept_learn::trainer::{BatchNorm, Loss, Step, Weights, with_losses};
//!
//! let net = Builder::new("perceptron");
//! let logits = net.input("x", DType::F32, ["N".into(), 2.into()]).linear("fc", 2);
//! let graph = with_losses(&net.finish(&[("logits", logits)])?, &[Loss::CrossEntropy])?;
//! let params: Params = [
//!     ("fc.weight".to_string(), Tensor::f32([2, 2], vec![0.0; 4])?),
//!     ("fc.bias".to_string(), Tensor::f32([2], vec![0.0; 2])?),
//! ].into();
//! let mut weights = Weights::new(&[&graph], &params, BatchNorm::Frozen, |_| true)?;
//! let mut step = Step::new(&graph, &weights, |_| true, Settings::detect()?)?;
//! let (sgd, groups) = (Optimizer::Sgd { momentum: 0.0, nesterov: false }, [Group { range: 0..6, rate: 1.0, weight_decay: 0.0 }]);
//! let mut state = State::new(&sgd, 6);
//! let mut losses = Vec::new();
//! for _ in 0..10 {
//!     let batch = [(&[1, 2][..], Input::F32(&[1.0, -1.0])), (&[1, 2], Input::F32(&[1.0, 0.0]))];
//!     losses.push(step.run(&mut weights, &batch)?);
//!     step.update(&mut weights, &sgd, &mut state, &groups, 0.1)?;
//! }
//! assert!((losses[0] - 2f32.ln()).abs() < 1e-6 && losses[9] < 0.3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod losses;
mod opened;
mod step;
mod weights;

pub use losses::{Loss, with_losses};
pub use step::Step;
pub use weights::{BatchNorm, Slice, Weights};

#[cfg(test)]
mod tests;
