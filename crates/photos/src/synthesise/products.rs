//! The shelf: twelve made-up products as data. Three pairs share a package and differ in print, as varieties of a brand do, so that a
//! classifier has to look at more than the shape.

use super::Product;
use super::motif::Motif;
use super::print::{Pattern, Print};
use super::shape::{Body, Ring};

const STEEL: u32 = 0xC4C8CC;

const fn round(height: f32, radius: f32, colour: u32) -> Ring {
    Ring { height, across: radius, deep: radius, colour }
}

const fn oval(height: f32, across: f32, deep: f32, colour: u32) -> Ring {
    Ring { height, across, deep, colour }
}

/// A bottle: straight to the shoulder, from there in a smooth curve to the neck, and a cap.
const fn bottle(drink: u32, cap: u32) -> [Ring; 20] {
    let mut rings = [const { round(1.0, 0.056, 0) }; 20];
    rings[0] = round(0.0, 0.135, drink);
    rings[1] = round(0.02, 0.148, drink);
    let mut i = 2;
    while i < 16 {
        let t = (i - 2) as f32 / 13.0;
        rings[i] = round(0.54 + 0.31 * t, 0.15 - 0.098 * t * t * (3.0 - 2.0 * t), drink);
        i += 1;
    }
    rings[16] = round(0.9, 0.052, cap);
    rings[17] = round(0.905, 0.064, cap);
    rings[18] = round(0.985, 0.064, cap);
    rings[19].colour = cap;
    rings
}

static LEMONADE: [Ring; 20] = bottle(0xD8E08A, 0xE8B400);
static CHERRYADE: [Ring; 20] = bottle(0xB03040, 0x8E1028);

static JAR: [Ring; 8] = [
    round(0.0, 0.2, 0xD98A12),
    round(0.03, 0.225, 0xD98A12),
    round(0.44, 0.225, 0xE09A20),
    round(0.5, 0.2, 0xE8C67A),
    round(0.53, 0.19, 0xF2D24A),
    round(0.535, 0.215, 0xF2D24A),
    round(0.645, 0.215, 0xF2D24A),
    round(0.66, 0.205, 0xF2D24A),
];

static TIN: [Ring; 6] = [
    round(0.0, 0.235, STEEL),
    round(0.025, 0.235, STEEL),
    round(0.03, 0.225, STEEL),
    round(0.63, 0.225, STEEL),
    round(0.635, 0.235, STEEL),
    round(0.66, 0.235, 0xB4B8BC),
];

static POUCH: [Ring; 6] = [
    oval(0.0, 0.27, 0.13, 0x2B211D),
    oval(0.06, 0.285, 0.15, 0x2B211D),
    oval(0.4, 0.28, 0.12, 0x2B211D),
    oval(0.75, 0.275, 0.05, 0x2B211D),
    oval(0.84, 0.275, 0.012, 0x2B211D),
    oval(0.94, 0.275, 0.01, 0x2B211D),
];

static TUBE: [Ring; 8] = [
    round(0.0, 0.09, 0x1F9E8F),
    round(0.13, 0.085, 0x1F9E8F),
    round(0.135, 0.1, 0xF4F7F7),
    oval(0.18, 0.15, 0.13, 0xF4F7F7),
    oval(0.5, 0.165, 0.095, 0xF4F7F7),
    oval(0.8, 0.178, 0.035, 0xF4F7F7),
    oval(0.88, 0.182, 0.01, 0xF4F7F7),
    oval(0.94, 0.182, 0.01, 0xF4F7F7),
];

static CUP: [Ring; 5] = [
    round(0.0, 0.17, 0xFBF7F5),
    round(0.02, 0.175, 0xFBF7F5),
    round(0.46, 0.235, 0xFBF7F5),
    round(0.465, 0.255, 0xFBF7F5),
    round(0.485, 0.255, 0xD9DDE2),
];

