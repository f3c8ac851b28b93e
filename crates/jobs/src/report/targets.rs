//! The report and the model card of a model that answers several questions.

use super::{Picture, render};
use crate::Result;
use crate::event::Timing;
use minijinja::context;
use minijinja::value::Serde;
use percept_photos::scan::Skipped;
use serde::Serialize;
use std::fmt::Write;

/// Everything that they say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the model is for: the name of the table.
    pub title: String,
    /// The command line that made it.
    pub command: String,
    /// The `config.toml` that makes it again.
    pub config: String,
    /// The network.
    pub network: String,
    /// Licence of the weights that it began with.
    pub licence: String,
    /// Length in pixels to which a photo's shorter side is resized.
    pub resize: u32,
    /// Side in pixels of the centre square that the model gets.
    pub input: u32,
    /// Size of the model file.
    pub bytes: u64,
    /// Photos that were learned from or held out.
    pub photos: usize,
    /// Photos that were measured on.
    pub measured: usize,
    /// Whether these are a part that was set aside for testing.
    pub tested: bool,
    /// Whether the user said which photos to hold out.
    pub divided: bool,
    /// Whether all photos were learned from after it was measured.
    pub refitted: bool,
    /// How it was trained: name, loss of all questions on photos held out, what became of it, epochs, seconds.
    pub stages: Vec<(String, f64, &'static str, usize, f64)>,
    /// The questions.
    pub questions: Vec<Section>,
    /// Files that were left out.
    #[serde(skip)]
    pub skipped: Vec<Skipped>,
    /// Wall-clock time of each phase.
    pub timings: Vec<Timing>,
}

/// A question.
#[derive(Debug, Serialize)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Name and meaning of the model's output.
    pub output: (String, String),
    /// Figures: the number, and what it is.
    pub tiles: Vec<(String, String)>,
    /// What the figures mean, in a sentence or two.
    pub text: String,
    /// Charts as SVG, and what they show.
    pub charts: Vec<(String, &'static str)>,
    /// Photos with their heat maps.
    pub examples: Vec<Example>,
}

/// A photo and what an answer to it leans on.
#[derive(Debug, Serialize)]
pub struct Example {
    /// The photo as the network takes it.
    pub picture: Picture,
    /// The same with the heat over it.
    pub heat: Picture,
    /// Its path.
    pub path: String,
    /// What is true, and what was said.
    pub text: String,
}

impl Report {
    /// The report as HTML.
    ///
    /// # Errors
    /// None but mistakes in the template.
    pub fn html(&self) -> Result<String> {
        self.render("targets.html", include_str!("targets.html"))
    }

    /// The model card as Markdown.
    ///
    /// # Errors
    /// None but mistakes in the template.
    pub fn model_card(&self) -> Result<String> {
        Ok(self.render("targets_card.md", include_str!("targets_card.md"))? + "\n")
    }

    fn render(&self, name: &'static str, template: &'static str) -> Result<String> {
        let context = context! {
            skipped => Serde(super::listed(&self.skipped)),
            skipped_count => self.skipped.len(),
            seconds => self.timings.iter().map(|timing| timing.seconds).sum::<f64>(),
            ..minijinja::Value::from(Serde(self))
        };
        render(name, template, context)
    }
}

/// The frame of a square chart of 280 units, whose axes have these labels from low to high.
fn frame(name: &str, x: [&str; 3], y: [&str; 3]) -> String {
    let mut svg = format!(r#"<svg viewBox="0 0 350 325" role="img" aria-label="{name}">"#);
    for i in 0..3 {
        let (right, up) = (50 + 140 * i, 290 - 140 * i);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="50" x2="330" y1="{up}" y2="{up}"/><line class="grid" x1="{right}" x2="{right}" y1="10" y2="290"/><text x="46" y="{}" text-anchor="end">{}</text><text x="{right}" y="306" text-anchor="middle">{}</text>"#,
            up + 4,
            minijinja::HtmlEscape(y[i]),
            minijinja::HtmlEscape(x[i])
        );
    }
    svg + r#"<line class="ideal" x1="50" y1="290" x2="330" y2="10"/>"#
}

fn place([x, y]: [f64; 2]) -> (f64, f64) {
    (50.0 + 280.0 * x, 290.0 - 280.0 * y)
}

