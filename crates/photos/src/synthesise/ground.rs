//! What the product stands on and before: tables, cloth, stone, a studio's paper or a shop's shelf, drawn anew for each picture.

use std::f32::consts::PI;

use tiny_skia::{Color, Path, Shader};

use super::canvas::{Canvas, Pen, Place, dim, disc, ink, line, rectangle, veil};
use super::shape::Light;
use crate::augment::random::Random;

/// How far the ground reaches from the product.
const REACH: f32 = 6.0;

/// Paints ground and background over the whole canvas.
pub(super) fn draw(canvas: &mut Canvas, random: &mut Random, light: Light) {
    let kind = random.next() % 6;
    let turn = match kind {
        5 => 0.0,
        0 if random.unit() < 0.6 => random.around_zero(0.15),
        _ => random.between(0.0, PI),
    };
    let (sin, cos) = turn.sin_cos();
    let place = |x: f32, z: f32| -> Place { [x * cos + z * sin, 0.0, z * cos - x * sin] };
    let mut pen = canvas.pen(0.7, &place);
    match kind {
        0 => planks(&mut pen, random),
        1 => tiles(&mut pen, random),
        2 => cloth(&mut pen, random),
        3 => marble(&mut pen, random),
        4 => pen.fill(everywhere(), dim(choose(random, &PAPER), random.between(0.85, 1.0))),
        _ => pen.fill(
            everywhere(),
            dim(choose(random, &[0xE8E8E6, 0xD8D2C4, 0xBFC4C8, 0x8A6A4A]), random.between(0.85, 1.0)),
        ),
    }
    pen.fill(everywhere(), veil(light.on([0.0, 1.0, 0.0]) - 0.05));
    wall(canvas, random, kind);
    if kind == 5 {
        shelf_edge(canvas, random);
    }
}

/// Colours of a photographer's background paper.
const PAPER: [u32; 8] = [0xF0EEE8, 0xD9DEE4, 0xE8D8C8, 0xBFD0C8, 0xE9C9C0, 0x9FB4C8, 0x70757C, 0xE6D690];

/// Colours of what stands on the shelf behind.
const THINGS: [u32; 10] =
    [0xC8503C, 0xD8A040, 0x5C8A50, 0x4A78A8, 0xE6E0D0, 0x8A5A48, 0x70A8A4, 0xB07898, 0x50505A, 0xD8C060];

fn choose(random: &mut Random, colours: &[u32]) -> u32 {
    colours[random.next() as usize % colours.len()]
}

fn everywhere() -> Option<Path> {
    rectangle(-REACH, -REACH, REACH, REACH)
}

/// Returns evenly spaced places from one end of the ground to the other.
fn rows(pitch: f32) -> impl Iterator<Item = f32> + Clone {
    let count = (REACH / pitch) as i32;
    (-count..count).map(move |i| i as f32 * pitch)
}

fn planks(pen: &mut Pen, random: &mut Random) {
    let wood = choose(random, &[0xB98A5A, 0x8A5F3C, 0xD8B88C, 0x6B4A34, 0xA9A095, 0xC99C68]);
    let width = random.between(0.3, 0.6);
    pen.fill(everywhere(), dim(wood, 0.45));
    for z in rows(width).filter(|z| z.abs() < 3.2) {
        let start = random.between(-REACH, 0.0);
        for (from, to) in [(-REACH, start), (start + 0.01, start + 4.0), (start + 4.01, REACH)] {
            pen.fill(rectangle(from, z + 0.006, to, z + width - 0.006), dim(wood, random.between(0.86, 1.1)));
        }
        for _ in 0..4 {
            let (at, bow) = (z + width * random.between(0.1, 0.9), random.around_zero(0.04));
            let grain =
                line([(-REACH, at), (-1.0, at + bow), (0.6, at - bow), (REACH, at)], random.between(0.004, 0.014));
            pen.fill(grain, veil(random.between(0.78, 0.94)));
        }
    }
}

fn tiles(pen: &mut Pen, random: &mut Random) {
    let (one, other) = match random.next() % 4 {
        0 => (0xE9E6DF, 0xE9E6DF),
        1 => (0xF0EFEA, 0x53585C),
        2 => (0xC9A58A, 0xB8907A),
        _ => (0xA9C0C4, 0x94AEB6),
    };
    let pitch = random.between(0.45, 0.8);
    pen.fill(everywhere(), ink(0x9A958C));
    for (column, x) in rows(pitch).enumerate().filter(|(_, x)| x.abs() < 3.2) {
        for (row, z) in rows(pitch).enumerate().filter(|(_, z)| z.abs() < 3.2) {
            let colour = dim(if (row + column) % 2 == 0 { one } else { other }, random.between(0.95, 1.03));
            pen.fill(rectangle(x + 0.012, z + 0.012, x + pitch - 0.012, z + pitch - 0.012), colour);
        }
    }
}

