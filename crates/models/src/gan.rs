//! DCGAN: a generator that draws pictures from noise, and a discriminator that tells them from real ones.
//!
//! Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks", ICLR 2016
//! (arXiv:1511.06434). Kept from the paper: strided convolutions of 4x4 (its kernels are 5x5, those of its well-known implementations 4x4) in place of
//! pooling, batch normalisation but at the generator's output and the discriminator's input, ReLU and tanh in the generator, LeakyReLU
//! of slope 0.2 in the discriminator, weights that begin normal with deviation 0.02. Different: as many doublings as the size needs, and
//! half as many channels, since the pictures are small.
//!
//! Both losses are graphs over the same parameters, whose names begin with `generator.` and `discriminator.`. One step of each player:
//!
//! ```
//! use percept_engine::{Input, Settings};
//! use percept_learn::optim::{Group, Optimizer, State};
//! use percept_learn::trainer::{BatchNorm, Step, Weights};
//! use percept_models::gan::{Dcgan, DISCRIMINATOR, GENERATOR, first_value};
//! use percept_models::init::{Init, initialize_with};
//!
//! let gan = Dcgan { size: 8, channels: 1, noise: 4, width: 4 };
//! let losses = [gan.discriminator_loss()?, gan.generator_loss()?];
//! let params = initialize_with(&losses[0], 0, first_value)?;
//! let mut weights = Weights::new(&[&losses[0], &losses[1]], &params, BatchNorm::Batch { momentum: 0.9 }, |_| true)?;
//! let adam = Optimizer::Adam { beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };
//! let groups = Group::of_slices(weights.slices(), 1.0, 0.0, |_| false);
//! let (pictures, noise) = ([128; 16 * 64], Init::Normal(1.0).draw(0, "noise", &[16, 4]));
//! for (loss, player) in losses.iter().zip([DISCRIMINATOR, GENERATOR]) {
//!     let mut step = Step::new(loss, &weights, |name| name.starts_with(player), Settings::detect()?)?;
//!     let inputs = [(&[16, 4, 1, 1][..], Input::F32(&noise)), (&[16, 1, 8, 8][..], Input::U8(&pictures))];
//!     let value = step.run(&mut weights, &inputs[..loss.inputs().len()])?;
//!     assert!(value > 0.0 && value < 3.0);
//!     let of_player = weights.slices().iter().zip(&groups).filter(|(slice, _)| slice.name.starts_with(player));
//!     let groups: Vec<Group> = of_player.map(|(_, group)| group.clone()).collect();
//!     let mut state = State::new(&adam, weights.parameters.len());
//!     step.update(&mut weights, &adam, &mut state, &groups, 2e-4)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::init::Init;
use percept_graph::{Builder, DType, Dim, Error, Graph, Tensor, Var, ops};

/// How the names of the generator's parameters begin.
pub const GENERATOR: &str = "generator.";
/// How the names of the discriminator's parameters begin.
pub const DISCRIMINATOR: &str = "discriminator.";
/// The largest side from which both players begin to double or to decide.
const LARGEST_BASE: usize = 7;
/// What batch normalisations add to variances: PyTorch's 1e-5.
const EPSILON: f32 = 1e-5;

/// The measures of both networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dcgan {
    /// Height and width of the pictures: 4 to 7, doubled at least once.
    pub size: usize,
    /// 1 for grey pictures, 3 for colours.
    pub channels: usize,
    /// Numbers that a picture is drawn from.
    pub noise: usize,
    /// Channels of the layers next to the picture; each halving of the resolution doubles them.
    pub width: usize,
}

impl Dcgan {
    /// The usual noise and width, for pictures of this size.
    pub const fn new(size: usize, channels: usize) -> Self {
        Self { size, channels, noise: 100, width: 32 }
    }

    /// The generator: noise `f32[N, noise, 1, 1]`, normal with variance 1, to `pictures`, `f32[N, channels, size, size]` from 0 to 1.
    ///
    /// ```
    /// let graph = percept_models::gan::Dcgan::new(32, 3).generator()?;
    /// assert_eq!(graph.value(graph.outputs()[0]).ty.to_string(), "f32[N, 3, 32, 32]");
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// A size that is not 4 to 7, doubled at least once.
    pub fn generator(&self) -> Result<Graph, Error> {
        let net = Builder::new("generator");
        let [one, half] = [1.0, 0.5].map(|value| net.constant(Tensor::scalar(value)));
        let pictures = (self.draw(self.noise_of(&net))? + one) * half;
        net.finish(&[("pictures", pictures)])
    }

    /// What the discriminator minimises, from `noise` and byte `pictures`, `u8[N, channels, size, size]`: the cross-entropy of telling the
    /// real from the drawn.
    ///
    /// # Errors
    /// As [`Dcgan::generator`].
    pub fn discriminator_loss(&self) -> Result<Graph, Error> {
        let net = Builder::new("discriminator_loss");
        let drawn = self.draw(self.noise_of(&net))?;
        let shape: [Dim; 4] = ["N".into(), self.channels.into(), self.size.into(), self.size.into()];
        let bytes = net.input("pictures", DType::U8, shape).cast(DType::F32);
        let [half, one] = [127.5, 1.0].map(|value| net.constant(Tensor::scalar(value)));
        let real = self.judge(bytes / half - one)?;
        let drawn = self.judge(drawn)?;
        net.finish(&[("loss", mistaken(real.apply(ops::Neg {}, &[])) + mistaken(drawn))])
    }

