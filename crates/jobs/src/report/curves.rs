//! Learning curves as SVG that takes its colours from the page.

use super::Stage;
use std::fmt::Write;

/// The picture, and the field in it between the axes.
pub(super) const SIZE: (f64, f64) = (360.0, 220.0);
pub(super) const FIELD: Field = Field { left: 46.0, right: 344.0, top: 32.0, bottom: 180.0 };
/// An axis has no more labels than these, give or take one.
const TICKS: f64 = 5.0;

pub(super) struct Field {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// What an epoch came to, of one kind.
struct Curve<'a> {
    stage: &'a str,
    what: &'static str,
    unit: &'static str,
    decimals: usize,
    /// Epochs, of which the first is 1, and their values.
    points: Vec<(usize, f64)>,
    epochs: usize,
    /// The value before the first epoch.
    before: Option<f64>,
}

/// The loss, and the accuracy on the photos held out, after each epoch; nothing if there are no two epochs to compare.
pub(super) fn curves(stage: &Stage) -> Vec<String> {
    let epochs = stage.epochs.len();
    let curve = |what, unit, decimals, before: Option<f64>, values: Vec<Option<f64>>| Curve {
        stage: &stage.name,
        what,
        unit,
        decimals,
        points: (1..).zip(values).filter_map(|(i, value)| Some((i, value.filter(|v| v.is_finite())?))).collect(),
        epochs,
        before: before.filter(|v| v.is_finite()),
    };
    let losses = stage.epochs.iter().map(|epoch| Some(epoch.loss)).collect();
    let accuracies = stage.epochs.iter().map(|epoch| epoch.accuracy.map(|a| 100.0 * a)).collect();
    let both = [
        curve("Loss", "", 3, None, losses),
        curve("Accuracy on photos held out", "%", 1, stage.before.map(|a| 100.0 * a), accuracies),
    ];
    both.iter().filter(|curve| epochs > 1 && !curve.points.is_empty()).map(Curve::svg).collect()
}

impl Curve<'_> {
    fn svg(&self) -> String {
        let axis = Axis::new(self.points.iter().map(|&(_, value)| value).chain(self.before));
        let mut svg = format!(
            r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><text class="title" x="4" y="16">{}</text>"#,
            SIZE.0,
            SIZE.1,
            minijinja::HtmlEscape(&self.in_words()),
            self.what
        );
        self.axes(&axis, &mut svg);
        if let Some(before) = self.before {
            let (y, right) = (axis.y(before), FIELD.right);
            let _ = write!(
                svg,
                r#"<line class="ideal" x1="{}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><line class="ideal" x1="{}" x2="{}" y1="12" y2="12"/><text x="{right}" y="16" text-anchor="end">before: {}</text>"#,
                FIELD.left,
                right - 118.0,
                right - 90.0,
                self.text(before)
            );
        }
        self.line(&axis, &mut svg);
        svg + "</svg>"
    }

    /// Grid and labels.
    fn axes(&self, axis: &Axis, svg: &mut String) {
        let Field { left, right, bottom, .. } = FIELD;
        axis.grid(self.unit, svg);
        let step = (nice(self.epochs as f64 / (2.0 * TICKS)).ceil() as usize).max(1);
        for epoch in (1..=self.epochs).filter(|&epoch| epoch == 1 || epoch % step == 0) {
            let x = self.x(epoch);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{}"/><text x="{x:.1}" y="{}" text-anchor="middle">{epoch}</text>"#,
                bottom + 4.0,
                bottom + 17.0
            );
        }
        let (x, y) = ((left + right) / 2.0, bottom + 33.0);
        let _ = write!(svg, r#"<text x="{x}" y="{y}" text-anchor="middle">epoch</text>"#);
    }

    fn line(&self, axis: &Axis, svg: &mut String) {
        let places = self.points.iter().map(|&(epoch, value)| format!("{:.1},{:.1}", self.x(epoch), axis.y(value)));
        let _ = write!(svg, r#"<polyline class="curve" points="{}"/>"#, places.collect::<Vec<_>>().join(" "));
        let radius = if self.epochs > 30 { 2.0 } else { 3.5 };
        for &(epoch, value) in &self.points {
            let (x, y, value) = (self.x(epoch), axis.y(value), self.text(value));
            let _ = write!(
                svg,
                r#"<circle class="dot" cx="{x:.1}" cy="{y:.1}" r="{radius}"><title>Epoch {epoch}: {value}</title></circle>"#
            );
        }
    }

    fn x(&self, epoch: usize) -> f64 {
        FIELD.left + (FIELD.right - FIELD.left) * (epoch - 1) as f64 / (self.epochs - 1) as f64
    }

    fn text(&self, value: f64) -> String {
        format!("{value:.*}{}", self.decimals, self.unit)
    }

    /// The chart for who cannot see it.
    fn in_words(&self) -> String {
        let value = |point: Option<&(usize, f64)>| point.map_or(String::new(), |&(_, value)| self.text(value));
        let (first, last) = (value(self.points.first()), value(self.points.last()));
        format!("{}: {} in {} epochs, from {first} to {last}", self.stage, self.what, self.epochs)
    }
}

