//! One view: how it is drawn by lot, and what it means for places and colours.

use serde::Serialize;

use super::random::Random;
use super::settings::{Augment, Effect};

/// One view as it was drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// Part of the picture's area that it shows (less where this does not fit into the picture).
    pub area: f32,
    /// Width of what it shows by height.
    pub aspect: f32,
    /// Where it lies between left and right, top and bottom, 0 to 1.
    pub position: (f32, f32),
    /// How far it is moved right and down from there, as parts of the picture's sides; rounded to whole pixels, so that a view that shows
    /// a picture of its own size is as sharp as the picture.
    pub shift: (f32, f32),
    /// Rotation in degrees.
    pub rotation: f32,
    /// Shifts of the corners top left, top right, bottom right, bottom left, as parts of the sides.
    pub corners: [(f32, f32); 4],
    /// Whether it is mirrored left to right.
    pub flip: bool,
    /// Factor on all channels.
    pub brightness: f32,
    /// Factor on the distance from mid-grey.
    pub contrast: f32,
    /// Factor on the distance from grey of the same luminance.
    pub saturation: f32,
    /// Factors on red and on blue.
    pub white_balance: (f32, f32),
    /// Radius of the disc of a lens out of focus, in pixels.
    pub defocus: Option<f32>,
    /// Length in pixels and angle in degrees of the camera's motion.
    pub motion: Option<(f32, f32)>,
    /// Standard deviation of the noise, in levels of 255.
    pub noise: Option<f32>,
    /// JPEG quality.
    pub jpeg: Option<u8>,
    /// What stands in front.
    pub occlusion: Option<Occlusion>,
    /// Key of the noise.
    pub key: u64,
}

/// A rectangle in front of the product; lengths are parts of the view's side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Occlusion {
    /// Its middle, from the left and from the top.
    pub centre: (f32, f32),
    /// Its width.
    pub width: f32,
    /// Its height.
    pub height: f32,
    /// Its colour, RGB.
    pub colour: [u8; 3],
}

impl Augment {
    /// Draws view number `view` of the picture that `picture` identifies (a hash of its content or path).
    ///
    /// ```
    /// use percept_photos::augment::Augment;
    /// let augment = Augment { rotation: 5.0, ..Augment::default() };
    /// let view = augment.draw(1, 0xCAFE, 3);
    /// assert!(view.rotation.abs() <= 5.0);
    /// assert_eq!(view, augment.draw(1, 0xCAFE, 3));
    /// assert_ne!(view, augment.draw(1, 0xCAFE, 4));
    /// ```
    pub fn draw(&self, seed: u64, picture: u64, view: u32) -> View {
        // Everything is drawn whether it is used or not, so that changing one setting leaves the rest of the view as it was.
        let mut random = Random::new(&[seed, picture, u64::from(view)]);
        let r = &mut random;
        View {
            area: r.between(self.area.0, self.area.1),
            aspect: r.around_zero(self.aspect.ln()).exp(),
            position: (r.unit(), r.unit()),
            rotation: r.around_zero(self.rotation),
            corners: [(); 4].map(|()| (r.around_zero(self.perspective), r.around_zero(self.perspective))),
            flip: (r.unit() < 0.5) && self.flip,
            brightness: 1.0 + r.around_zero(self.brightness),
            contrast: 1.0 + r.around_zero(self.contrast),
            saturation: 1.0 + r.around_zero(self.saturation),
            white_balance: (1.0 + r.around_zero(self.white_balance), 1.0 + r.around_zero(self.white_balance)),
            defocus: self.defocus.draw(r),
            motion: Option::zip(self.motion.draw(r), Some(r.between(0.0, 180.0))),
            noise: self.noise.draw(r),
            jpeg: self.jpeg.draw(r).map(|quality| quality.round() as u8),
            occlusion: Occlusion::draw(self.occlusion, r),
            key: r.next(),
            shift: (r.around_zero(self.shift), r.around_zero(self.shift)),
        }
    }
}

impl Effect {
    fn draw(self, random: &mut Random) -> Option<f32> {
        let (chance, strength) = (random.unit(), random.between(self.range.0, self.range.1));
        (chance < self.probability).then_some(strength)
    }
}

impl Occlusion {
    fn draw(effect: Effect, random: &mut Random) -> Option<Self> {
        let area = effect.draw(random);
        let side = random.around_zero(0.7).exp();
        let centre = (random.unit(), random.unit());
        // Between dark and light grey in each channel: packaging and hands, not neon.
        let colour = random.next().to_le_bytes().map(|channel| 48 + channel / 8 * 5);
        area.map(|area| Self {
            centre,
            width: area.sqrt() * side,
            height: area.sqrt() / side,
            colour: [colour[0], colour[1], colour[2]],
        })
    }
}

impl View {
    /// Returns the corners of what the view shows, in pixels of a picture of this width and height: those that become its top left, top
    /// right, bottom right and bottom left.
    pub(super) fn quad(&self, (width, height): (f64, f64)) -> [[f64; 2]; 4] {
        let (area, aspect) = (f64::from(self.area) * width * height, f64::from(self.aspect));
        let (across, down) = ((area * aspect).sqrt(), (area / aspect).sqrt());
        // What does not fit is reduced, not cut, so that nothing is stretched beyond `aspect`.
        let fit = (width / across).min(height / down).min(1.0);
        let (across, down) = (across * fit, down * fit);
        let (sin, cos) = f64::from(self.rotation).to_radians().sin_cos();
        let x =
            0.5 * across + f64::from(self.position.0) * (width - across) + (f64::from(self.shift.0) * width).round();
        let y = 0.5 * down + f64::from(self.position.1) * (height - down) + (f64::from(self.shift.1) * height).round();
        let mut quad = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)];
        for (corner, shift) in quad.iter_mut().zip(self.corners) {
            *corner = (corner.0 + f64::from(shift.0), corner.1 + f64::from(shift.1));
        }
        if self.flip {
            quad = [quad[1], quad[0], quad[3], quad[2]];
        }
        quad.map(|(u, v)| {
            let (u, v) = (u * across, v * down);
            [x + u * cos - v * sin, y + u * sin + v * cos]
        })
    }

    /// Returns the matrix and the offset that white balance, saturation, brightness and contrast, in this order, make of an RGB value.
    pub(super) fn colour_map(&self) -> ([[f32; 3]; 3], [f32; 3]) {
        const LUMINANCE: [f32; 3] = [0.299, 0.587, 0.114];
        const MID_GREY: f32 = 127.5;
        let gains = [self.white_balance.0, 1.0, self.white_balance.1];
        let mut matrix = [[0.0; 3]; 3];
        for (i, row) in matrix.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                let own = if i == j { self.saturation } else { 0.0 };
                let mixed = own + (1.0 - self.saturation) * LUMINANCE[j];
                *cell = mixed * gains[j] * self.brightness * self.contrast;
            }
        }
        (matrix, [MID_GREY * (1.0 - self.contrast); 3])
    }
}
