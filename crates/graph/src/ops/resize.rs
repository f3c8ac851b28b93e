//! Resizing by interpolation.

use super::{Inferred, Operator, axes, axis, expect_float, single};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{Dim, Tensor, TensorType};

/// The sizes of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Extent {
    /// For each axis a factor; sizes are rounded down.
    Scales(Vec<f32>),
    /// For each axis its size, `None` where it stays as it is.
    Sizes(Vec<Option<usize>>),
}

/// Where an entry of the result lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// Entries are cells, whose middles are what counts (`align_corners=False` in PyTorch).
    HalfPixel,
    /// The same, but a single entry lies at the beginning.
    PytorchHalfPixel,
    /// The first entries lie on each other.
    Asymmetric,
    /// The first entries lie on each other, and the last.
    AlignCorners,
}

/// What is made of the entries near a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest entry, which rounding of this kind gives.
    Nearest(Rounding),
    /// The two nearest entries along each axis, weighted by their distances.
    Linear,
}

/// How places become entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// A tensor made larger or smaller along some axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// The sizes of the result.
    pub to: Extent,
    /// Where an entry of the result lies in the input.
    pub coordinates: Coordinates,
    /// What is made of the entries near that place.
    pub interpolation: Interpolation,
}

/// The entries of the input that make an entry of the result, and their weights.
pub type Terms = Vec<(usize, f64)>;

const COORDINATES: [(&str, Coordinates); 4] = [
    ("half_pixel", Coordinates::HalfPixel),
    ("pytorch_half_pixel", Coordinates::PytorchHalfPixel),
    ("asymmetric", Coordinates::Asymmetric),
    ("align_corners", Coordinates::AlignCorners),
];
const ROUNDINGS: [(&str, Rounding); 4] = [
    ("round_prefer_floor", Rounding::PreferFloor),
    ("round_prefer_ceil", Rounding::PreferCeil),
    ("floor", Rounding::Floor),
    ("ceil", Rounding::Ceil),
];

fn named<T: Copy>(table: &[(&str, T)], name: &str) -> Result<T, String> {
    let found = table.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).ok_or_else(|| format!("{name} is not supported"))
}

fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

impl Resize {
    /// For each entry along an axis of the result, what it is made of; `None` for an axis that stays as it is.
    ///
    /// ```
    /// use percept_graph::ops::{Coordinates, Extent, Interpolation, Resize};
    ///
    /// let to = Extent::Scales(vec![2.0]);
    /// let twice = Resize { to, coordinates: Coordinates::HalfPixel, interpolation: Interpolation::Linear };
    /// assert_eq!(twice.terms(0, 2, 4).unwrap()[1], [(0, 0.75), (1, 0.25)]);
    /// ```
    pub fn terms(&self, axis: usize, from: usize, to: usize) -> Option<Vec<Terms>> {
        let scale = match &self.to {
            Extent::Scales(scales) => f64::from(scales[axis]),
            Extent::Sizes(_) => to as f64 / from as f64,
        };
        if scale == 1.0 && from == to {
            return None;
        }
        let last = from.saturating_sub(1);
        Some((0..to).map(|i| self.terms_at(self.place(i as f64, scale, [from, to]), last)).collect())
    }

    fn place(&self, i: f64, scale: f64, [from, to]: [usize; 2]) -> f64 {
        match self.coordinates {
            Coordinates::PytorchHalfPixel if to < 2 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
            Coordinates::Asymmetric => i / scale,
            Coordinates::AlignCorners if to < 2 => 0.0,
            Coordinates::AlignCorners => i * (from - 1) as f64 / (to - 1) as f64,
        }
    }

    fn terms_at(&self, place: f64, last: usize) -> Terms {
        let entry = |x: f64| x.clamp(0.0, last as f64) as usize;
        let rounded = match self.interpolation {
            Interpolation::Nearest(Rounding::PreferFloor) => (place - 0.5).ceil(),
            Interpolation::Nearest(Rounding::PreferCeil) => (place + 0.5).floor(),
            Interpolation::Nearest(Rounding::Floor) => place.floor(),
            Interpolation::Nearest(Rounding::Ceil) => place.ceil(),
            Interpolation::Linear => {
                let (low, share) = (place.floor(), place - place.floor());
                let (first, second) = (entry(low), entry(low + 1.0));
                return if first == second { vec![(first, 1.0)] } else { vec![(first, 1.0 - share), (second, share)] };
            }
        };
        vec![(entry(rounded), 1.0)]
    }
}