/// The vertical axis: from a multiple of its step to another.
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    pub(super) fn new(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let span = if high > low { high - low } else { high.abs() / 2.0 };
        let step = nice(span / TICKS);
        let (mut low, mut high) = ((low / step).floor() * step, (high / step).ceil() * step);
        match high - low < step / 2.0 {
            true if low > 0.0 => low -= step,
            true => high += step,
            false => {}
        }
        Self { low, high, step }
    }

    /// Its lines and labels.
    pub(super) fn grid(&self, unit: &str, svg: &mut String) {
        let Field { left, right, .. } = FIELD;
        for tick in self.ticks() {
            let (y, label) = (self.y(tick), self.label(tick));
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text x="{}" y="{:.1}" text-anchor="end">{label}{unit}</text>"#,
                left - 6.0,
                y + 4.0
            );
        }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (low, step) = (self.low, self.step);
        (0..=((self.high - low) / step).round() as usize).map(move |i| low + i as f64 * step)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        FIELD.bottom - (FIELD.bottom - FIELD.top) * (value - self.low) / (self.high - self.low)
    }

    fn label(&self, tick: f64) -> String {
        let decimals = (-self.step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize;
        if tick.abs() >= 1e5 { format!("{tick:.0e}") } else { format!("{tick:.decimals$}") }
    }
}

/// The next of 1, 2, 5, 10, 20, … and their fractions.
pub(super) fn nice(least: f64) -> f64 {
    if !(least.is_normal() && least > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|n| n * power).find(|&n| n >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetune::Epoch;

    fn stage(epochs: impl Iterator<Item = (f64, Option<f64>)>, before: Option<f64>) -> Stage {
        let epochs = epochs.map(|(loss, accuracy)| Epoch { loss, accuracy, nll: None }).collect();
        Stage { name: "A & <b>".into(), accuracy: 0.8, before, kept: true, seconds: 1.0, epochs }
    }

    /// All values of an attribute.
    fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
        let start = format!(" {attribute}=\"");
        svg.split(&start).skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
    }

    fn check(svg: &str, dots: usize) {
        let (xs, ys) = (numbers(svg, "cx"), numbers(svg, "cy"));
        assert_eq!((xs.len(), ys.len()), (dots, dots), "{svg}");
        assert!(xs.iter().all(|x| (FIELD.left..=FIELD.right).contains(x)), "{svg}");
        assert!(ys.iter().all(|y| (FIELD.top - 0.1..=FIELD.bottom + 0.1).contains(y)), "{svg}");
        for (attribute, most) in [("x", SIZE.0), ("x1", SIZE.0), ("x2", SIZE.0), ("y", SIZE.1), ("y1", SIZE.1)] {
            assert!(numbers(svg, attribute).iter().all(|v| (0.0..=most).contains(v)), "{attribute}: {svg}");
        }
        assert!(svg.matches("class=\"grid\"").count() < 25 && !svg.contains("NaN"), "{svg}");
        assert!(svg.contains("aria-label=\"A &amp; &lt;b&gt;: "), "{svg}");
    }

    #[test]
    fn every_point_is_inside_whatever_the_values_and_however_many() {
        let curves_of = [
            |t: f64| 3.0 * (-t).exp(),
            |t: f64| 1e-9 * t,
            |t: f64| 1e12 * t,
            |_| 0.0,
            |_| 1.0,
            |t: f64| 1.0 - 1e-4 * t,
            |t: f64| (40.0 * t).sin().abs(),
        ];
        for count in [2usize, 3, 7, 20, 100, 1000] {
            for value in curves_of {
                let epochs = (0..count).map(|i| value(i as f64 / count as f64)).map(|v| (v, Some(v.min(1.0))));
                for svg in curves(&stage(epochs, Some(0.5))) {
                    check(&svg, count);
                }
            }
        }
    }

    #[test]
    fn a_value_that_is_absent_or_no_number_is_left_out() {
        let some = [(2.0, None), (f64::NAN, Some(0.5)), (1.0, Some(f64::INFINITY)), (0.9, Some(0.6))];
        let charts = curves(&stage(some.into_iter(), Some(f64::NAN)));
        check(&charts[0], 3);
        check(&charts[1], 2);
        assert!(charts[1].contains("<title>Epoch 4: 60.0%</title>") && !charts[1].contains("before"));
        let none = curves(&stage([(2.0, None), (1.0, None)].into_iter(), None));
        assert_eq!(none.len(), 1, "only the loss is known");
    }

    #[test]
    fn one_epoch_is_no_curve() {
        assert!(curves(&stage([(1.0, Some(0.5))].into_iter(), None)).is_empty());
        assert!(curves(&stage([].into_iter(), None)).is_empty());
    }

    #[test]
    fn labels_are_round_numbers() {
        let labels = |values: &[f64]| {
            let axis = Axis::new(values.iter().copied());
            axis.ticks().map(|tick| axis.label(tick)).collect::<Vec<_>>()
        };
        assert_eq!(labels(&[71.3, 84.0]), ["70", "75", "80", "85"]);
        assert_eq!(labels(&[0.31, 0.34]), ["0.31", "0.32", "0.33", "0.34"]);
        assert_eq!(labels(&[100.0, 100.0]), ["90", "100"]);
        assert_eq!(labels(&[0.0, 0.0]), ["0", "1"]);
    }
}
