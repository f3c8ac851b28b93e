//! Packages as solids: boxes with or without a gable, and everything that is drawn in rings (tins, bottles, jars, cups, tubes, bags).
//!
//! A solid is painted in flat colours and printed on; then thin black and white, by the angle of each part to the light, shades it.
//! So print and packaging need not know of light.

use std::f32::consts::PI;

use tiny_skia::{GradientStop, LinearGradient, Path, Shader, SpreadMode, Transform};

use super::canvas::{Canvas, Place, disc, ink, line, polygon, rectangle, veil};
use super::print::Print;

/// The solid of a package. The largest are 1 high.
pub(super) enum Body {
    /// A box; `gable` is how high a roof as on milk stands on it, or 0.
    Carton { width: f32, height: f32, depth: f32, gable: f32 },
    /// Rings from the ground up, the heights between which the print is, heights of grooves and seams, and how it shines.
    Rings { rings: &'static [Ring], label: (f32, f32), grooves: &'static [f32], gloss: f32 },
}

/// An ellipse at a height, and the colour from here up to the next ring, or of the lid.
pub(super) struct Ring {
    pub(super) height: f32,
    pub(super) across: f32,
    pub(super) deep: f32,
    pub(super) colour: u32,
}

/// Where the light comes from, a vector of length 1.
#[derive(Clone, Copy)]
pub(super) struct Light(pub(super) Place);

impl Light {
    /// Brightness of a surface with this normal, which need not have length 1.
    pub(super) fn on(self, normal: Place) -> f32 {
        let dot = |a: Place, b: Place| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        0.52 + 0.66 * (dot(normal, self.0) / dot(normal, normal).sqrt()).max(0.0)
    }

    /// How much an upright surface of this normal, level and of length 1, mirrors the light to the viewer.
    fn gleam(self, x: f32, z: f32) -> f32 {
        let (half_x, half_z) = (self.0[0], self.0[2] + 1.0);
        ((x * half_x + z * half_z) / half_x.hypot(half_z)).max(0.0).powi(48)
    }
}

/// A package as it stands: turned about its axis by the angle of this sine and cosine.
pub(super) struct Stand<'a> {
    pub(super) body: &'a Body,
    pub(super) print: &'a Print,
    pub(super) name: &'a str,
    pub(super) turn: (f32, f32),
    pub(super) light: Light,
}

impl Body {
    pub(super) fn height(&self) -> f32 {
        match *self {
            Self::Carton { height, gable, .. } => height + 1.4 * gable,
            Self::Rings { rings, .. } => rings.last().map_or(1.0, |ring| ring.height),
        }
    }
}

