//! The one way a picture is brought to a network's size.
//!
//! Training, evaluation, prediction and the exported model's metadata all share [`Preprocess`]: a network that is fed
//! even slightly different pictures loses accuracy without any error showing. It computes what torchvision's `Resize`
//! and `CenterCrop` compute on a Pillow image, since that is how pretrained networks were evaluated: an antialiased
//! filter, the longer side truncated to whole pixels, the crop's corner rounded half to even.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The largest side that [`Preprocess`] makes, in pixels.
pub const MAX_SIDE: u32 = 8192;

/// How pixels are weighted; both widen when they reduce (antialiasing), as in Pillow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Cubic convolution with a = −0.5 (Keys, 1981).
    #[default]
    Bicubic,
    /// A triangle.
    Bilinear,
}

/// A picture's way to a network: shorter side to `shorter_side`, then a square of `crop` from the centre.
///
/// ```
/// # use percept_photos::resize::{Filter, Preprocess};
/// let lite0 = Preprocess::new(256, 224, Filter::Bicubic)?;
/// assert_eq!(lite0.apply(&image::RgbImage::new(640, 480)).dimensions(), (224, 224));
/// assert_eq!(serde_json::to_string(&lite0).unwrap(), r#"{"shorter_side":256,"crop":224,"filter":"bicubic"}"#);
/// # Ok::<(), percept_photos::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Preprocess {
    shorter_side: u32,
    crop: u32,
    filter: Filter,
}

#[derive(Deserialize)]
struct Unchecked {
    shorter_side: u32,
    crop: u32,
    filter: Filter,
}

impl TryFrom<Unchecked> for Preprocess {
    type Error = Error;

    fn try_from(Unchecked { shorter_side, crop, filter }: Unchecked) -> Result<Self, Error> {
        Self::new(shorter_side, crop, filter)
    }
}

impl Preprocess {
    /// Sides are in pixels.
    ///
    /// # Errors
    /// [`Error::Setting`] unless 1 ≤ `crop` ≤ `shorter_side` ≤ [`MAX_SIDE`].
    pub fn new(shorter_side: u32, crop: u32, filter: Filter) -> Result<Self, Error> {
        let setting = |name, value: u32, expected| Err(Error::Setting { name, value: value.to_string(), expected });
        if !(1..=MAX_SIDE).contains(&shorter_side) {
            return setting("shorter_side", shorter_side, "between 1 and 8192 pixels");
        }
        if !(1..=shorter_side).contains(&crop) {
            return setting("crop", crop, "between 1 pixel and shorter_side");
        }
        Ok(Self { shorter_side, crop, filter })
    }

    /// The shorter side after resizing, in pixels.
    pub fn shorter_side(&self) -> u32 {
        self.shorter_side
    }

    /// The width and height of the result, in pixels.
    pub fn crop(&self) -> u32 {
        self.crop
    }

    /// The resampling filter.
    pub fn filter(&self) -> Filter {
        self.filter
    }

    /// Resizes and crops, computing only the pixels that stay.
    ///
    /// # Shapes
    /// Any picture → `crop` × `crop`. A picture without pixels becomes black.
    pub fn apply(&self, picture: &RgbImage) -> RgbImage {
        let (width, height) = picture.dimensions();
        if width == 0 || height == 0 {
            return RgbImage::new(self.crop, self.crop);
        }
        let shorter = width.min(height);
        let across = self.span(width, shorter);
        let down = self.span(height, shorter);
        // Pillow rounds and clips between its two passes, across first; the other order differs by up to 10 levels.
        let (filter, support) = match self.filter {
            Filter::Bicubic => (FilterType::CatmullRom, 2.0),
            Filter::Bilinear => (FilterType::Bilinear, 1.0),
        };
        let reach = support * (down.length / f64::from(self.crop)).max(1.0);
        let first = (down.start - reach).floor().max(0.0);
        let last = (down.start + down.length + reach).ceil().min(f64::from(height));
        let rows = Span { start: first, length: last - first };
        let down = Span { start: down.start - first, ..down };
        let all = Span { start: 0.0, length: f64::from(self.crop) };
        let narrow = resample(picture, filter, across, rows, (self.crop, rows.length as u32));
        resample(&narrow, filter, all, down, (self.crop, self.crop))
    }

    /// The part of a picture of this size that [`apply`](Self::apply) keeps.
    ///
    /// ```
    /// # use percept_photos::resize::{Filter, Preprocess, Window};
    /// let lite0 = Preprocess::new(256, 224, Filter::Bicubic)?;
    /// assert_eq!(lite0.window(1024, 512), Window { x: 288.0, y: 32.0, width: 448.0, height: 448.0 });
    /// # Ok::<(), percept_photos::Error>(())
    /// ```
    pub fn window(&self, width: u32, height: u32) -> Window {
        let shorter = width.min(height).max(1);
        let [across, down] = [width, height].map(|side| self.span(side.max(1), shorter));
        Window { x: across.start, y: down.start, width: across.length, height: down.length }
    }

    /// Where the crop lies along one side of a picture, in the picture's own pixels.
    fn span(&self, side: u32, shorter: u32) -> Span {
        let resized = (u64::from(self.shorter_side) * u64::from(side) / u64::from(shorter)) as f64;
        let scale = f64::from(side) / resized;
        let length = (f64::from(self.crop) * scale).min(f64::from(side));
        let start = ((resized - f64::from(self.crop)) / 2.0).round_ties_even() * scale;
        Span { start: start.min(f64::from(side) - length), length }
    }
}

/// A part of a picture, in its own pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// How wide it is.
    pub width: f64,
    /// How high it is.
    pub height: f64,
}

/// A stretch of one side of a picture, in pixels.
#[derive(Clone, Copy)]
struct Span {
    start: f64,
    length: f64,
}

fn resample(source: &RgbImage, filter: FilterType, x: Span, y: Span, (width, height): (u32, u32)) -> RgbImage {
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).crop(x.start, y.start, x.length, y.length);
    let source = ImageRef::new(source.width(), source.height(), source.as_raw(), PixelType::U8x3)
        .expect("an RgbImage has three bytes for each of its pixels");
    let mut target = Image::new(width, height, PixelType::U8x3);
    Resizer::new().resize(&source, &mut target, &options).expect("the spans lie within the source");
    RgbImage::from_raw(width, height, target.into_vec()).expect("the target has three bytes for each of its pixels")
}
