use image::{Rgb, RgbImage, imageops};
use proptest::prelude::*;

use super::*;

/// Settings under which a view is the picture's largest square, as it is.
fn still(size: u32) -> Augment {
    let never = Effect { probability: 0.0, range: (1.0, 1.0) };
    Augment {
        size,
        flip: false,
        area: (1.0, 1.0),
        aspect: 1.0,
        shift: 0.0,
        rotation: 0.0,
        perspective: 0.0,
        brightness: 0.0,
        contrast: 0.0,
        saturation: 0.0,
        white_balance: 0.0,
        defocus: never,
        motion: never,
        noise: never,
        jpeg: never,
        occlusion: Effect { probability: 0.0, range: (0.1, 0.1) },
    }
}

fn always(low: f32, high: f32) -> Effect {
    Effect { probability: 1.0, range: (low, high) }
}

/// Every effect in every view.
fn everything(size: u32) -> Augment {
    Augment {
        size,
        defocus: always(0.0, 15.0),
        motion: always(0.0, 30.0),
        noise: always(0.0, 127.0),
        jpeg: always(1.0, 100.0),
        occlusion: always(0.0, 1.0),
        ..Augment::default()
    }
}

/// A smooth, coloured picture without symmetry.
fn smooth(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let wave = 0.5 + 0.5 * (5.0 * u + 3.0 * v * v).sin();
        Rgb([(40.0 + 170.0 * u) as u8, (200.0 - 150.0 * v) as u8, (30.0 + 190.0 * wave) as u8])
    })
}

/// Largest and mean distance of two pictures' values.
fn distance(a: &RgbImage, b: &RgbImage) -> (u8, f64) {
    assert_eq!(a.dimensions(), b.dimensions());
    let each = || a.as_raw().iter().zip(b.as_raw()).map(|(&a, &b)| a.abs_diff(b));
    let sum: u64 = each().map(u64::from).sum();
    (each().max().unwrap_or(0), sum as f64 / a.as_raw().len() as f64)
}

fn mean(picture: &RgbImage) -> f64 {
    let sum: u64 = picture.as_raw().iter().map(|&value| u64::from(value)).sum();
    sum as f64 / picture.as_raw().len() as f64
}

#[test]
fn without_strengths_a_view_is_the_picture() {
    let picture = smooth(48, 48);
    assert_eq!(still(48).apply(&picture, &still(48).draw(1, 2, 3)), picture);
}

#[test]
fn a_moved_view_of_a_picture_of_its_size_has_the_pictures_own_pixels() {
    let picture = smooth(32, 32);
    let augment = Augment { shift: 0.125, ..still(32) };
    let mirrored = |i: i32| (31 - (31 - i.abs()).abs()) as u32;
    let mut ways = std::collections::BTreeSet::new();
    for number in 0..200 {
        let view = augment.draw(1, 2, number);
        let [right, down] = [view.shift.0, view.shift.1].map(|shift| (shift * 32.0).round() as i32);
        let moved =
            RgbImage::from_fn(32, 32, |x, y| *picture.get_pixel(mirrored(x as i32 + right), mirrored(y as i32 + down)));
        assert_eq!(augment.apply(&picture, &view), moved, "{right} to the right, {down} down");
        ways.extend([right, down]);
    }
    assert!(ways.into_iter().eq(-4..=4));
}

/// The independent source is the `image` crate's resize.
#[test]
fn without_strengths_a_view_is_a_plain_resize() {
    // The larger the reduction, the more a reduced picture's edge depends on how it is treated.
    for (from, to, limit) in [(64, 48, 4), (64, 90, 4), (256, 224, 4), (200, 64, 4), (500, 50, 8)] {
        let picture = smooth(from, from);
        let expected = imageops::resize(&picture, to, to, imageops::FilterType::Triangle);
        let (largest, mean) = distance(&still(to).apply(&picture, &still(to).draw(1, 2, 3)), &expected);
        assert!(largest <= limit && mean < 0.2 * f64::from(limit), "{from} to {to}: {largest}, {mean}");
    }
}

#[test]
fn fine_patterns_turn_grey_when_reduced() {
    let picture = RgbImage::from_fn(256, 256, |x, y| Rgb([if (x + y) % 2 == 0 { 0 } else { 255 }; 3]));
    let augment = still(32);
    let view = augment.apply(&picture, &augment.draw(1, 2, 3));
    assert!(view.as_raw().iter().all(|value| value.abs_diff(128) <= 2));
}

