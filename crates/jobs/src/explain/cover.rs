//! Heat maps over photos.
//!
//! The photo goes grey and a little darker, so that colour and brightness are free for the heat. Colours are those of "inferno" by
//! Nathaniel Smith and Stéfan van der Walt (2015, CC0), whose lightness rises evenly: what is hotter looks brighter, in print and to
//! who cannot tell red from green as well. What the network does not see is darker still.

use super::Heat;
use image::{Rgb, RgbImage, imageops};
use percept_photos::resize::Window;
use percept_photos::sheet::contact_sheet;

/// Ten evenly spaced steps of inferno.
const COLOURS: [[u8; 3]; 11] = [
    [0, 0, 4],
    [24, 12, 60],
    [66, 10, 104],
    [106, 23, 110],
    [147, 38, 103],
    [188, 55, 84],
    [221, 81, 58],
    [243, 118, 27],
    [252, 165, 10],
    [246, 215, 70],
    [252, 255, 164],
];
/// How bright the photo stays where the network looks at it, and where not.
const BRIGHTNESS: [f32; 2] = [0.6, 0.2];
/// The share of the colour where the heat is greatest.
const OPACITY: f32 = 0.75;
/// Longest and shortest permitted longer side of a photo beside its heat maps, in pixels.
const SIDES: (u32, u32) = (640, 320);

/// A photo and, beside it, the same photo under each heat map; `seen` is the part that the network gets, in the photo's pixels.
pub fn side_by_side(photo: &RgbImage, seen: Window, heats: &[&Heat]) -> RgbImage {
    let longer = photo.width().max(photo.height()).max(1);
    let scaled = match longer {
        0..=320 => {
            let times = SIDES.1.div_ceil(longer);
            imageops::resize(photo, photo.width() * times, photo.height() * times, imageops::FilterType::Nearest)
        }
        641.. => {
            let side = |length: u32| (u64::from(length) * u64::from(SIDES.0) / u64::from(longer)).max(1) as u32;
            imageops::thumbnail(photo, side(photo.width()), side(photo.height()))
        }
        _ => photo.clone(),
    };
    let across = f64::from(scaled.width()) / f64::from(photo.width().max(1));
    let down = f64::from(scaled.height()) / f64::from(photo.height().max(1));
    let seen = Window { x: seen.x * across, y: seen.y * down, width: seen.width * across, height: seen.height * down };
    let covered: Vec<_> = heats.iter().map(|heat| overlay(&scaled, seen, heat)).collect();
    let tiles: Vec<_> = std::iter::once(scaled).chain(covered).collect();
    contact_sheet(&tiles, tiles.len())
}

/// A photo under a heat map that lies over the part `seen` of it, from cold (nothing, or against the answer) to the map's greatest value.
pub fn overlay(photo: &RgbImage, seen: Window, heat: &Heat) -> RgbImage {
    let greatest = heat.maximum().2.max(f32::MIN_POSITIVE);
    RgbImage::from_fn(photo.width(), photo.height(), |x, y| {
        let across = (f64::from(x) + 0.5 - seen.x) / seen.width;
        let down = (f64::from(y) + 0.5 - seen.y) / seen.height;
        let [r, g, b] = photo.get_pixel(x, y).0.map(f32::from);
        // Luma of ITU-R BT.601.
        let grey = 0.299 * r + 0.587 * g + 0.114 * b;
        if !((0.0..1.0).contains(&across) && (0.0..1.0).contains(&down)) {
            return Rgb([(grey * BRIGHTNESS[1]) as u8; 3]);
        }
        let share = (heat.at(across, down) / greatest).clamp(0.0, 1.0);
        let (grey, opacity) = (grey * BRIGHTNESS[0], share * OPACITY);
        Rgb(colour(share).map(|c| (grey * (1.0 - opacity) + c * opacity).round() as u8))
    })
}

/// The colour of a heat between 0 and 1.
pub(crate) fn colour(share: f32) -> [f32; 3] {
    let place = share * (COLOURS.len() - 1) as f32;
    let first = (place as usize).min(COLOURS.len() - 2);
    let part = place - first as f32;
    std::array::from_fn(|i| f32::from(COLOURS[first][i]) * (1.0 - part) + f32::from(COLOURS[first + 1][i]) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lightness L* of CIE 1976 from sRGB (IEC 61966-2-1).
    fn lightness(colour: [f32; 3]) -> f32 {
        let linear =
            colour.map(|c| c / 255.0).map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
        let y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
        if y > 0.008856 { 116.0 * y.cbrt() - 16.0 } else { 903.3 * y }
    }

    #[test]
    fn hotter_is_lighter_by_about_the_same_everywhere() {
        let steps: Vec<f32> = (0..=100).map(|i| lightness(colour(i as f32 / 100.0))).collect();
        assert!(steps.windows(2).all(|pair| (0.2..2.2).contains(&(pair[1] - pair[0]))), "{steps:?}");
        assert!(steps[0] < 1.0 && steps[100] > 97.0, "{steps:?}");
    }

    #[test]
    fn heat_lies_where_the_network_sees_and_the_rest_is_dark() {
        let photo = RgbImage::from_pixel(400, 200, Rgb([200; 3]));
        let heat = Heat { rows: 2, columns: 2, values: vec![-1.0, 0.0, 0.0, 2.0] };
        let covered = overlay(&photo, Window { x: 100.0, y: 0.0, width: 200.0, height: 200.0 }, &heat);
        assert_eq!((covered.get_pixel(99, 100).0, covered.get_pixel(300, 100).0), ([40; 3], [40; 3]));
        assert_eq!(covered.get_pixel(110, 10).0, [120; 3], "against the answer is cold");
        let hot = covered.get_pixel(290, 190).0;
        assert!(hot[0] > 210 && hot[1] > 210 && hot[2] < 170, "{hot:?}");
    }

    #[test]
    fn panels_are_of_a_size_to_look_at_whatever_the_photo() {
        let heat = Heat { rows: 1, columns: 1, values: vec![0.0] };
        for (size, panel) in
            [((28, 28), (336, 336)), ((4000, 1000), (640, 160)), ((500, 400), (500, 400)), ((1, 5000), (1, 640))]
        {
            let seen = Window { x: 0.0, y: 0.0, width: f64::from(size.0), height: f64::from(size.1) };
            let sheet = side_by_side(&RgbImage::new(size.0, size.1), seen, &[&heat, &heat]);
            assert_eq!(sheet.dimensions(), (3 * panel.0 + 16, panel.1 + 8), "{size:?}");
        }
    }
}
