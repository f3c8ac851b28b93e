//! GANs: a generator that draws pictures from noise, of a class if there are classes, and a discriminator that tells them from real ones.
//!
//! The generator is that of DCGAN: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
//! Networks", ICLR 2016 (arXiv:1511.06434), with strided transposed convolutions, batch normalisation but at the output, ReLU and tanh, and weights that
//! begin normal with deviation 0.02. Different: kernels of 4x4 in place of 5x5, as many doublings as the size needs, and half as many channels, since
//! the pictures are small. A class is a row of a table, embedded as maps of the size of the first, to which they are added behind their normalisation.
//! The class's numbers beside the noise would be as simple, and failed: as the class's part of the first layer grows, the normalisation behind it shrinks
//! that of the noise, until all pictures of a class are one.
//!
//! Without classes the discriminator is DCGAN's too: strided convolutions, batch normalisation but in the first, LeakyReLU of slope 0.2. With classes it has
//! spectral normalisation of all weights in place of batch normalisation (Miyato, Kataoka, Koyama and Yoshida, ICLR 2018: see [`Builder::spectral_norm`]), and is told the class by projection: the inner product of
//! the class's vector and the last map is added to the verdict (Miyato and Koyama, "cGANs with Projection Discriminator", ICLR 2018,
//! arXiv:1802.05637). Different: the last map is not summed over its positions, since the verdict is not either.
//!
//! Both losses are graphs over the same parameters, whose names begin with `generator.` and `discriminator.`. A step of both, for which pictures are drawn once:
//!
//! ```
//! use percept_engine::{Input, Settings};
//! use percept_learn::optim::{Group, Optimizer, State};
//! use percept_learn::spectral::Spectral;
//! use percept_learn::trainer::{BatchNorm, Step, Weights};
//! use percept_models::gan::{DISCRIMINATOR, GENERATOR, Gan, first_value};
//! use percept_models::init::{Init, initialize_with};
//!
//! let gan = Gan { size: 8, channels: 1, classes: 2, noise: 4, width: 4 };
//! let losses = [gan.discriminator_loss()?, gan.generator_loss()?];
//! let params = initialize_with(&losses[1], 0, first_value)?;
//! let mut weights = Weights::new(&[&losses[0], &losses[1]], &params, BatchNorm::Batch { momentum: 0.9 }, |_| true)?;
//! let player = |loss, name: &str| Step::new(loss, &weights, |weight| weight.starts_with(name), Settings::detect()?);
//! let (mut judge, mut draw) = (player(&losses[0], DISCRIMINATOR)?, player(&losses[1], GENERATOR)?);
//! let mut spectral = Spectral::new(&losses[0], &weights, 0)?;
//! let adam = Optimizer::Adam { beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };
//! let groups = [DISCRIMINATOR, GENERATOR].map(|name| {
//!     let own: Vec<_> = weights.slices().iter().filter(|slice| slice.name.starts_with(name)).cloned().collect();
//!     Group::of_slices(&own, 1.0, 0.0, |_| false)
//! });
//! let mut state = State::new(&adam, weights.parameters.len());
//! let (real, noise) = ([128; 16 * 64], Init::Normal(1.0).draw(0, "noise", &[16, 4]));
//! let classes: Vec<i64> = (0..16).map(|i| i % 2).collect();
//! let class = (&[16][..], Input::I64(&classes));
//!
//! spectral.advance(&weights.parameters);
//! let given = [(&[16, 4, 1, 1][..], Input::F32(&noise)), class];
//! let asked: Vec<_> = given.into_iter().chain(spectral.inputs()).collect();
//! draw.run_until(1, &weights, &asked)?;
//! let (shape, drawn) = draw.output(1)?;
//! let given = [class, (shape, Input::U8(&real)), (shape, Input::F32(drawn))];
//! let shown: Vec<_> = given.into_iter().chain(spectral.inputs()).collect();
//! let judged = judge.run(&mut weights, &shown)?;
//! judge.update(&mut weights, &adam, &mut state, &groups[0], 2e-4)?;
//! let drew = draw.run_rest(&mut weights, &asked)?;
//! state.step = 0;
//! draw.update(&mut weights, &adam, &mut state, &groups[1], 2e-4)?;
//! assert!(judged > 0.0 && judged < 3.0 && drew > 0.0 && drew < 3.0);
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
/// The generator's table of classes, which has the first maps of each.
const CLASSES: &str = "generator.classes.weight";

