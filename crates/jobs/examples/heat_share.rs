//! How much of the heat of a model's answers lies on the marks that decide them.
//!
//! `cargo run -p percept-jobs --example heat_share -- MODEL.onnx PHOTOS MARKS.csv QUESTION`
//!
//! `MARKS.csv` (image,part,left,top,right,bottom as shares of a square photo's sides) is what `targets_table` of percept-photos writes. Only photos of
//! the test part are looked at, of which the model says yes. Prints the mean share of the heat within the mark, within the mark grown by a cell of a 14 × 14 map on
//! each side, what evenly spread heat would have there, and how often the hottest cell touches the mark.

use percept_jobs::Settings;
use percept_jobs::explain::Heat;
use percept_jobs::targets::{Model, occlusion};
use percept_photos::decode;
use std::path::Path;

/// Fourteenths of the picture that are covered at a time.
const WIDTHS: [u32; 3] = [1, 2, 4];
/// Photos that are looked at.
const PHOTOS: usize = 60;

/// Where a mark lies on what the network gets: left, top, right, bottom.
struct Mark {
    image: String,
    test: bool,
    at: [f64; 4],
}

fn marks(path: &Path, model: &Model) -> Result<Vec<Mark>, Box<dyn std::error::Error>> {
    let (resize, crop) = (f64::from(model.preprocess.shorter_side()), f64::from(model.preprocess.crop()));
    let text = std::fs::read_to_string(path)?;
    let mark = |line: &str| -> Result<Mark, Box<dyn std::error::Error>> {
        let cells: Vec<&str> = line.split(',').collect();
        let [image, part, left, top, right, bottom] = cells[..] else {
            return Err(format!("not a mark: {line}").into());
        };
        let mut at = [0.0; 4];
        for (at, cell) in at.iter_mut().zip([left, top, right, bottom]) {
            *at = (cell.parse::<f64>()? * resize - (resize - crop) / 2.0) / crop;
        }
        Ok(Mark { image: image.into(), test: part == "test", at })
    };
    text.lines().skip(1).map(mark).collect()
}

/// The share of what speaks for the answer that lies within a box; nothing if there is none.
fn share(heat: &Heat, [left, top, right, bottom]: [f64; 4]) -> f64 {
    let overlap = |i: usize, cells: usize, low: f64, high: f64| {
        let (from, to) = (i as f64 / cells as f64, (i + 1) as f64 / cells as f64);
        ((to.min(high) - from.max(low)) * cells as f64).max(0.0)
    };
    let all: f64 = heat.values.iter().map(|&x| f64::from(x.max(0.0))).sum();
    let inside = |(i, &x): (usize, &f32)| {
        let (row, column) = (i / heat.columns, i % heat.columns);
        f64::from(x.max(0.0)) * overlap(column, heat.columns, left, right) * overlap(row, heat.rows, top, bottom)
    };
    if all > 0.0 { heat.values.iter().enumerate().map(inside).sum::<f64>() / all } else { 0.0 }
}

fn hottest(heat: &Heat) -> [f64; 4] {
    let (row, column, _) = heat.maximum();
    let (across, down) = (1.0 / heat.columns as f64, 1.0 / heat.rows as f64);
    let (left, top) = (column as f64 * across, row as f64 * down);
    [left, top, left + across, top + down]
}

/// What one way to make maps comes to.
#[derive(Default)]
struct Shares {
    photos: usize,
    inside: f64,
    near: f64,
    touching: usize,
    chance: [f64; 2],
}

impl Shares {
    fn add(&mut self, heat: &Heat, at: [f64; 4]) {
        let grown = 1.0 / 14.0;
        let around = [at[0] - grown, at[1] - grown, at[2] + grown, at[3] + grown].map(|x| x.clamp(0.0, 1.0));
        let even = Heat { values: vec![1.0; heat.values.len()], ..*heat };
        let cell = hottest(heat);
        self.photos += 1;
        self.inside += share(heat, at);
        self.near += share(heat, around);
        self.chance[0] += share(&even, at);
        self.chance[1] += share(&even, around);
        self.touching += usize::from(cell[0] < at[2] && at[0] < cell[2] && cell[1] < at[3] && at[1] < cell[3]);
    }

    fn print(&self, name: &str) {
        let mean = |sum: f64| 100.0 * sum / self.photos.max(1) as f64;
        println!(
            "{name}: {} photos, {:.1} % of the heat inside the mark (evenly spread: {:.2} %), {:.1} % inside the mark and a cell around \
             it ({:.2} %), hottest cell on the mark in {:.0} %",
            self.photos,
            mean(self.inside),
            mean(self.chance[0]),
            mean(self.near),
            mean(self.chance[1]),
            mean(self.touching as f64)
        );
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, photos, table, question] = &arguments[..] else {
        return Err("usage: heat_share MODEL.onnx PHOTOS MARKS.csv QUESTION".into());
    };
    let settings = Settings::detect()?;
    let mut model = Model::open(Path::new(model), &settings)?.ok_or("the model does not answer several questions")?;
    let at = model.targets.iter().position(|target| target.name == *question).ok_or("no such question")?;
    let begin: usize = model.targets[..at].iter().map(|target| target.width()).sum();
    let mut coverings = WIDTHS.map(|_| Shares::default());
    let mut grad_cam = Shares::default();
    let mut cam = model.grad_cam(at, &settings)?.ok_or("the network has no feature map")?;
    for mark in marks(Path::new(table), &model)?.iter().filter(|mark| mark.test) {
        let picture = model.prepare(&decode::open(&Path::new(photos).join(&mark.image))?);
        let said = model.answers(std::slice::from_ref(&picture))?[begin];
        if said < 0.5 || grad_cam.photos == PHOTOS {
            continue;
        }
        for (covering, width) in coverings.iter_mut().zip(WIDTHS) {
            covering.add(&occlusion(&mut model, &picture, width)?[at], mark.at);
        }
        grad_cam.add(&model.heat(&mut cam, &picture, &[said])?, mark.at);
    }
    for (covering, width) in coverings.iter().zip(WIDTHS) {
        covering.print(&format!("covering {width}/14 of the picture"));
    }
    grad_cam.print("Grad-CAM");
    Ok(())
}