fn cloth(pen: &mut Pen, random: &mut Random) {
    let ground = choose(random, &[0xF4F0E8, 0xE4E0D4, 0xF8F4EE]);
    let [_, red, green, blue] = choose(random, &[0xB8302C, 0x2F5FA8, 0x3F7F52, 0x6F6A64, 0xD08A2A]).to_be_bytes();
    let thread = Color::from_rgba8(red, green, blue, 110);
    let pitch = random.between(0.22, 0.5);
    let width = pitch * random.between(0.2, 0.55);
    let checked = random.unit() < 0.6;
    pen.fill(everywhere(), ink(ground));
    for at in rows(pitch).filter(|at| at.abs() < 3.5) {
        pen.fill(rectangle(-REACH, at, REACH, at + width), thread);
        if checked {
            pen.fill(rectangle(at, -REACH, at + width, REACH), thread);
        }
    }
    // Folds.
    for _ in 0..3 {
        let (at, lean) = (random.around_zero(2.0), random.around_zero(1.5));
        for (shift, light) in [(0.0, 0.93), (0.06, 1.12)] {
            pen.fill(line([(at + shift - lean, -REACH), (at + shift + lean, REACH)], 0.08), veil(light));
        }
    }
}

fn marble(pen: &mut Pen, random: &mut Random) {
    let stone = choose(random, &[0xEDECEA, 0xDCD8D2, 0x3E4246, 0xCFD6D2, 0x7C7F82]);
    let vein = if stone < 0x500000 { 1.25 } else { 0.8 };
    pen.fill(everywhere(), ink(stone));
    for _ in 0..14 {
        let (mut x, mut z) = (random.around_zero(3.0), -3.0);
        let drift = random.around_zero(0.3);
        let mut points = Vec::new();
        while z < 3.0 {
            points.push((x, z));
            x += drift + random.around_zero(0.25);
            z += random.between(0.1, 0.5);
        }
        let width = random.between(0.008, 0.03);
        pen.fill(line(points.iter().copied(), 4.0 * width), veil(1.0 + 0.25 * (vein - 1.0)));
        pen.fill(line(points, width), veil(vein));
    }
}

/// The background, out of focus: paper or plaster, tiles, or a shelf with other things.
fn wall(canvas: &mut Canvas, random: &mut Random, ground: u64) {
    let back = -random.between(0.7, 2.4);
    let place = move |x: f32, y: f32| -> Place { [x, y, back] };
    let outline = canvas.outline([place(-REACH, 0.0), place(REACH, 0.0), place(REACH, REACH), place(-REACH, REACH)]);
    let plaster = choose(random, &PAPER);
    let clutter = ground == 5 || random.unit() < 0.3;
    let tiled = random.unit() < 0.3;
    canvas.fill_blurred(outline, 7.0, |canvas| {
        canvas.pixmap.fill(dim(plaster, if clutter { 0.45 } else { random.between(0.75, 1.0) }));
        let mut pen = canvas.pen(1.0, &place);
        if clutter {
            things(&mut pen, random);
        } else if tiled {
            for x in rows(0.5) {
                pen.fill(rectangle(x, 0.0, x + 0.03, REACH), veil(0.8));
                pen.fill(rectangle(-REACH, x, REACH, x + 0.03), veil(0.8));
            }
        }
        // Darker towards the ground.
        for step in 1..=12u8 {
            pen.fill(rectangle(-REACH, 0.0, REACH, 0.015 * f32::from(step * step)), veil(0.975));
        }
    });
}

fn things(pen: &mut Pen, random: &mut Random) {
    for board in [0.0, 1.25, 2.5] {
        pen.fill(rectangle(-REACH, board - 0.09, REACH, board), ink(0xB0A89C));
        let mut x = -2.6 - random.unit();
        while x < 2.6 {
            let (width, height) = (random.between(0.2, 0.55), random.between(0.4, 1.0));
            let colour = dim(choose(random, &THINGS), random.between(0.6, 1.0));
            pen.fill(rectangle(x, board, x + width, board + height), colour);
            match random.next() % 3 {
                0 => pen.fill(rectangle(x, board + 0.3 * height, x + width, board + 0.6 * height), veil(1.6)),
                1 => pen.fill(disc(x + 0.5 * width, board + 0.5 * height, 0.3 * width), veil(0.6)),
                _ => {
                    pen.fill(rectangle(x + 0.3 * width, board + height, x + 0.7 * width, board + height + 0.15), colour)
                }
            }
            x += width + random.between(0.02, 0.25);
        }
    }
}

/// The front of a shelf's board, with a price on it, and the dark below.
fn shelf_edge(canvas: &mut Canvas, random: &mut Random) {
    let front = random.between(0.4, 0.7);
    let place = move |x: f32, y: f32| -> Place { [x, y, front] };
    let below = canvas.outline([place(-REACH, 0.0), place(REACH, 0.0), place(REACH, -REACH), place(-REACH, -REACH)]);
    canvas.fill(below, Shader::SolidColor(ink(0x2A2826)));
    let mut pen = canvas.pen(1.0, &place);
    let rail = choose(random, &[0xF2F2F0, 0xC8302A, 0x2F6FB0, 0xD8C8A8]);
    pen.fill(rectangle(-REACH, -0.16, REACH, 0.0), dim(rail, 0.9));
    pen.fill(rectangle(-REACH, -0.012, REACH, 0.0), veil(1.4));
    let left = random.around_zero(0.4) - 0.16;
    pen.fill(rectangle(left, -0.145, left + 0.32, -0.015), Color::WHITE);
    pen.fill(rectangle(left + 0.03, -0.06, left + 0.15, -0.035), veil(0.4));
    pen.fill(rectangle(left + 0.19, -0.12, left + 0.29, -0.04), veil(0.2));
}
