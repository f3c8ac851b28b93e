//! Photos of products that do not exist, so that Percept can be tried without a photo.
//!
//! A demonstration needs pictures, and to ship or fetch real ones needs megabytes, a network or somebody's permission. So the packages
//! are drawn: solids with print on them (`shape`, `print`), standing on something (`ground`), seen through a pinhole camera (`canvas`)
//! and painted by tiny-skia. What a camera does then (framing, colour, blur, noise) is what [`augment`](crate::augment) does to any
//! photo, so the scene goes through that. The task is meant to be like a real one: poses, grounds and light vary, and some products
//! differ only in their print.

mod canvas;
mod ground;
mod letters;
mod motif;
mod print;
mod products;
mod shape;

use image::RgbImage;
use tiny_skia::{GradientStop, Pixmap, Point, RadialGradient, Shader, SpreadMode, Transform};

use crate::augment::random::Random;
use crate::augment::{Augment, Effect};
use canvas::{Canvas, Eye, rectangle, veil};
use shape::{Light, Stand};

/// A made-up product.
pub struct Product {
    /// What it is called, brand and variety: small letters and a hyphen, fit to name a folder.
    pub name: &'static str,
    body: shape::Body,
    print: print::Print,
}

/// Returns the products there are: twelve.
pub fn products() -> &'static [Product] {
    &products::PRODUCTS
}

/// How much larger the scene is drawn than it is shown: the camera takes about this part of it, so a pixel stays about a pixel.
const MARGIN: f32 = 1.3;

/// Draws a photo of the product, `size` × `size` pixels, `size` being 1 to 4096. Pose, ground, light and camera follow from the product
/// and `seed` alone: equal arguments give equal pictures.
///
/// ```
/// use percept_photos::synthesise::{draw, products};
/// let [tea, .., yoghurt] = products() else { unreachable!() };
/// let photo = draw(tea, 64, 1);
/// assert_eq!(photo.dimensions(), (64, 64));
/// assert_eq!(photo, draw(tea, 64, 1));
/// assert_ne!(photo, draw(tea, 64, 2));
/// assert_ne!(photo, draw(yoghurt, 64, 1));
/// ```
pub fn draw(product: &Product, size: u32, seed: u64) -> RgbImage {
    let key = product.name.bytes().fold(0, |key, byte| Random::new(&[key, u64::from(byte)]).next());
    let side = (size as f32 * MARGIN).ceil() as u32;
    let scene = scene(product, side, &mut Random::new(&[seed, key])).unwrap_or_default();
    let camera = camera(size);
    camera.apply(&scene, &camera.draw(seed, key, 0))
}

/// The lens, the sensor and the hand that holds them.
fn camera(size: u32) -> Augment {
    const NONE: Effect = Effect { probability: 0.0, range: (0.0, 0.0) };
    let blur = size as f32 / 256.0;
    Augment {
        size,
        flip: false,
        area: (0.58, 0.92),
        aspect: 1.04,
        shift: 0.0,
        rotation: 7.0,
        perspective: 0.035,
        brightness: 0.2,
        contrast: 0.15,
        saturation: 0.15,
        white_balance: 0.09,
        defocus: Effect { probability: 0.35, range: (0.5 * blur, 1.6 * blur) },
        motion: NONE,
        noise: Effect { probability: 1.0, range: (1.0, 6.0) },
        jpeg: NONE,
        occlusion: NONE,
    }
}

/// Draws all that is in front of the camera. There is no picture without pixels.
fn scene(product: &Product, side: u32, random: &mut Random) -> Option<RgbImage> {
    let height = product.body.height();
    let pitch = random.between(0.1, 0.42);
    let eye = Eye {
        distance: random.between(3.6, 4.9) * height.max(0.6).powf(0.6),
        target: 0.5 * height + random.around_zero(0.05),
        pitch: pitch.sin_cos(),
    };
    let mut canvas = Canvas { pixmap: Pixmap::new(side, side)?, eye };
    let (across, up) = (random.between(0.3, 1.0), random.between(0.5, 0.95));
    let across = if random.unit() < 0.5 { across } else { -across };
    let (sin, cos) = up.sin_cos();
    let light = Light([across.sin() * cos, sin, across.cos() * cos]);
    let stand = Stand {
        body: &product.body,
        print: &product.print,
        name: product.name,
        turn: random.around_zero(0.6).sin_cos(),
        light,
    };
    ground::draw(&mut canvas, random, light);
    cast_shadow(&mut canvas, &stand, light, random.between(0.15, 0.5));
    stand.draw(&mut canvas);
    fall_off(&mut canvas, random);
    let pixels = canvas.pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    RgbImage::from_raw(side, side, pixels)
}

/// Darkens the ground where the product stands and away from the light: the same outline many times, ever larger and further away.
fn cast_shadow(canvas: &mut Canvas, stand: &Stand, light: Light, length: f32) {
    const STEPS: u8 = 12;
    let footprint = stand.footprint();
    for step in 0..STEPS {
        let t = f32::from(step) / f32::from(STEPS);
        let (dx, dz) = (-light.0[0] * length * t, -light.0[2] * length * t);
        let grown = 1.0 + 0.22 * t;
        let shadow = canvas.outline(footprint.iter().map(|&(x, z)| [x * grown + dx, 0.0, z * grown + dz]));
        canvas.fill(shadow, Shader::SolidColor(veil(0.91 + 0.05 * t)));
    }
}

/// Lets the light fall off from somewhere near the middle to the corners.
fn fall_off(canvas: &mut Canvas, random: &mut Random) {
    let side = canvas.side();
    let mut near_middle = || side * random.between(0.3, 0.7);
    let centre = Point::from_xy(near_middle(), near_middle());
    let stops = [(0.0, random.between(1.0, 1.08)), (0.45, 1.0), (1.0, random.between(0.5, 0.9))];
    let stops = stops.map(|(position, light)| GradientStop::new(position, veil(light))).to_vec();
    let shader = RadialGradient::new(centre, 0.0, centre, side, stops, SpreadMode::Pad, Transform::identity());
    if let Some(shader) = shader {
        canvas.fill(rectangle(0.0, 0.0, side, side), shader);
    }
}

#[cfg(test)]
mod tests;
