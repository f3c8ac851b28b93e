//! The pictures on the packages, each a handful of filled paths inside the unit circle.

use std::f32::consts::{PI, TAU};

use tiny_skia::{Path, PathBuilder, Transform};

use super::canvas::{Pen, disc, ink, line, polygon};

/// A picture of something.
#[derive(Clone, Copy)]
pub(super) enum Motif {
    Leaf,
    Sun,
    Star,
    Drop,
    Slice,
    Cherries,
    Tomato,
    Comb,
    Beans,
    Berries,
}

impl Motif {
    /// Draws the picture in two colours around `centre`.
    pub(super) fn draw(self, pen: &mut Pen, centre: (f32, f32), radius: f32, (main, second): (u32, u32)) {
        let at = Transform::from_scale(radius, radius).post_translate(centre.0, centre.1);
        let mut put = |path: Option<Path>, rgb: u32| pen.fill(path.and_then(|path| path.transform(at)), ink(rgb));
        match self {
            Self::Leaf => {
                for (angle, rgb) in [(38.0, second), (-28.0, main)] {
                    put(turned(leaf(), angle), rgb);
                    put(turned(line([(0.0, -1.0), (0.0, 0.6)], 0.07), angle), if rgb == main { second } else { main });
                }
            }
            Self::Sun => {
                put(star(16, 1.0, 0.62), second);
                put(disc(0.0, 0.0, 0.56), main);
            }
            Self::Star => {
                put(disc(0.0, 0.0, 1.0), second);
                put(star(5, 0.85, 0.36), main);
            }
            Self::Drop => {
                put(drop(1.0), main);
                put(drop(0.55), second);
            }
            Self::Slice => {
                put(disc(0.0, 0.0, 1.0), main);
                put(disc(0.0, 0.0, 0.86), second);
                for angle in [0u8, 1, 2, 3, 4, 5, 6, 7] {
                    let (sin, cos) = (TAU * f32::from(angle) / 8.0).sin_cos();
                    let (side, front) = ((TAU / 16.0 - 0.08).tan() * 0.72, 0.72);
                    let turn = |x: f32, y: f32| (x * cos - y * sin, x * sin + y * cos);
                    put(polygon([turn(0.14, 0.0), turn(front, side), turn(front, -side)]), main);
                }
            }
            Self::Cherries => {
                put(line([(-0.5, -0.3), (0.1, 0.9), (0.5, -0.1)], 0.1), second);
                put(
                    leaf().and_then(|path| {
                        path.transform(Transform::from_scale(0.5, 0.5).post_rotate(70.0).post_translate(-0.3, 0.8))
                    }),
                    second,
                );
                put(disc(-0.5, -0.45, 0.45), main);
                put(disc(0.48, -0.25, 0.45), main);
                put(disc(-0.62, -0.3, 0.1), 0xFFFFFF);
                put(disc(0.36, -0.1, 0.1), 0xFFFFFF);
            }
            Self::Tomato => {
                put(disc(-0.28, -0.1, 0.72), main);
                put(disc(0.28, -0.1, 0.72), main);
                put(star(5, 0.6, 0.2).and_then(|path| path.transform(Transform::from_translate(0.0, 0.5))), second);
                put(disc(-0.5, 0.1, 0.13), 0xFFFFFF);
            }
            Self::Comb => {
                for cell in 0..7u8 {
                    let (sin, cos) = (TAU * f32::from(cell) / 6.0).sin_cos();
                    let (x, y) = if cell == 6 { (0.0, 0.0) } else { (0.66 * cos, 0.66 * sin) };
                    let corner = |i: u8| (TAU * (f32::from(i) / 6.0 + 1.0 / 12.0)).sin_cos();
                    let hexagon = polygon((0..6).map(corner).map(|(s, c)| (x + 0.34 * c, y + 0.34 * s)));
                    put(hexagon, if cell % 3 == 0 { second } else { main });
                }
            }
            Self::Beans => {
                for (angle, x, y) in [(25.0, -0.42, 0.25), (-20.0, 0.45, 0.3), (80.0, 0.0, -0.55)] {
                    let place = Transform::from_scale(0.4, 0.58).post_rotate(angle).post_translate(x, y);
                    put(disc(0.0, 0.0, 1.0).and_then(|path| path.transform(place)), main);
                    let crease = line([(0.05, -0.95), (0.2, -0.4), (-0.2, 0.4), (-0.05, 0.95)], 0.16);
                    put(crease.and_then(|path| path.transform(place)), second);
                }
            }
            Self::Berries => {
                for (x, y) in [(-0.5, 0.3), (0.0, 0.42), (0.5, 0.3), (-0.27, -0.12), (0.27, -0.12), (0.0, -0.55)] {
                    put(disc(x, y, 0.34), main);
                    put(disc(x - 0.1, y + 0.1, 0.09), 0xFFFFFF);
                }
                put(star(6, 0.55, 0.15).and_then(|path| path.transform(Transform::from_translate(0.0, 0.72))), second);
            }
        }
    }
}

fn turned(path: Option<Path>, degrees: f32) -> Option<Path> {
    path?.transform(Transform::from_rotate(degrees))
}

fn leaf() -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(0.0, 1.0);
    path.cubic_to(0.75, 0.5, 0.6, -0.4, 0.0, -0.8);
    path.cubic_to(-0.6, -0.4, -0.75, 0.5, 0.0, 1.0);
    path.close();
    path.finish()
}

fn drop(size: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(0.0, 1.0);
    path.cubic_to(0.15, 0.5, 0.7, 0.1, 0.65, -0.4);
    path.cubic_to(0.6, -1.15, -0.6, -1.15, -0.65, -0.4);
    path.cubic_to(-0.7, 0.1, -0.15, 0.5, 0.0, 1.0);
    path.close();
    path.finish()?.transform(Transform::from_translate(0.0, 0.35).post_scale(size, size).post_translate(0.0, -0.35))
}

/// A star with this many points between two radii, one of them upwards.
fn star(points: u8, outer: f32, inner: f32) -> Option<Path> {
    polygon((0..2 * points).map(|i| {
        let (sin, cos) = (PI * f32::from(i) / f32::from(points)).sin_cos();
        let radius = if i % 2 == 0 { outer } else { inner };
        (radius * sin, radius * cos)
    }))
}