impl Stand<'_> {
    pub(super) fn draw(&self, canvas: &mut Canvas) {
        match *self.body {
            Body::Carton { width, height, depth, gable } => self.carton(canvas, [width, height, depth], gable),
            Body::Rings { rings, label, grooves, gloss } => self.rings(canvas, rings, label, grooves, gloss),
        }
    }

    /// Returns the outline of what touches the ground.
    pub(super) fn footprint(&self) -> Vec<(f32, f32)> {
        let flat = |[x, _, z]: Place| (x, z);
        match *self.body {
            Body::Carton { width, depth, .. } => [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
                .map(|(x, z)| flat(self.turned([x * width, 0.0, z * depth])))
                .to_vec(),
            Body::Rings { rings, .. } => {
                let ring = &rings[0];
                arc(-PI, PI).map(|angle| flat(self.on_ring((ring.across, ring.deep), 0.0, angle))).collect()
            }
        }
    }

    fn turned(&self, [x, y, z]: Place) -> Place {
        let (sin, cos) = self.turn;
        [x * cos + z * sin, y, z * cos - x * sin]
    }

    fn carton(&self, canvas: &mut Canvas, [width, height, depth]: Place, gable: f32) {
        let (half_width, half_depth) = (0.5 * width, 0.5 * depth);
        let eye = canvas.eye;
        // A face is seen if its normal points at the camera; being convex, the box needs no more order than this.
        let seen = |at: Place, normal: Place| {
            let camera = [0.0, eye.target + eye.distance * eye.pitch.0, eye.distance * eye.pitch.1];
            (0..3).map(|i| (camera[i] - at[i]) * normal[i]).sum::<f32>() > 0.0
        };
        for side in [-1.0, 1.0] {
            let normal = self.turned([side, 0.0, 0.0]);
            if seen(self.turned([side * half_width, 0.0, 0.0]), normal) {
                let place = |x: f32, y: f32| self.turned([side * half_width, y * height, -side * x * height]);
                let half = half_depth / height;
                let mut pen = canvas.pen(f32::INFINITY, &place);
                self.print.side(&mut pen, half);
                let roof = polygon([(-half, 1.0), (half, 1.0), (0.0, 1.0 + gable / height)]);
                pen.fill(roof.clone(), ink(self.print.paper));
                pen.fill(roof, veil(0.86));
                pen.fill(
                    polygon([(-half, 0.0), (half, 0.0), (half, 1.0), (0.0, 1.0 + gable / height), (-half, 1.0)]),
                    veil(self.light.on(normal)),
                );
            }
        }
        let top = self.turned([0.0, height, 0.0]);
        if gable == 0.0 && seen(top, [0.0, 1.0, 0.0]) {
            let place = |x: f32, z: f32| self.turned([x, height, z]);
            let mut pen = canvas.pen(f32::INFINITY, &place);
            let lid = || rectangle(-half_width, -half_depth, half_width, half_depth);
            pen.fill(lid(), ink(self.print.accent));
            pen.fill(rectangle(-half_width, 0.1 * half_depth, half_width, 0.14 * half_depth), veil(0.7));
            pen.fill(lid(), veil(self.light.on([0.0, 1.0, 0.0])));
        }
        let front = |x: f32, y: f32| self.turned([x * height, y * height, half_depth]);
        let half = half_width / height;
        let mut pen = canvas.pen(f32::INFINITY, &front);
        self.print.front(&mut pen, self.name, half, half);
        pen.fill(rectangle(-half, 0.0, half, 1.0), veil(self.light.on(self.turned([0.0, 0.0, 1.0]))));
        // Board is bent, not cut: its edges catch the light.
        for x in [-half, half] {
            pen.fill(line([(x, 0.0), (x, 1.0)], 0.008), veil(1.3));
        }
        if gable > 0.0 {
            self.gable(canvas, [half_width, height, half_depth], gable);
        }
    }

    /// The roof of a milk carton: the slope to the front with a cap in it, and the upright seam on top.
    fn gable(&self, canvas: &mut Canvas, [half_width, height, half_depth]: Place, gable: f32) {
        let slope = |x: f32, t: f32| self.turned([x, height + gable * t, half_depth * (1.0 - t)]);
        let mut pen = canvas.pen(f32::INFINITY, &slope);
        pen.fill(rectangle(-half_width, 0.0, half_width, 1.0), ink(self.print.accent));
        pen.fill(
            rectangle(-half_width, 0.0, half_width, 1.0),
            veil(self.light.on(self.turned([0.0, half_depth, gable]))),
        );
        pen.fill(line([(-half_width, 0.0), (half_width, 0.0)], 0.03), veil(0.85));
        let cap = |radius: f32| {
            disc(0.0, 0.0, radius)
                .and_then(|path| path.transform(Transform::from_row(1.0, 0.0, 0.0, 1.0 / gable, 0.0, 0.5)))
        };
        pen.fill(cap(0.078), veil(0.75));
        pen.fill(cap(0.07), ink(self.print.ink));
        pen.fill(cap(0.05), veil(1.2));
        let seam = |x: f32, y: f32| self.turned([x, height + gable + y, 0.0]);
        let mut pen = canvas.pen(f32::INFINITY, &seam);
        let strip = || rectangle(-half_width, 0.0, half_width, 0.4 * gable);
        pen.fill(strip(), ink(self.print.paper));
        pen.fill(strip(), veil(self.light.on(self.turned([0.0, 0.0, 1.0]))));
        pen.fill(line([(-half_width, 0.02), (half_width, 0.02)], 0.012), veil(0.8));
    }

    /// Returns the place at an angle, 0 being the front, on an ellipse of these half axes.
    fn on_ring(&self, (across, deep): (f32, f32), height: f32, angle: f32) -> Place {
        let (sin, cos) = angle.sin_cos();
        self.turned([across * sin, height, deep * cos])
    }

    /// Returns the angles between which the viewer sees an ellipse: where its normal is across the line of sight.
    fn visible(&self, (across, deep): (f32, f32)) -> (f32, f32) {
        let right = (across * self.turn.1).atan2(deep * self.turn.0);
        (right - PI, right)
    }

    fn rings(&self, canvas: &mut Canvas, rings: &[Ring], label: (f32, f32), grooves: &[f32], gloss: f32) {
        for pair in rings.windows(2) {
            let (low, high) = (&pair[0], &pair[1]);
            // A little lower, so that the ring below does not shine through between the two.
            let side = self.side(canvas, low, high, 0.004);
            canvas.fill(side, Shader::SolidColor(ink(low.colour)));
        }
        let size = label.1 - label.0;
        let middle = at(rings, 0.5 * (label.0 + label.1)).0;
        let surface = |x: f32, y: f32| {
            let height = label.0 + y * size;
            let axes = at(rings, height);
            let (left, right) = self.visible(axes);
            self.on_ring(axes, height, (x * size / middle).clamp(left, right))
        };
        let mut pen = canvas.pen(0.12 * middle / size, &surface);
        self.print.front(&mut pen, self.name, 0.98 * middle / size, PI * middle / size);
        for &height in grooves {
            let axes = at(rings, height);
            let (left, right) = self.visible(axes);
            for (shift, light) in [(0.0, 0.72), (0.008, 1.25)] {
                let edge = |up: f32| arc(left, right).map(move |angle| (angle, height + shift + up));
                let around: Vec<_> = edge(0.0).chain(edge(0.008).rev()).collect();
                let groove =
                    canvas.outline(around.into_iter().map(|(angle, height)| self.on_ring(axes, height, angle)));
                canvas.fill(groove, Shader::SolidColor(veil(light)));
            }
        }
        for pair in rings.windows(2) {
            // Low slices, so that shade follows where an ellipse changes its form.
            let slices = ((pair[1].height - pair[0].height) / 0.06).ceil().max(1.0);
            for slice in 0..slices as u8 {
                let cut = |slice: u8| pair[0].towards(&pair[1], f32::from(slice) / slices);
                let (low, high) = (cut(slice), cut(slice + 1));
                let side = self.side(canvas, &low, &high, 0.0);
                if let Some(shade) = self.shade(canvas, &low, &high, gloss) {
                    canvas.fill_seamless(side, shade);
                }
            }
        }
        if let Some(lid) = rings.last() {
            for (scale, colour) in [
                (1.0, ink(lid.colour)),
                (1.0, veil(self.light.on([0.0, 1.0, 0.0]))),
                (0.86, veil(0.9)),
                (0.8, veil(1.08)),
            ] {
                let axes = (lid.across * scale, lid.deep * scale);
                let disc = canvas.outline(arc(-PI, PI).map(|angle| self.on_ring(axes, lid.height, angle)));
                canvas.fill(disc, Shader::SolidColor(colour));
            }
        }
    }

    /// Returns the outline of what is seen between two rings.
    fn side(&self, canvas: &Canvas, low: &Ring, high: &Ring, overlap: f32) -> Option<Path> {
        let edge = |ring: &Ring, lower: f32| {
            let (axes, height) = (ring.axes(), ring.height - lower);
            let (left, right) = self.visible(axes);
            arc(left, right).map(move |angle| self.on_ring(axes, height, angle))
        };
        canvas.outline(edge(low, overlap.min(low.height)).chain(edge(high, 0.0).rev()))
    }

    /// Returns light and shade from the left to the right of what is seen between two rings.
    fn shade(&self, canvas: &Canvas, low: &Ring, high: &Ring, gloss: f32) -> Option<Shader<'static>> {
        let (height, rise) = (0.5 * (low.height + high.height), high.height - low.height);
        let axes = (0.5 * (low.across + high.across), 0.5 * (low.deep + high.deep));
        let (left, right) = self.visible(axes);
        let x = |angle: f32| canvas.project(self.on_ring(axes, height, angle)).x;
        let (from, to) = (x(left), x(right));
        let lean = |low: f32, high: f32| ((low - high) / rise.max(1e-3)).clamp(-2.0, 2.0);
        let lean = (lean(low.across, high.across), lean(low.deep, high.deep));
        let stops = arc(left, right).map(|angle| {
            let (sin, cos) = angle.sin_cos();
            let (nx, nz) = (sin / axes.0, cos / axes.1);
            let length = nx.hypot(nz);
            let [nx, _, nz] = self.turned([nx / length, 0.0, nz / length]);
            let up = lean.0 * sin * sin + lean.1 * cos * cos;
            let light = self.light.on([nx, up, nz]) + gloss * self.light.gleam(nx, nz);
            GradientStop::new((x(angle) - from) / (to - from), veil(light))
        });
        let (from, to) = ((from, 0.0).into(), (to, 0.0).into());
        LinearGradient::new(from, to, stops.collect(), SpreadMode::Pad, Transform::identity())
    }
}

impl Ring {
    fn axes(&self) -> (f32, f32) {
        (self.across, self.deep)
    }

    /// Returns the ring at a part of the way to another.
    fn towards(&self, other: &Self, part: f32) -> Self {
        let between = |from: f32, to: f32| from + part * (to - from);
        Self {
            height: between(self.height, other.height),
            across: between(self.across, other.across),
            deep: between(self.deep, other.deep),
            colour: self.colour,
        }
    }
}

/// Returns the half axes at a height.
fn at(rings: &[Ring], height: f32) -> (f32, f32) {
    let above = rings.iter().position(|ring| ring.height > height).unwrap_or(rings.len() - 1).max(1);
    let (low, high) = (&rings[above - 1], &rings[above]);
    low.towards(high, ((height - low.height) / (high.height - low.height)).clamp(0.0, 1.0)).axes()
}

/// Returns angles from `left` to `right`.
fn arc(left: f32, right: f32) -> impl DoubleEndedIterator<Item = f32> + Clone {
    (0..=20u8).map(move |i| left + (right - left) * f32::from(i) / 20.0)
}
