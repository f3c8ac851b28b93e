//! Twenty from one: views of a photo as it might have been taken from elsewhere, in other light, with another camera.
//!
//! A view is a pure function of (seed, picture, view number): its numbers come from a generator keyed with these three and nothing else,
//! so it does not matter in which order or on which thread views are made. What is drawn ([`Augment::draw`]) is apart from how it is
//! drawn ([`Augment::apply_into`]), so that a view can be looked at, stored or repeated. Geometry, light and resampling, which every view
//! needs, are one pass over the pixels ([`Source`] says how); what only some views get (something in front of the product, blur, noise,
//! JPEG artefacts) follows as passes over the small result.
//!
//! The loops are compiled for several instruction sets, of which `pulp` takes the best at run time without `unsafe` on our side; the
//! bits are the same on each. Measured with the program of `bench/augment`, on one thread: 296 µs a view with plain x86-64, 198 µs with
//! AVX2, 178 µs with AVX-512.
//!
//! The default strengths keep a product recognisable: a view that shows nothing of it teaches a wrong thing.

mod effects;
mod jpeg;
pub(crate) mod random;
mod settings;
mod view;
mod warp;

use image::RgbImage;
use pulp::{Arch, NullaryFnOnce};

use effects::Blur;
pub use settings::{Augment, Effect};
pub use view::{Occlusion, View};
pub use warp::Source;

/// Buffers that [`Augment::apply_into`] reuses; one for each thread.
#[derive(Default)]
pub struct Scratch {
    rows: warp::Rows,
    padded: Vec<u8>,
    sums: Vec<u16>,
}

impl Augment {
    /// Makes a view of `picture`, `size` × `size` pixels. For many views of a picture [`Augment::apply_into`] is faster.
    ///
    /// ```
    /// use percept_photos::augment::Augment;
    /// let augment = Augment { size: 32, ..Augment::default() };
    /// let picture = image::RgbImage::from_pixel(64, 48, image::Rgb([200, 30, 30]));
    /// let view = augment.apply(&picture, &augment.draw(0, 0, 0));
    /// assert_eq!(view.dimensions(), (32, 32));
    /// ```
    pub fn apply(&self, picture: &RgbImage, view: &View) -> RgbImage {
        let mut out = RgbImage::new(self.size, self.size);
        self.apply_into(&Source::new(picture, self.size), view, &mut Scratch::default(), &mut out);
        out
    }

    /// Makes a view of `source` into `out`: rows of RGB pixels, `size` × `size` × 3 bytes.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn apply_into(&self, source: &Source, view: &View, scratch: &mut Scratch, out: &mut [u8]) {
        let size = self.size as usize;
        assert_eq!(out.len(), size * size * 3, "a view of {size} × {size} RGB pixels");
        if size == 0 {
            return;
        }
        Arch::new().dispatch(Render { view, source, size, scratch, out });
    }
}

/// All the work of a view. What it calls is `inline(always)`, so that it is compiled for the instruction set it is dispatched to.
struct Render<'a> {
    view: &'a View,
    source: &'a Source,
    size: usize,
    scratch: &'a mut Scratch,
    out: &'a mut [u8],
}

impl NullaryFnOnce for Render<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { view, source, size, scratch, out } = self;
        warp::warp(source, view, size, &mut scratch.rows, out);
        if let Some(occlusion) = &view.occlusion {
            effects::occlude(out, size, occlusion);
        }
        let defocus = view.defocus.map(Blur::defocus);
        let motion = view.motion.map(|(length, angle)| Blur::motion(length, angle));
        for blur in [defocus, motion].iter().flatten() {
            blur.apply(out, size, &mut scratch.padded, &mut scratch.sums);
        }
        if let Some(sigma) = view.noise {
            effects::noise(out, sigma, view.key);
        }
        if let Some(quality) = view.jpeg {
            jpeg::artefacts(out, size, quality);
        }
    }
}

/// Rounds to the nearest byte; what is out of range, or NaN, becomes 0 or 255. Comparing like this, and adding 2^23 so that the
/// integer lies in the mantissa, takes four vector instructions where `round` and `as` take a call or a dozen.
#[inline(always)]
fn to_byte(value: f32) -> u8 {
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    (value + 8_388_608.0).to_bits() as u8
}

#[cfg(test)]
mod tests;