fn scaled(size: &Dim, scale: f32) -> Result<Dim, String> {
    let (whole, inverse) = (scale.round(), (1.0 / scale).round());
    match size.as_const() {
        _ if !scale.is_finite() || scale <= 0.0 || scale > 65536.0 => Err(format!("scale {scale} makes no sense")),
        Some(size) => Ok(((size as f64 * f64::from(scale)).floor() as i64).into()),
        None if scale == whole => Ok(size.clone() * whole as i64),
        None if scale * inverse == 1.0 => Ok(size.floor_div(inverse as i64)),
        None => Err(format!("the size {size} must be known for a scale of {scale}: bind its symbols first")),
    }
}

impl Operator for Resize {
    const NAME: &'static str = "Resize";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        expect_float(x)?;
        let given = match &self.to {
            Extent::Scales(scales) => scales.len(),
            Extent::Sizes(sizes) => sizes.len(),
        };
        if given != x.rank() {
            return Err(format!("{given} scales or sizes do not cover {} axes", x.rank()));
        }
        let dims = x.shape.iter().enumerate().map(|(axis, dim)| match &self.to {
            Extent::Scales(scales) => scaled(dim, scales[axis]),
            Extent::Sizes(sizes) => Ok(sizes[axis].map_or_else(|| dim.clone(), Dim::from)),
        });
        let shape = dims.collect::<Result<Vec<_>, _>>()?;
        if x.shape.iter().zip(&shape).any(|(from, to)| *from == 0.into() && *to != 0.into()) {
            return Err("cannot make something of nothing".into());
        }
        Ok(vec![TensorType::new(x.dtype, shape)])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let rank = node.input_type(0)?.rank();
        node.take(1);
        ["cubic_coeff_a", "extrapolation_value", "exclude_outside"].into_iter().for_each(|name| node.ignore(name));
        if node.flag("antialias")? {
            return Err("antialias is not supported".into());
        }
        if node.string("keep_aspect_ratio_policy", "stretch")? != "stretch" {
            return Err("supports the policy stretch only".into());
        }
        let at = match node.ints("axes")? {
            Some(list) => {
                axes(&list, rank)?;
                list.iter().map(|&at| axis(at, rank, false)).collect::<Result<_, _>>()?
            }
            None => (0..rank).collect::<Vec<_>>(),
        };
        let (scales, sizes) = (node.constant_floats(2)?, node.constant_ints(3)?);
        let wrong = |given: usize| format!("{given} scales or sizes do not cover {} axes", at.len());
        let to = match (scales.filter(|list| !list.is_empty()), sizes) {
            (Some(list), _) if list.len() == at.len() => {
                let mut all = vec![1.0; rank];
                at.iter().zip(list).for_each(|(&axis, scale)| all[axis] = scale);
                Extent::Scales(all)
            }
            (_, Some(list)) if list.len() == at.len() => {
                let mut all = vec![None; rank];
                for (&axis, size) in at.iter().zip(list) {
                    all[axis] = Some(usize::try_from(size).map_err(|_| format!("size {size} is negative"))?);
                }
                Extent::Sizes(all)
            }
            (scales, sizes) => return Err(wrong(scales.map_or(0, |s| s.len()) + sizes.map_or(0, |s| s.len()))),
        };
        let coordinates = node.string("coordinate_transformation_mode", "half_pixel")?;
        let rounding = named(&ROUNDINGS, &node.string("nearest_mode", "round_prefer_floor")?)?;
        let interpolation = match node.string("mode", "nearest")?.as_str() {
            "nearest" => Interpolation::Nearest(rounding),
            "linear" => Interpolation::Linear,
            other => return Err(format!("mode {other} is not supported")),
        };
        Ok(Self { to, coordinates: named(&COORDINATES, &coordinates)?, interpolation })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.skip_input();
        match &self.to {
            Extent::Scales(scales) => {
                let tensor = Tensor::f32([scales.len()], scales.clone()).map_err(|e| e.to_string())?;
                node.input("scales", &tensor);
            }
            Extent::Sizes(sizes) => {
                node.skip_input();
                node.input_ints("sizes", sizes.iter().flatten().map(|&size| size as i64).collect());
                if sizes.contains(&None) {
                    let axes = sizes.iter().enumerate().filter(|(_, size)| size.is_some());
                    node.ints("axes", axes.map(|(axis, _)| axis as i64));
                }
            }
        }
        node.string("coordinate_transformation_mode", name_of(&COORDINATES, &self.coordinates));
        match &self.interpolation {
            Interpolation::Linear => node.string("mode", "linear"),
            Interpolation::Nearest(rounding) => node.string("nearest_mode", name_of(&ROUNDINGS, rounding)),
        }
        Ok(())
    }

    fn opset(&self) -> i64 {
        let some = matches!(&self.to, Extent::Sizes(sizes) if sizes.contains(&None));
        if some { 18 } else { crate::onnx::OPSET }
    }
}