/// The measures of both networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gan {
    /// Height and width of the pictures: 4 to 7, doubled at least once.
    pub size: usize,
    /// 1 for grey pictures, 3 for colours.
    pub channels: usize,
    /// Classes that can be asked for; 0 for pictures without classes.
    pub classes: usize,
    /// Numbers that a picture is drawn from.
    pub noise: usize,
    /// Channels of the layers next to the picture; each halving of the resolution doubles them.
    pub width: usize,
}

impl Gan {
    /// The usual noise and width, for pictures of this size.
    pub const fn new(size: usize, channels: usize, classes: usize) -> Self {
        Self { size, channels, classes, noise: 100, width: 32 }
    }

    /// The generator: `noise`, `f32[N, noise, 1, 1]`, normal with variance 1, and if there are classes `class`, `i64[N]`, to `pictures`, `f32[N,
    /// channels, size, size]` from 0 to 1.
    ///
    /// ```
    /// let graph = percept_models::gan::Gan::new(32, 3, 10).generator()?;
    /// assert_eq!(graph.value(graph.inputs()[1]).ty.to_string(), "i64[N]");
    /// assert_eq!(graph.value(graph.outputs()[0]).ty.to_string(), "f32[N, 3, 32, 32]");
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// A size that is not 4 to 7, doubled at least once.
    pub fn generator(&self) -> Result<Graph, Error> {
        let net = Builder::new("generator");
        let [one, half] = [1.0, 0.5].map(|value| net.constant(Tensor::scalar(value)));
        let pictures = (self.draw(&net, &self.asked(&net))? + one) * half;
        net.finish(&[("pictures", pictures)])
    }

    /// What the discriminator minimises: the cross-entropy of telling the real from the drawn. Its inputs are, if there are classes, `class`, `i64[N]`;
    /// byte `pictures` of these classes, `u8[N, channels, size, size]`, and `drawn` ones from −1 to 1, `f32` of that shape; and, if there are classes, the
    /// directions of its weights.
    ///
    /// # Errors
    /// As [`Gan::generator`].
    pub fn discriminator_loss(&self) -> Result<Graph, Error> {
        let net = Builder::new("discriminator_loss");
        let class = self.class(&net);
        let shape: [Dim; 4] = ["N".into(), self.channels.into(), self.size.into(), self.size.into()];
        let bytes = net.input("pictures", DType::U8, shape.clone()).cast(DType::F32);
        let drawn = net.input("drawn", DType::F32, shape);
        let [half, one] = [127.5, 1.0].map(|value| net.constant(Tensor::scalar(value)));
        let judge = self.judge(&net, class)?;
        let (real, drawn) = (judge(bytes / half - one), judge(drawn));
        net.finish(&[("loss", mistaken(real.apply(ops::Neg {}, &[])) + mistaken(drawn))])
    }

    /// What the generator minimises, from its inputs and, if there are classes, the directions of the discriminator's weights: how sure the discriminator is that what it drew
    /// is not real (the non-saturating loss of Goodfellow et al., "Generative Adversarial Nets", NIPS 2014). The second output is what it `drew`, for the
    /// discriminator to learn from before it judges.
    ///
    /// # Errors
    /// As [`Gan::generator`].
    pub fn generator_loss(&self) -> Result<Graph, Error> {
        let net = Builder::new("generator_loss");
        let asked = self.asked(&net);
        let drew = self.draw(&net, &asked)?;
        let verdict = self.judge(&net, asked.class)?(drew);
        net.finish(&[("loss", mistaken(verdict.apply(ops::Neg {}, &[]))), ("drew", drew)])
    }