/// The ROC curve through these corners.
pub(crate) fn roc(curve: &[[f64; 2]]) -> String {
    let ticks = ["0%", "50%", "100%"];
    let points: Vec<String> =
        curve.iter().map(|&corner| place(corner)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    frame("ROC curve", ticks, ticks) + &format!(r#"<polyline class="curve" points="{}"/></svg>"#, points.join(" "))
}

/// Predicted numbers above the true ones.
pub(crate) fn scatter(predicted: &[f64], truth: &[f64]) -> String {
    let both = || predicted.iter().chain(truth).copied();
    let (low, high) = (both().fold(f64::INFINITY, f64::min), both().fold(f64::NEG_INFINITY, f64::max));
    let wide = if high > low { high - low } else { 1.0 };
    let ticks = [low, low + wide / 2.0, low + wide].map(number);
    let ticks = [&*ticks[0], &*ticks[1], &*ticks[2]];
    let mut svg = frame("Predicted and true numbers", ticks, ticks);
    for (predicted, truth) in predicted.iter().zip(truth) {
        let (x, y) = place([(truth - low) / wide, (predicted - low) / wide]);
        let (said, is) = (number(*predicted), number(*truth));
        let _ = write!(
            svg,
            r#"<circle class="dot" cx="{x:.1}" cy="{y:.1}" r="2.5" opacity="0.5"><title>{said}, truly {is}</title></circle>"#
        );
    }
    svg + "</svg>"
}

/// A number in any unit with three digits that say something.
///
/// ```
/// assert_eq!(percept_jobs::report::targets::number(54.321), "54.3");
/// ```
pub fn number(x: f64) -> String {
    match x.abs() {
        _ if !x.is_finite() => "–".into(),
        size if size >= 99.95 => format!("{x:.0}"),
        size if size >= 9.995 => format!("{x:.1}"),
        size if size >= 0.9995 || size == 0.0 => format!("{x:.2}"),
        size if size >= 1e-3 => format!("{x:.4}"),
        _ => format!("{x:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_table_are_only_text() {
        const NASTY: &str = "<script>alert(1)</script>|\"&";
        let section = Section {
            name: NASTY.into(),
            output: ("_script_".into(), NASTY.into()),
            tiles: vec![("0.9".into(), NASTY.into())],
            text: NASTY.into(),
            charts: vec![(roc(&[[0.0, 0.0], [1.0, 1.0]]), "The curve.")],
            examples: vec![Example {
                picture: Picture::default(),
                heat: Picture::default(),
                path: NASTY.into(),
                text: NASTY.into(),
            }],
        };
        let report = Report {
            title: NASTY.into(),
            command: NASTY.into(),
            config: NASTY.into(),
            network: "lenet".into(),
            licence: "none".into(),
            resize: 256,
            input: 224,
            bytes: 1,
            photos: 2,
            measured: 1,
            tested: false,
            divided: false,
            refitted: true,
            stages: vec![("Top blocks".into(), 0.5, "kept", 3, 60.0)],
            questions: vec![section],
            skipped: vec![Skipped { path: NASTY.into(), reason: NASTY.into() }],
            timings: vec![Timing { phase: "Reading photos", seconds: 1.0 }],
        };
        let html = report.html().unwrap();
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;") && html.contains("0.500"), "{html}");
        let card = report.model_card().unwrap();
        assert!(!card.contains("<script>") && card.lines().all(|line| line.matches('|').count() <= 4), "{card}");
    }

    #[test]
    fn charts_stay_in_their_frame_and_numbers_are_short() {
        let svg = scatter(&[1.0, f64::from(3u8)], &[2.0, 2.5]);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains(r#"cx="190.0" cy="290.0""#) && !svg.contains("NaN"), "{svg}");
        assert!(!scatter(&[5.0], &[5.0]).contains("NaN"));
        assert!(roc(&[[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).contains("50.0,290.0 50.0,10.0 330.0,10.0"));
        let shown = [0.0, 0.01234, 1.5, 54.321, 1234.5, f64::NAN].map(number);
        assert_eq!(shown, ["0.00", "0.0123", "1.50", "54.3", "1234", "–"].map(String::from));
    }
}