#[test]
fn rotation_goes_about_the_middle() {
    let picture = smooth(64, 64);
    let augment = still(64);
    let turned = View { rotation: 90.0, ..augment.draw(1, 2, 3) };
    let (largest, _) = distance(&augment.apply(&picture, &turned), &imageops::rotate270(&picture));
    assert!(largest <= 1, "{largest}");
}

#[test]
fn a_flipped_view_is_the_mirror_image() {
    let picture = smooth(64, 40);
    let augment = Augment { rotation: 12.0, area: (0.3, 0.6), perspective: 0.1, ..still(50) };
    let straight = View { flip: false, ..augment.draw(1, 2, 3) };
    let flipped = View { flip: true, ..straight.clone() };
    let expected = imageops::flip_horizontal(&augment.apply(&picture, &straight));
    assert!(distance(&augment.apply(&picture, &flipped), &expected).0 <= 1);
}

#[test]
fn flips_only_where_asked_to_and_half_of_the_time() {
    let flips = |augment: &Augment| (0..1000).filter(|&view| augment.draw(1, 2, view).flip).count();
    assert_eq!(flips(&Augment { flip: false, ..Augment::default() }), 0);
    assert!((440..560).contains(&flips(&Augment::default())));
    let picture = smooth(32, 32);
    for view in 0..50 {
        assert_eq!(still(32).apply(&picture, &still(32).draw(9, 9, view)), picture);
    }
}

#[test]
fn probabilities_are_kept() {
    let augment = Augment::default();
    let views: Vec<View> = (0..4000).map(|view| augment.draw(3, 5, view)).collect();
    let part = |has: fn(&View) -> bool| views.iter().filter(|view| has(view)).count() as f32 / 4000.0;
    for (part, effect) in [
        (part(|view| view.defocus.is_some()), augment.defocus),
        (part(|view| view.motion.is_some()), augment.motion),
        (part(|view| view.noise.is_some()), augment.noise),
        (part(|view| view.jpeg.is_some()), augment.jpeg),
        (part(|view| view.occlusion.is_some()), augment.occlusion),
    ] {
        assert!((part - effect.probability).abs() < 0.03, "{part} of {effect:?}");
    }
}

#[test]
fn one_setting_leaves_the_rest_of_a_view_as_it_was() {
    let (with, without) = (Augment::default(), Augment { rotation: 0.0, ..Augment::default() });
    let (a, b) = (with.draw(1, 2, 3), without.draw(1, 2, 3));
    assert_ne!(a.rotation, b.rotation);
    assert_eq!(View { rotation: 0.0, ..a }, b);
}

/// White balance, saturation, brightness and contrast, one after the other in f64.
#[test]
fn colours_follow_their_definition() {
    let augment = still(1);
    let view =
        View { brightness: 1.2, contrast: 0.8, saturation: 0.7, white_balance: (1.1, 0.9), ..augment.draw(1, 2, 3) };
    for pixel in [[0, 0, 0], [255, 255, 255], [200, 40, 90], [10, 250, 128], [1, 2, 3]] {
        let balanced = [1.1 * f64::from(pixel[0]), f64::from(pixel[1]), 0.9 * f64::from(pixel[2])];
        let grey = 0.299 * balanced[0] + 0.587 * balanced[1] + 0.114 * balanced[2];
        let expected = balanced.map(|value| {
            let value = 1.2 * (grey + 0.7 * (value - grey));
            (127.5 + 0.8 * (value - 127.5)).clamp(0.0, 255.0)
        });
        let got = augment.apply(&RgbImage::from_pixel(1, 1, Rgb(pixel)), &view);
        for (got, expected) in got.as_raw().iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 0.7, "{pixel:?}: {got} for {expected}");
        }
    }
}

#[test]
fn edges_are_mirrored_not_black() {
    let picture = RgbImage::from_pixel(64, 64, Rgb([200, 210, 220]));
    let augment = Augment { rotation: 180.0, perspective: 0.2, ..still(64) };
    for view in 0..20 {
        let view = augment.apply(&picture, &augment.draw(1, 2, view));
        assert!(view.pixels().all(|&pixel| pixel == Rgb([200, 210, 220])));
    }
}