    /// What the generator minimises, from `noise`: how sure the discriminator is that what it drew is not real (the non-saturating loss of
    /// Goodfellow et al., "Generative Adversarial Nets", NIPS 2014).
    ///
    /// # Errors
    /// As [`Dcgan::generator`].
    pub fn generator_loss(&self) -> Result<Graph, Error> {
        let net = Builder::new("generator_loss");
        let verdict = self.judge(self.draw(self.noise_of(&net))?)?;
        net.finish(&[("loss", mistaken(verdict.apply(ops::Neg {}, &[])))])
    }

    fn noise_of<'b>(&self, net: &'b Builder) -> Var<'b> {
        net.input("noise", DType::F32, ["N".into(), self.noise.into(), 1.into(), 1.into()])
    }

    /// The channels of a picture halved so often.
    fn width_after(&self, halvings: usize) -> usize {
        self.width << (halvings - 1)
    }

    /// Pictures from −1 to 1.
    fn draw<'b>(&self, noise: Var<'b>) -> Result<Var<'b>, Error> {
        let (base, halvings) = self.halvings()?;
        let mut x =
            noise.conv_transpose_without_bias("generator.project", self.width_after(halvings), base, |conv| conv);
        for i in (1..=halvings).rev() {
            x = x.batch_norm(&format!("generator.bn{i}"), EPSILON).relu();
            x = match i {
                1 => x.conv_transpose("generator.up1", self.channels, 4, |conv| conv.stride(2).padding(1)),
                _ => x.conv_transpose_without_bias(&format!("generator.up{i}"), self.width_after(i - 1), 4, |conv| {
                    conv.stride(2).padding(1)
                }),
            };
        }
        Ok(x.tanh())
    }

    /// Logits `[N, 1]` of pictures from −1 to 1 being real.
    fn judge<'b>(&self, pictures: Var<'b>) -> Result<Var<'b>, Error> {
        let (base, halvings) = self.halvings()?;
        let leaky = ops::LeakyRelu { alpha: 0.2 };
        let down = |conv: ops::Conv| conv.stride(2).padding(1);
        let mut x = pictures.conv("discriminator.down1", self.width_after(1), 4, down).apply(leaky.clone(), &[]);
        for i in 2..=halvings {
            x = x.conv_without_bias(&format!("discriminator.down{i}"), self.width_after(i), 4, down);
            x = x.batch_norm(&format!("discriminator.bn{i}"), EPSILON).apply(leaky.clone(), &[]);
        }
        Ok(x.conv("discriminator.verdict", 1, base, |conv| conv).flatten())
    }

    /// The side of the smallest map, and how often it is doubled.
    fn halvings(&self) -> Result<(usize, usize), Error> {
        let (mut base, mut halvings) = (self.size, 0);
        while base > LARGEST_BASE && base.is_multiple_of(2) {
            (base, halvings) = (base / 2, halvings + 1);
        }
        if halvings == 0 || base > LARGEST_BASE {
            let size = self.size;
            let text =
                format!("pictures of {size} pixels cannot be drawn: take 4 to 7 doubled, such as 28, 32, 48 or 64");
            return Err(Error::Format(text));
        }
        Ok((base, halvings))
    }
}

/// Mean cross-entropy of logits of a yes where no is right: that of no where yes is right takes their negatives.
fn mistaken(logits: Var<'_>) -> Var<'_> {
    logits.apply(ops::Softplus {}, &[]).apply(ops::ReduceMean { axes: None, keepdims: false }, &[])
}

/// How weights of convolutions begin, for [`initialize_with`](crate::init::initialize_with); biases are zero, normalisations as usual.
pub fn first_value(name: &str, shape: &[usize]) -> Option<Init> {
    match shape {
        [_, _, ..] => Some(Init::Normal(0.02)),
        _ if name.ends_with(".bias") => Some(Init::Constant(0.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_small_sides_doubled() {
        for (size, expected) in [(8, (4, 1)), (28, (7, 2)), (32, (4, 3)), (48, (6, 3)), (64, (4, 4))] {
            let gan = Dcgan::new(size, 1);
            assert_eq!(gan.halvings().unwrap(), expected, "{size}");
            let graph = gan.generator().unwrap();
            assert_eq!(graph.value(graph.outputs()[0]).ty.to_string(), format!("f32[N, 1, {size}, {size}]"));
            assert_eq!(gan.discriminator_loss().unwrap().inputs().len(), 2);
        }
        for size in [0, 1, 7, 30, 33, 100] {
            let error = Dcgan::new(size, 1).generator_loss().unwrap_err();
            assert!(error.to_string().contains("cannot be drawn"), "{size}: {error}");
        }
    }

    #[test]
    fn both_losses_share_all_parameters() {
        let gan = Dcgan::new(28, 3);
        let names = |graph: Graph| graph.parameters().map(|value| value.name.clone()).collect::<Vec<_>>();
        let of_loss = names(gan.discriminator_loss().unwrap());
        assert_eq!(of_loss, names(gan.generator_loss().unwrap()));
        assert!(of_loss.iter().all(|name| name.starts_with(GENERATOR) || name.starts_with(DISCRIMINATOR)));
    }
}