pub(super) static PRODUCTS: [Product; 12] = [
    Product {
        name: "sunleaf-green",
        body: Body::Carton { width: 0.8, height: 0.52, depth: 0.3, gable: 0.0 },
        print: Print {
            paper: 0xF3F0DC,
            ink: 0x1F5B34,
            accent: 0x5FA34A,
            pattern: Pattern::Plain,
            motif: Motif::Leaf,
            colours: (0x3C8B3F, 0x9CCB5A),
        },
    },
    Product {
        name: "sunleaf-rooibos",
        body: Body::Carton { width: 0.8, height: 0.52, depth: 0.3, gable: 0.0 },
        print: Print {
            paper: 0xF3EADC,
            ink: 0x6B2A1C,
            accent: 0xC8643A,
            pattern: Pattern::Plain,
            motif: Motif::Leaf,
            colours: (0xB0482A, 0xE0A060),
        },
    },
    Product {
        name: "auroat-flakes",
        body: Body::Carton { width: 0.64, height: 0.95, depth: 0.2, gable: 0.0 },
        print: Print {
            paper: 0xF7C12E,
            ink: 0xB2231F,
            accent: 0xE8782A,
            pattern: Pattern::Checks,
            motif: Motif::Sun,
            colours: (0xFFF1B0, 0xE2452A),
        },
    },
    Product {
        name: "moolu-milk",
        body: Body::Carton { width: 0.38, height: 0.72, depth: 0.38, gable: 0.17 },
        print: Print {
            paper: 0xF7F9FC,
            ink: 0x1B4E9B,
            accent: 0x4B8FD8,
            pattern: Pattern::Waves,
            motif: Motif::Drop,
            colours: (0x4B8FD8, 0xFFFFFF),
        },
    },
    Product {
        name: "moolu-oat",
        body: Body::Carton { width: 0.38, height: 0.72, depth: 0.38, gable: 0.17 },
        print: Print {
            paper: 0xF9F6EC,
            ink: 0x1F5F74,
            accent: 0x58A89C,
            pattern: Pattern::Waves,
            motif: Motif::Drop,
            colours: (0xD9B36A, 0xFFFFFF),
        },
    },
    Product {
        name: "fizlo-lemon",
        body: Body::Rings { rings: &LEMONADE, label: (0.14, 0.52), grooves: &[0.07, 0.93], gloss: 0.8 },
        print: Print {
            paper: 0xFFF6C8,
            ink: 0x14683C,
            accent: 0xF4CF1E,
            pattern: Pattern::Stripes,
            motif: Motif::Slice,
            colours: (0xF0C010, 0xFFFBE0),
        },
    },
    Product {
        name: "fizlo-cherry",
        body: Body::Rings { rings: &CHERRYADE, label: (0.14, 0.52), grooves: &[0.07, 0.93], gloss: 0.8 },
        print: Print {
            paper: 0xFFEDEA,
            ink: 0x14683C,
            accent: 0xE2566A,
            pattern: Pattern::Stripes,
            motif: Motif::Cherries,
            colours: (0xC2183A, 0x2F8B3A),
        },
    },
    Product {
        name: "bumblo-honey",
        body: Body::Rings { rings: &JAR, label: (0.07, 0.41), grooves: &[0.56, 0.62], gloss: 0.7 },
        print: Print {
            paper: 0xFFFAEC,
            ink: 0x4A2A10,
            accent: 0xF0B429,
            pattern: Pattern::Plain,
            motif: Motif::Comb,
            colours: (0xF0A818, 0xC87A10),
        },
    },
    Product {
        name: "pomaro-tomato",
        body: Body::Rings { rings: &TIN, label: (0.06, 0.6), grooves: &[0.035, 0.615], gloss: 0.5 },
        print: Print {
            paper: 0xC8281E,
            ink: 0xFFF3D6,
            accent: 0x8E1712,
            pattern: Pattern::Rays,
            motif: Motif::Tomato,
            colours: (0xF25A3C, 0x3F8F3A),
        },
    },
    Product {
        name: "kavom-coffee",
        body: Body::Rings { rings: &POUCH, label: (0.1, 0.76), grooves: &[0.85, 0.875, 0.9], gloss: 0.35 },
        print: Print {
            paper: 0x3A2C26,
            ink: 0xE9D3A4,
            accent: 0xA5642E,
            pattern: Pattern::Checks,
            motif: Motif::Beans,
            colours: (0xB87840, 0x2B1A12),
        },
    },
    Product {
        name: "glintu-mint",
        body: Body::Rings { rings: &TUBE, label: (0.22, 0.84), grooves: &[0.89, 0.91, 0.04, 0.08], gloss: 0.4 },
        print: Print {
            paper: 0xF4F7F7,
            ink: 0x12706A,
            accent: 0x6CCFBE,
            pattern: Pattern::Stripes,
            motif: Motif::Star,
            colours: (0xFFFFFF, 0x1F9E8F),
        },
    },
    Product {
        name: "yolu-berry",
        body: Body::Rings { rings: &CUP, label: (0.04, 0.43), grooves: &[], gloss: 0.3 },
        print: Print {
            paper: 0xFBF7F5,
            ink: 0x6A2A86,
            accent: 0xD9A4E0,
            pattern: Pattern::Dots,
            motif: Motif::Berries,
            colours: (0x5B3A9E, 0x4E9A48),
        },
    },
];
