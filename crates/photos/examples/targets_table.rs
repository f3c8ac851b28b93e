//! Draws photos whose answers are known: a class, a yes/no that turns on a small mark, and a number.
//!
//! `cargo run -p percept-photos --example targets_table -- FOLDER [PHOTOS [SEED]]`
//!
//! `FOLDER/photos` has photos of the demo's products. `table.csv` asks which product it is, whether it bears the mark (a red disc with a white
//! rim, 14 of 256 pixels wide, among discs of other colours) and how many dark specks lie on it. Two photos of a group have the same
//! answers; a quarter of the groups is the test part; some answers are missing. `truth.csv` has all answers, `marks.csv` where each mark
//! is: left, top, right and bottom as shares of the photo's sides.

use image::{Rgb, RgbImage};
use percept_photos::sheet::save_jpeg;
use percept_photos::synthesise::{draw, products};
use std::fmt::Write;
use std::path::Path;

/// Side of a photo, and radius of a disc, in pixels.
const SIZE: u32 = 256;
const RADIUS: f32 = 7.0;
/// The mark's colour, then those of the discs that are none.
const COLOURS: [[u8; 3]; 4] = [[215, 25, 40], [30, 90, 215], [25, 150, 70], [235, 180, 20]];
/// Most specks of a photo.
const SPECKS: u64 = 60;
/// Shares of answers that are missing: product, mark, specks.
const MISSING: [f32; 3] = [0.05, 0.15, 0.2];

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// A place that the middle of the photo, which a network gets, has in full.
    fn place(&mut self) -> (f32, f32) {
        let side = SIZE as f32;
        (self.between(0.13 * side, 0.87 * side), self.between(0.13 * side, 0.87 * side))
    }
}

/// Paints a disc with soft edges; within the rim it has the first colour, outside the second.
fn disc(photo: &mut RgbImage, (x, y): (f32, f32), radius: f32, rim: f32, [inner, outer]: [[u8; 3]; 2]) {
    let reach = |at: f32| ((at - radius - 1.0).max(0.0) as u32)..((at + radius + 2.0) as u32).min(SIZE);
    for v in reach(y) {
        for u in reach(x) {
            let from_edge = radius - (u as f32 + 0.5 - x).hypot(v as f32 + 0.5 - y);
            let (cover, core) = ((from_edge + 0.5).clamp(0.0, 1.0), (from_edge - rim + 0.5).clamp(0.0, 1.0));
            let pixel = photo.get_pixel_mut(u, v);
            *pixel = Rgb(std::array::from_fn(|c| {
                let paint = f32::from(outer[c]) + core * (f32::from(inner[c]) - f32::from(outer[c]));
                (f32::from(pixel.0[c]) + cover * (paint - f32::from(pixel.0[c]))).round() as u8
            }));
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, rest @ ..] = &arguments[..] else { return Err("usage: targets_table FOLDER [PHOTOS [SEED]]".into()) };
    let number = |i: usize, default: u64| rest.get(i).map_or(Ok(default), |text| text.parse());
    let (count, seed) = (number(0, 800)?, number(1, 0)?);
    let folder = Path::new(folder);
    if folder.exists() {
        return Err(format!("{} exists already", folder.display()).into());
    }
    let mut random = Random(seed);
    let header = "image,group,part,product,marked,specks\n";
    let (mut table, mut truth) = (String::from(header), String::from(header));
    let mut marks = String::from("image,part,left,top,right,bottom\n");
    for group in 0..count.div_ceil(2) {
        let product = &products()[(random.next() % products().len() as u64) as usize];
        let (marked, specks) = (random.next().is_multiple_of(2), random.next() % (SPECKS + 1));
        let part = if group % 4 == 3 { "test" } else { "" };
        for i in (2 * group..2 * group + 2).filter(|&i| i < count) {
            let name = format!("{i:04}.jpg");
            let mut photo = draw(product, SIZE, seed.wrapping_mul(1 << 20) + i);
            for _ in 0..specks {
                let (place, radius) = (random.place(), random.between(1.3, 2.0));
                disc(&mut photo, place, radius, 0.0, [[35, 25, 20]; 2]);
            }
            for _ in 0..1 + random.next() % 2 {
                let colour = COLOURS[1 + (random.next() % 3) as usize];
                disc(&mut photo, random.place(), RADIUS, 2.0, [colour, [250; 3]]);
            }
            if marked {
                let (x, y) = random.place();
                disc(&mut photo, (x, y), RADIUS, 2.0, [COLOURS[0], [250; 3]]);
                let share = |at: f32| at / SIZE as f32;
                let [left, top, right, bottom] = [x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS].map(share);
                writeln!(marks, "{name},{part},{left:.5},{top:.5},{right:.5},{bottom:.5}")?;
            }
            save_jpeg(&photo, &folder.join("photos").join(&name))?;
            let answers = [product.name.to_owned(), if marked { "yes" } else { "no" }.to_owned(), specks.to_string()];
            let kept: Vec<&str> = answers
                .iter()
                .zip(MISSING)
                .map(|(answer, missing)| if random.between(0.0, 1.0) < missing { "" } else { answer })
                .collect();
            writeln!(table, "{name},g{group},{part},{}", kept.join(","))?;
            writeln!(truth, "{name},g{group},{part},{}", answers.join(","))?;
        }
    }
    for (name, text) in [("table.csv", table), ("truth.csv", truth), ("marks.csv", marks)] {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
