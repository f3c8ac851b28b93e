//! What views may look like, as a user sets it.

use serde::{Deserialize, Serialize};

use crate::Error;

/// What views may look like. Zero switches a strength or probability off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Width and height of a view in pixels, 1 to 4096.
    pub size: u32,
    /// Whether half of the views are mirrored left to right; not for text and logos.
    pub flip: bool,
    /// Smallest and largest part of the picture's area that a view shows, in (0, 1].
    pub area: (f32, f32),
    /// Largest stretching of width against height, either way, as a factor from 1 to 4.
    pub aspect: f32,
    /// Largest way either way to the side and up or down, as a part of the picture's sides, 0 to 0.5, rounded to whole pixels.
    pub shift: f32,
    /// Largest rotation either way, in degrees, 0 to 180.
    pub rotation: f32,
    /// Largest shift of a corner in each direction as a part of the view's side, 0 to 0.2.
    pub perspective: f32,
    /// Largest change of brightness either way, as a part, 0 to 0.9.
    pub brightness: f32,
    /// Largest change of contrast either way, as a part, 0 to 0.9.
    pub contrast: f32,
    /// Largest change of saturation either way, as a part, 0 to 1.
    pub saturation: f32,
    /// Largest change of red and blue against green either way, as a part, 0 to 0.9.
    pub white_balance: f32,
    /// Lens out of focus; the range is the disc's radius in pixels, 0 to 15.
    pub defocus: Effect,
    /// Camera moved; the range is the way in pixels, 0 to 30.
    pub motion: Effect,
    /// Sensor noise; the range is the standard deviation in levels of 255, 0 to 127.
    pub noise: Effect,
    /// JPEG artefacts; the range is libjpeg's quality, 1 to 100.
    pub jpeg: Effect,
    /// Something in front; the range is its part of the view's area, 0 to 1.
    pub occlusion: Effect,
}

/// A change that only some views get.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// Part of the views that get it, 0 to 1.
    pub probability: f32,
    /// Its smallest and largest strength.
    pub range: (f32, f32),
}

impl Default for Augment {
    fn default() -> Self {
        let effect = |probability, low, high| Effect { probability, range: (low, high) };
        Self {
            size: 224,
            flip: true,
            area: (0.35, 1.0),
            aspect: 1.15,
            shift: 0.0,
            rotation: 12.0,
            perspective: 0.06,
            brightness: 0.25,
            contrast: 0.2,
            saturation: 0.2,
            white_balance: 0.08,
            defocus: effect(0.1, 0.7, 2.0),
            motion: effect(0.1, 2.0, 6.0),
            noise: effect(0.15, 3.0, 12.0),
            jpeg: effect(0.15, 30.0, 80.0),
            occlusion: effect(0.15, 0.02, 0.12),
        }
    }
}

impl Augment {
    /// Checks that every setting is within its range.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first that is not, and its range.
    ///
    /// ```
    /// use percept_photos::augment::Augment;
    /// assert!(Augment::default().check().is_ok());
    /// let bent = Augment { perspective: 0.5, ..Augment::default() };
    /// assert_eq!(bent.check().unwrap_err().to_string(), "augment.perspective is 0.5: it must be between 0 and 0.2");
    /// ```
    pub fn check(&self) -> Result<(), Error> {
        let between = |name, value: f32, low: f32, high: f32, expected| {
            let inside = (low..=high).contains(&value);
            let value = value.to_string();
            inside.then_some(()).ok_or(Error::Setting { name, value, expected })
        };
        let range = |name, (from, to): (f32, f32), low: f32, high: f32, expected| {
            let ordered = low <= from && from <= to && to <= high;
            let value = format!("[{from}, {to}]");
            ordered.then_some(()).ok_or(Error::Setting { name, value, expected })
        };
        let effect = |[probability, strength]: [&'static str; 2], effect: Effect, low, high, expected| {
            between(probability, effect.probability, 0.0, 1.0, "between 0 and 1")?;
            range(strength, effect.range, low, high, expected)
        };
        between("augment.size", self.size as f32, 1.0, 4096.0, "between 1 and 4096")?;
        range("augment.area", self.area, 1e-4, 1.0, "two numbers from 0.0001 to 1, the smaller first")?;
        between("augment.aspect", self.aspect, 1.0, 4.0, "between 1 and 4")?;
        between("augment.shift", self.shift, 0.0, 0.5, "between 0 and 0.5")?;
        between("augment.rotation", self.rotation, 0.0, 180.0, "between 0 and 180")?;
        between("augment.perspective", self.perspective, 0.0, 0.2, "between 0 and 0.2")?;
        between("augment.brightness", self.brightness, 0.0, 0.9, "between 0 and 0.9")?;
        between("augment.contrast", self.contrast, 0.0, 0.9, "between 0 and 0.9")?;
        between("augment.saturation", self.saturation, 0.0, 1.0, "between 0 and 1")?;
        between("augment.white_balance", self.white_balance, 0.0, 0.9, "between 0 and 0.9")?;
        let names = ["augment.defocus.probability", "augment.defocus.range"];
        effect(names, self.defocus, 0.0, 15.0, "two numbers from 0 to 15, the smaller first")?;
        let names = ["augment.motion.probability", "augment.motion.range"];
        effect(names, self.motion, 0.0, 30.0, "two numbers from 0 to 30, the smaller first")?;
        let names = ["augment.noise.probability", "augment.noise.range"];
        effect(names, self.noise, 0.0, 127.0, "two numbers from 0 to 127, the smaller first")?;
        let names = ["augment.jpeg.probability", "augment.jpeg.range"];
        effect(names, self.jpeg, 1.0, 100.0, "two numbers from 1 to 100, the smaller first")?;
        let names = ["augment.occlusion.probability", "augment.occlusion.range"];
        effect(names, self.occlusion, 0.0, 1.0, "two numbers from 0 to 1, the smaller first")
    }
}
