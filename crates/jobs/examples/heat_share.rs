//! How much of the heat of a model's answers lies on the marks that decide them.
//!
//! `cargo run -p percept-jobs --example heat_share -- MODEL.onnx PHOTOS MARKS.csv QUESTION`
//!
//! `MARKS.csv` (image,left,top,right,bottom as parts of a square photo's sides) is what `targets_table` of percept-photos writes. Only photos of which
//! the model says yes are looked at. Prints the mean share of the heat within the mark, within the mark grown by a cell of a 14 × 14 map on
//! each side, what evenly spread heat would have there, and how often the hottest cell touches the mark.

use percept_jobs::Settings;
use percept_jobs::targets::{CELLS, Heat, Model, occlusion};
use percept_photos::decode;
use std::path::Path;

/// Photos that are looked at.
const PHOTOS: usize = 100;

/// Where a mark lies on what the network gets: left, top, right, bottom.
struct Mark {
    image: String,
    at: [f64; 4],
}

fn marks(path: &Path, model: &Model) -> Result<Vec<Mark>, Box<dyn std::error::Error>> {
    let (resize, crop) = (f64::from(model.preprocess.shorter_side()), f64::from(model.preprocess.crop()));
    let text = std::fs::read_to_string(path)?;
    let mark = |line: &str| -> Result<Mark, Box<dyn std::error::Error>> {
        let cells: Vec<&str> = line.split(',').collect();
        let [image, left, top, right, bottom] = cells[..] else { return Err(format!("not a mark: {line}").into()) };
        let mut at = [0.0; 4];
        for (at, cell) in at.iter_mut().zip([left, top, right, bottom]) {
            *at = (cell.parse::<f64>()? * resize - (resize - crop) / 2.0) / crop;
        }
        Ok(Mark { image: image.into(), at })
    };
    text.lines().skip(1).map(mark).collect()
}

fn hottest(heat: &Heat) -> [f64; 4] {
    let best = (0..heat.values.len()).fold(0, |best, i| if heat.values[i] > heat.values[best] { i } else { best });
    let (x, y, side) = ((best % heat.side) as f64, (best / heat.side) as f64, heat.side as f64);
    [x / side, y / side, (x + 1.0) / side, (y + 1.0) / side]
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
        let grown = 1.0 / CELLS as f64;
        let around = [at[0] - grown, at[1] - grown, at[2] + grown, at[3] + grown].map(|x| x.clamp(0.0, 1.0));
        let even = Heat { side: heat.side, values: vec![1.0; heat.values.len()] };
        let share = |heat: &Heat, at| heat.share(at).unwrap_or(0.0);
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
    let mut shares = Shares::default();
    for mark in marks(Path::new(table), &model)?.iter().rev() {
        let picture = model.prepare(&decode::open(&Path::new(photos).join(&mark.image))?);
        if model.answers(std::slice::from_ref(&picture))?[begin] < 0.5 || shares.photos == PHOTOS {
            continue;
        }
        shares.add(&occlusion(&mut model, &picture)?[at], mark.at);
    }
    shares.print("covering");
    Ok(())
}
