//! Curves of a training over its epochs, as SVG that takes its colours from the page: several in one field, with lines to compare with.

use super::curves::{Axis, FIELD, Field, SIZE, nice};
use std::fmt::Write;

/// What a field shows.
pub(super) struct Lines<'a> {
    pub(super) title: &'a str,
    /// Behind numbers, such as `%`.
    pub(super) unit: &'static str,
    pub(super) decimals: usize,
    /// What the horizontal axis counts, from 0, and where it ends.
    pub(super) axis: (&'static str, f64),
    /// Name and points of each curve.
    pub(super) curves: Vec<(&'static str, Vec<(f64, f64)>)>,
    /// Name and height of lines to compare with.
    pub(super) levels: Vec<(&'static str, f64)>,
}

impl Lines<'_> {
    /// The chart; nothing if no curve has two points.
    pub(super) fn svg(&self) -> Option<String> {
        let curves: Vec<_> = self.curves.iter().filter(|(_, points)| points.len() > 1).collect();
        let end = self.axis.1;
        if curves.is_empty() || !(end > 0.0 && end.is_finite()) {
            return None;
        }
        let Field { left, right, top, bottom } = FIELD;
        let values = curves.iter().flat_map(|(_, points)| points.iter().map(|&(_, y)| y));
        let axis = Axis::new(values.chain(self.levels.iter().map(|&(_, y)| y)));
        let x = |epoch: f64| left + (right - left) * epoch / end;
        let mut svg = format!(
            r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><text class="title" x="4" y="16">{}</text>"#,
            SIZE.0,
            SIZE.1,
            minijinja::HtmlEscape(&self.in_words()),
            minijinja::HtmlEscape(self.title)
        );
        axis.grid(self.unit, &mut svg);
        let step = nice(end / 5.0);
        for i in 0..=(end / step + 1e-9) as usize {
            let (place, tick) = (x(i as f64 * step), i as f64 * step);
            let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize;
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{place:.1}" x2="{place:.1}" y1="{bottom}" y2="{}"/><text x="{place:.1}" y="{}" text-anchor="middle">{tick:.decimals$}</text>"#,
                bottom + 4.0,
                bottom + 17.0
            );
        }
        let _ = write!(
            svg,
            r#"<text x="{}" y="{}" text-anchor="middle">{}</text>"#,
            (left + right) / 2.0,
            bottom + 33.0,
            self.axis.0
        );
        for &(name, level) in &self.levels {
            let y = axis.y(level);
            let below = if y < top + 12.0 { y + 12.0 } else { y - 4.0 };
            let _ = write!(
                svg,
                r#"<line class="ideal" x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text x="{right}" y="{below:.1}" text-anchor="end">{name}: {}</text>"#,
                self.text(level)
            );
        }
        let mut key = right;
        for (i, (name, points)) in curves.iter().enumerate() {
            let places = points.iter().map(|&(epoch, y)| format!("{:.1},{:.1}", x(epoch), axis.y(y)));
            let class = if i == 0 { "" } else { " other" };
            let _ =
                write!(svg, r#"<polyline class="curve{class}" points="{}"/>"#, places.collect::<Vec<_>>().join(" "));
            for &(epoch, y) in points {
                let (cx, cy, value) = (x(epoch), axis.y(y), self.text(y));
                let _ = write!(
                    svg,
                    r#"<circle class="dot{class}" cx="{cx:.1}" cy="{cy:.1}" r="2.5"><title>{name}, {} {epoch:.2}: {value}</title></circle>"#,
                    self.axis.0
                );
            }
            if curves.len() > 1 {
                let _ = write!(
                    svg,
                    r#"<text x="{key}" y="16" text-anchor="end">{name}</text><line class="curve{class}" x1="{}" x2="{}" y1="12" y2="12"/>"#,
                    key - 8.0 - 5.6 * name.len() as f64,
                    key - 24.0 - 5.6 * name.len() as f64
                );
                key -= 36.0 + 5.6 * name.len() as f64;
            }
        }
        Some(svg + "</svg>")
    }

    fn text(&self, value: f64) -> String {
        format!("{value:.*}{}", self.decimals, self.unit)
    }

    /// The chart for who cannot see it.
    fn in_words(&self) -> String {
        let ends = |points: &[(f64, f64)]| match points {
            [(_, first), .., (_, last)] => format!("from {} to {}", self.text(*first), self.text(*last)),
            _ => String::new(),
        };
        let curves = self.curves.iter().filter(|(_, points)| points.len() > 1);
        let curves: Vec<String> = curves.map(|(name, points)| format!("{name} {}", ends(points))).collect();
        format!("{}: {}", self.title, curves.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_inside_and_one_point_is_no_curve() {
        let lines = |count: usize, scale: f64| Lines {
            title: "Loss & <more>",
            unit: "",
            decimals: 3,
            axis: ("epoch", 0.37 * count as f64),
            curves: vec![
                ("training", (1..=count).map(|i| (0.37 * i as f64, scale / i as f64)).collect()),
                ("held out", vec![(0.37 * count as f64, scale)]),
            ],
            levels: vec![("chance", 1.5 * scale), ("none", 0.0)],
        };
        assert_eq!(lines(1, 1.0).svg(), None);
        for count in [2, 5, 300] {
            for scale in [1e-6, 1.0, 1e6] {
                let svg = lines(count, scale).svg().unwrap();
                assert_eq!(svg.matches("<circle").count(), count, "{svg}");
                assert!(svg.contains("Loss &amp; &lt;more&gt;") && !svg.contains("NaN"), "{svg}");
                for (attribute, most) in [(" cx=\"", SIZE.0), (" cy=\"", SIZE.1), (" x=\"", SIZE.0), (" y=\"", SIZE.1)]
                {
                    let numbers = svg.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok());
                    assert!(numbers.into_iter().all(|x: f64| (0.0..=most).contains(&x)), "{attribute}: {svg}");
                }
            }
        }
    }
}
