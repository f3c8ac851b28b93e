use std::collections::HashSet;

use super::*;

#[test]
fn a_photo_is_its_product_size_and_seed() {
    for product in products() {
        let photo = draw(product, 48, 5);
        assert!(photo == draw(product, 48, 5), "{} differs from itself", product.name);
        assert!(photo != draw(product, 48, 6), "{} is the same for two seeds", product.name);
    }
}

#[test]
fn photos_have_the_size_asked_for() {
    for product in products() {
        for size in [0, 1, 2, 16, 33, 256] {
            for seed in [0, 1, u64::MAX] {
                assert_eq!(draw(product, size, seed).dimensions(), (size, size), "{}", product.name);
            }
        }
    }
}

/// The same scene but for the product, so that all the difference is the product's.
#[test]
fn products_look_different() {
    let scenes: Vec<_> = products().iter().map(|product| scene(product, 96, &mut Random::new(&[3])).unwrap()).collect();
    for (index, one) in scenes.iter().enumerate() {
        for (other, name) in scenes[..index].iter().zip(products()) {
            let differ = |(a, b): (&u8, &u8)| a.abs_diff(*b) > 16;
            let part = one.iter().zip(other.iter()).filter(|&pair| differ(pair)).count() as f32 / one.len() as f32;
            assert!(part > 0.01, "{} and {} differ in {part} of their values", products()[index].name, name.name);
        }
    }
}

/// A product is in the picture, not beside it: away from its colours there is little left of the difference between two.
#[test]
fn the_middle_shows_the_product() {
    for seed in 0..20 {
        let [milk, oat] = [3, 4].map(|index| scene(&products()[index], 64, &mut Random::new(&[seed])).unwrap());
        let differs = |x, y| milk.get_pixel(x, y) != oat.get_pixel(x, y);
        assert!((20..44).any(|x| (20..44).any(|y| differs(x, y))), "seed {seed}");
        assert!((0..64).all(|y| !differs(0, y) && !differs(63, y)), "seed {seed}");
    }
}

#[test]
fn names_are_folders_and_can_be_lettered() {
    let names: HashSet<_> = products().iter().map(|product| product.name).collect();
    assert_eq!(names.len(), 12);
    for name in names {
        let (brand, variety) = name.split_once('-').unwrap();
        for word in [brand, variety] {
            assert!(!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
        }
    }
}

#[test]
fn the_font_has_every_capital() {
    let mut seen = HashSet::new();
    for letter in 'A'..='Z' {
        let strokes = letters::strokes(letter);
        assert!(seen.insert(strokes), "{letter} looks like another");
        for stroke in strokes.split(' ') {
            assert!(stroke.len() >= 4 && stroke.len() % 2 == 0, "{letter}: {stroke}");
            let points = stroke.as_bytes().chunks_exact(2);
            assert!(
                points.into_iter().all(|p| (b'0'..=b'4').contains(&p[0]) && (b'0'..=b'6').contains(&p[1])),
                "{letter}"
            );
        }
        let bounds = letters::word(&letter.to_string(), (1.0, 2.0), 0.5, 0.5, 0.2).unwrap().bounds();
        assert!(bounds.left() >= 0.74 && bounds.right() <= 1.26, "{letter}: {bounds:?}");
        assert!(bounds.top() >= 1.74 && bounds.bottom() <= 2.26, "{letter}: {bounds:?}");
    }
    assert!(letters::word("", (0.0, 0.0), 1.0, 1.0, 0.2).is_none());
}