    fn asked<'b>(&self, net: &'b Builder) -> Asked<'b> {
        Asked {
            noise: net.input("noise", DType::F32, ["N".into(), self.noise.into(), 1.into(), 1.into()]),
            class: self.class(net),
        }
    }

    fn class<'b>(&self, net: &'b Builder) -> Option<Var<'b>> {
        (self.classes > 0).then(|| net.input("class", DType::I64, ["N".into()]))
    }

    /// The channels of a picture halved so often.
    fn width_after(&self, halvings: usize) -> usize {
        self.width << (halvings - 1)
    }

    /// Pictures from −1 to 1.
    fn draw<'b>(&self, net: &'b Builder, asked: &Asked<'b>) -> Result<Var<'b>, Error> {
        let (base, halvings) = self.halvings()?;
        let width = self.width_after(halvings);
        let mut x = asked.noise.conv_transpose_without_bias("generator.project", width, base, |conv| conv);
        for i in (1..=halvings).rev() {
            x = x.batch_norm(&format!("generator.bn{i}"), EPSILON);
            if let Some(class) = asked.class.filter(|_| i == halvings) {
                let table = net.parameter(CLASSES, [self.classes, width, base, base].map(Dim::from));
                x = x + table.apply(ops::Gather { axis: 0 }, &[class]);
            }
            x = x.relu();
            x = match i {
                1 => x.conv_transpose("generator.up1", self.channels, 4, |conv| conv.stride(2).padding(1)),
                _ => x.conv_transpose_without_bias(&format!("generator.up{i}"), self.width_after(i - 1), 4, |conv| {
                    conv.stride(2).padding(1)
                }),
            };
        }
        Ok(x.tanh())
    }

    /// What gives the logits `[N, 1]` of pictures from −1 to 1 being real, pictures of their classes if there are any.
    fn judge<'b>(
        &self,
        net: &'b Builder,
        class: Option<Var<'b>>,
    ) -> Result<Box<dyn Fn(Var<'b>) -> Var<'b> + 'b>, Error> {
        let (gan, (base, halvings)) = (*self, self.halvings()?);
        if let Some(class) = class {
            let discriminator = Discriminator::new(self, net)?;
            return Ok(Box::new(move |pictures| discriminator.judge(pictures, class)));
        }
        Ok(Box::new(move |pictures| {
            let leaky = ops::LeakyRelu { alpha: 0.2 };
            let down = |conv: ops::Conv| conv.stride(2).padding(1);
            let mut x = pictures.conv("discriminator.down1", gan.width_after(1), 4, down).apply(leaky.clone(), &[]);
            for i in 2..=halvings {
                x = x.conv_without_bias(&format!("discriminator.down{i}"), gan.width_after(i), 4, down);
                x = x.batch_norm(&format!("discriminator.bn{i}"), EPSILON).apply(leaky.clone(), &[]);
            }
            x.conv("discriminator.verdict", 1, base, |conv| conv).flatten()
        }))
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

/// What a generator is asked for.
struct Asked<'b> {
    noise: Var<'b>,
    class: Option<Var<'b>>,
}

/// The weights of a discriminator of classes, divided by their greatest singular values once for all that it judges.
struct Discriminator<'b> {
    /// Weights and biases.
    downs: Vec<[Var<'b>; 2]>,
    verdict: [Var<'b>; 2],
    classes: Var<'b>,
}

impl<'b> Discriminator<'b> {
    fn new(gan: &Gan, net: &'b Builder) -> Result<Self, Error> {
        let (base, halvings) = gan.halvings()?;
        let weight = |name: &str, shape: &[usize]| {
            net.spectral_norm(&format!("discriminator.{name}.weight"), shape.iter().map(|&size| size.into()))
        };
        let layer = |name: &str, shape: [usize; 4]| {
            [weight(name, &shape), net.parameter(&format!("discriminator.{name}.bias"), [shape[0].into()])]
        };
        let mut from = gan.channels;
        let mut downs = Vec::new();
        for i in 1..=halvings {
            let to = gan.width_after(i);
            downs.push(layer(&format!("down{i}"), [to, std::mem::replace(&mut from, to), 4, 4]));
        }
        let verdict = layer("verdict", [1, from, base, base]);
        let classes = weight("classes", &[gan.classes, from * base * base]);
        Ok(Self { downs, verdict, classes })
    }

    fn judge(&self, pictures: Var<'b>, class: Var<'b>) -> Var<'b> {
        let down = ops::Conv::new_2d(1, 0).stride(2).padding(1);
        let mut x = pictures;
        for layer in &self.downs {
            x = x.apply(down.clone(), layer).apply(ops::LeakyRelu { alpha: 0.2 }, &[]);
        }
        let logits = x.apply(ops::Conv::new_2d(1, 0), &self.verdict).flatten();
        let like = x.flatten() * self.classes.apply(ops::Gather { axis: 0 }, &[class]);
        logits + like.apply(ops::ReduceSum { axes: Some(vec![1]), keepdims: true }, &[])
    }
}

/// Mean cross-entropy of logits of a yes where no is right: that of no where yes is right takes their negatives.
fn mistaken(logits: Var<'_>) -> Var<'_> {
    logits.apply(ops::Softplus {}, &[]).apply(ops::ReduceMean { axes: None, keepdims: false }, &[])
}

/// How weights of convolutions begin, for [`initialize_with`](crate::init::initialize_with); biases are zero, normalisations as usual.
pub fn first_value(name: &str, shape: &[usize]) -> Option<Init> {
    match shape {
        _ if name == CLASSES => Some(Init::Normal(1.0)),
        [_, _, ..] => Some(Init::Normal(0.02)),
        _ if name.ends_with(".bias") => Some(Init::Constant(0.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
