//! What is printed on a package: ground, pattern, brand, motif, variety and small print, laid out to the space there is.

use tiny_skia::Color;

use super::canvas::{Pen, disc, ink, line, polygon, rectangle};
use super::letters::word;
use super::motif::Motif;

/// The print of a product.
pub(super) struct Print {
    /// What it is printed on.
    pub(super) paper: u32,
    /// The brand's lettering.
    pub(super) ink: u32,
    /// The pattern and the banner of the variety.
    pub(super) accent: u32,
    /// What the lower part is covered with.
    pub(super) pattern: Pattern,
    /// The picture.
    pub(super) motif: Motif,
    /// Main and second colour of the picture.
    pub(super) colours: (u32, u32),
}

/// A covering of the lower third of a print.
#[derive(Clone, Copy)]
pub(super) enum Pattern {
    Plain,
    Stripes,
    Dots,
    Checks,
    Waves,
    Rays,
}

/// Where the pattern ends; a print is 1 high.
const PATTERN: f32 = 0.36;

impl Print {
    /// Prints the front: `half` of the width that faces the viewer, and `reach` of the width to either side that the ground covers. The
    /// part of the name before the hyphen is the brand, the rest the variety.
    pub(super) fn front(&self, pen: &mut Pen, name: &str, half: f32, reach: f32) {
        pen.fill(rectangle(-reach, 0.0, reach, 1.0), ink(self.paper));
        self.cover(pen, reach);
        let (brand, variety) = name.split_once('-').unwrap_or((name, ""));
        // On a wide print the picture stands beside the words.
        let wide = half > 0.7;
        let (left, right) = if wide { (-0.36 * half, 0.58 * half) } else { (0.0, 0.0) };
        let width = if wide { 1.12 * half } else { 1.8 * half };
        let radius = if wide { 0.34f32.min(0.4 * half) } else { 0.2f32.min(0.6 * half) };
        self.motif.draw(pen, (right, if wide { 0.55 } else { 0.5 }), radius, self.colours);
        pen.fill(word(brand, (left, if wide { 0.66 } else { 0.83 }), width, 0.24, 0.2), ink(self.ink));
        let banner = 0.42 * width;
        pen.fill(rectangle(left - banner, 0.13, left + banner, 0.29), ink(self.ink));
        pen.fill(word(variety, (left, 0.21), 1.7 * banner, 0.1, 0.17), ink(self.paper));
        self.small_print(pen, left, 0.07, 0.8 * banner);
    }

    /// Prints a side: the pattern goes on, with small print and a bar code.
    pub(super) fn side(&self, pen: &mut Pen, half: f32) {
        pen.fill(rectangle(-half, 0.0, half, 1.0), ink(self.paper));
        self.cover(pen, half);
        for row in 0..6u8 {
            self.small_print(pen, 0.0, 0.86 - 0.05 * f32::from(row), if row == 5 { 0.4 } else { 0.7 } * half);
        }
        let size = 0.6 * half;
        pen.fill(rectangle(-size, 0.05, size, 0.05 + size), Color::WHITE);
        for bar in 0..9u8 {
            let x = size * (-0.84 + 0.19 * f32::from(bar));
            let width = size * f32::from(bar * 5 % 3 + 1) * 0.04;
            pen.fill(rectangle(x, 0.05 + 0.15 * size, x + width, 0.05 + 0.85 * size), Color::BLACK);
        }
    }

    /// A line that is too small to read.
    fn small_print(&self, pen: &mut Pen, x: f32, y: f32, half: f32) {
        for (from, to) in [(-1.0, -0.55), (-0.48, 0.1), (0.17, 0.4), (0.47, 1.0)] {
            pen.fill(rectangle(x + from * half, y, x + to * half, y + 0.014), ink(self.ink));
        }
    }

    fn cover(&self, pen: &mut Pen, reach: f32) {
        let accent = ink(self.accent);
        let count = |pitch: f32| {
            (-(reach / pitch).ceil() as i32..=(reach / pitch).ceil() as i32).map(move |i| i as f32 * pitch)
        };
        match self.pattern {
            Pattern::Plain => pen.fill(rectangle(-reach, 0.0, reach, PATTERN), accent),
            Pattern::Stripes => {
                for y in [0.0, 0.09, 0.18, 0.27] {
                    pen.fill(rectangle(-reach, y, reach, y + 0.055), accent);
                }
            }
            Pattern::Dots => {
                for (row, y) in [(0, 0.05), (1, 0.13), (0, 0.21), (1, 0.29), (0, 0.37)] {
                    for x in count(0.12) {
                        pen.fill(disc(x + 0.06 * row as f32, y, 0.034), accent);
                    }
                }
            }
            Pattern::Checks => {
                for (row, y) in [(0, 0.0), (1, 0.09), (0, 0.18), (1, 0.27)] {
                    for x in count(0.18) {
                        let x = (x + 0.09 * row as f32).clamp(-reach, reach);
                        pen.fill(rectangle(x, y, (x + 0.09).min(reach), y + 0.09), accent);
                    }
                }
            }
            Pattern::Waves => {
                for (y, deep) in [(0.36, 0.05), (0.24, 0.09)] {
                    let crest = (0..=32u8).map(|i| {
                        let x = reach * (f32::from(i) / 16.0 - 1.0);
                        (x, y + 0.03 * (x * 14.0 + y * 20.0).sin())
                    });
                    let trough: Vec<_> = crest.clone().map(|(x, y)| (x, (y - deep).max(0.0))).collect();
                    pen.fill(polygon(crest.chain(trough.into_iter().rev())), accent);
                }
                pen.fill(rectangle(-reach, 0.0, reach, 0.1), accent);
            }
            Pattern::Rays => {
                for ray in 0..9u8 {
                    let (sin, cos) = (std::f32::consts::PI * (f32::from(ray) + 0.5) / 9.0).sin_cos();
                    let long = reach.min(0.7);
                    pen.fill(line([(0.0, 0.0), (cos * long, sin * long * 0.8)], 0.05), accent);
                }
                pen.fill(rectangle(-reach, 0.0, reach, 0.12), accent);
            }
        }
    }
}