#[test]
fn the_first_setting_out_of_range_is_named() {
    let default = Augment::default;
    for (augment, name) in [
        (Augment { size: 0, ..default() }, "augment.size"),
        (Augment { area: (0.5, 1.5), ..default() }, "augment.area"),
        (Augment { area: (0.5, 0.4), ..default() }, "augment.area"),
        (Augment { area: (0.0, 0.4), ..default() }, "augment.area"),
        (Augment { aspect: 0.5, ..default() }, "augment.aspect"),
        (Augment { rotation: f32::NAN, ..default() }, "augment.rotation"),
        (Augment { brightness: -0.1, ..default() }, "augment.brightness"),
        (Augment { noise: always(0.0, f32::INFINITY), ..default() }, "augment.noise.range"),
        (Augment { jpeg: always(0.0, 50.0), ..default() }, "augment.jpeg.range"),
        (Augment { motion: Effect { probability: 2.0, range: (1.0, 2.0) }, ..default() }, "augment.motion.probability"),
    ] {
        let message = augment.check().unwrap_err().to_string();
        assert!(message.starts_with(&format!("{name} is ")), "{message}");
    }
    everything(1).check().unwrap();
    still(4096).check().unwrap();
}

#[test]
fn settings_survive_being_written_and_missing_ones_are_the_default() {
    let augment = Augment { flip: false, rotation: 3.5, ..Augment::default() };
    let text = serde_json::to_string(&augment).unwrap();
    assert_eq!(serde_json::from_str::<Augment>(&text).unwrap(), augment);
    assert_eq!(serde_json::from_str::<Augment>("{}").unwrap(), Augment::default());
    assert!(serde_json::from_str::<Augment>(r#"{"rotate": 1}"#).is_err());
}

/// Nobody draws such views, but their fields are public.
#[test]
fn senseless_views_are_drawn_all_the_same() {
    let augment = everything(16);
    let picture = smooth(20, 30);
    for bad in [f32::NAN, f32::INFINITY, -1e30, 1e30, 0.0] {
        let view = View {
            area: bad,
            aspect: bad,
            position: (bad, bad),
            shift: (bad, bad),
            rotation: bad,
            corners: [(bad, -bad); 4],
            brightness: bad,
            contrast: bad,
            white_balance: (bad, bad),
            defocus: Some(bad),
            motion: Some((bad, bad)),
            noise: Some(bad),
            jpeg: Some(0),
            occlusion: Some(Occlusion { centre: (bad, bad), width: bad, height: bad, colour: [0; 3] }),
            ..augment.draw(1, 2, 3)
        };
        assert_eq!(augment.apply(&picture, &view).dimensions(), (16, 16));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_shape_gives_a_view_of_the_right_size(
        (width, height) in prop_oneof![(0u32..40, 0u32..40), Just((1, 3000)), Just((3000, 1)), Just((2, 900))],
        size in 1u32..40,
        view: u32,
    ) {
        let augment = everything(size);
        let picture = smooth(width, height);
        prop_assert_eq!(augment.apply(&picture, &augment.draw(1, 2, view)).dimensions(), (size, size));
    }

    #[test]
    fn equal_keys_give_equal_bytes_and_others_do_not(seed: u64, picture: u64, view in 0..u32::MAX) {
        let augment = Augment { size: 32, ..Augment::default() };
        let source = Source::new(&smooth(40, 30), 32);
        let mut scratch = Scratch::default();
        let mut make = |seed, picture, view| {
            let mut out = vec![0; 32 * 32 * 3];
            augment.apply_into(&source, &augment.draw(seed, picture, view), &mut scratch, &mut out);
            out
        };
        let first = make(seed, picture, view);
        let others = [
            make(seed, picture, view + 1),
            make(seed, !picture, view),
            make(!seed, picture, view),
        ];
        for other in others {
            prop_assert_ne!(&first, &other);
        }
        prop_assert_eq!(first, make(seed, picture, view), "buffers that were used before");
    }

    #[test]
    fn brightness_stays_plausible(seed: u64) {
        let augment = Augment { size: 64, ..Augment::default() };
        let picture = smooth(80, 64);
        let change = mean(&augment.apply(&picture, &augment.draw(seed, 0, 0))) / mean(&picture);
        prop_assert!((0.5..1.6).contains(&change), "{}", change);
    }
}

#[test]
fn the_instruction_set_does_not_show() {
    let augment = everything(100);
    let source = Source::new(&smooth(120, 110), 100);
    let (mut best, mut plain) = (vec![0; 30_000], vec![0; 30_000]);
    for number in 0..10 {
        let view = augment.draw(1, 2, number);
        augment.apply_into(&source, &view, &mut Scratch::default(), &mut best);
        let scratch = &mut Scratch::default();
        Render { view: &view, source: &source, size: 100, scratch, out: &mut plain }.call();
        assert_eq!(best, plain, "view {number}");
    }
}
