//! Profiles as SVG that takes its colours from the page.

use super::profile::{Bound, Profile, Row};
use minijinja::HtmlEscape;
use std::fmt::Write;

/// Bars that are drawn.
const BARS: usize = 30;
/// Height of a bar with its gap, and where bars begin and end.
const BAR: (f64, f64, f64) = (20.0, 330.0, 880.0);
/// Size of the roofline, and the field between its axes.
const SIZE: (f64, f64) = (720.0, 400.0);
const FIELD: (f64, f64, f64, f64) = (60.0, 700.0, 20.0, 350.0);

fn class(row: &Row) -> &'static str {
    match row.bound {
        Some(Bound::Compute) => "bar",
        Some(Bound::Memory) => "wrong",
        None => "count",
    }
}

/// Names of bearable length: their ends tell similar ones apart.
fn shortened(text: &str, longest: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    match chars.len().checked_sub(longest) {
        None | Some(0) => text.into(),
        Some(_) => {
            chars[..longest / 3].iter().chain(&['…']).chain(&chars[chars.len() + longest / 3 + 1 - longest..]).collect()
        }
    }
}

/// The longest rows as horizontal bars: the whole bar is the time, the strong part what the machine would need at least.
pub(super) fn bars(rows: &[Row]) -> String {
    let rows = &rows[..rows.len().min(BARS)];
    let ((height, left, right), most) = (BAR, rows.first().map_or(1.0, |row| row.ms).max(1e-9));
    let total = height * rows.len() as f64 + 8.0;
    let mut svg = format!(
        r#"<svg viewBox="0 0 1000 {total}" style="min-width:720px" role="img" aria-label="Time of the longest {} rows">"#,
        rows.len()
    );
    for (i, row) in rows.iter().enumerate() {
        let (y, class) = (4.0 + height * i as f64, class(row));
        let width = |ms: f64| (right - left) * (ms / most).clamp(0.0, 1.0);
        let label = if row.name.is_empty() { row.kind.clone() } else { format!("{} · {}", row.kind, row.name) };
        let (bar, least, base) = (width(row.ms), width(row.ms.min(row.limit_ms)), y + 13.0);
        let _ = write!(
            svg,
            r#"<g><title>{}: {:.3} ms, at least {:.3} ms; {:.1} GFLOP/s, {:.1} GB/s</title><text x="{}" y="{base}" text-anchor="end">{}</text><rect class="{class} faint" x="{left}" y="{y}" width="{bar:.1}" height="{}"/><rect class="{class}" x="{left}" y="{y}" width="{least:.1}" height="{}"/><text class="number" x="{:.1}" y="{base}">{:.3} ms, {:.1}%</text></g>"#,
            HtmlEscape(&label),
            row.ms,
            row.limit_ms,
            row.gflops,
            row.gb_per_second,
            left - 8.0,
            HtmlEscape(&shortened(&label, 52)),
            height - 4.0,
            height - 4.0,
            left + bar + 6.0,
            row.ms,
            100.0 * row.share
        );
    }
    svg + "</svg>"
}

/// Decades on an axis from the first to the last, between two places.
struct Axis {
    decades: (i32, i32),
    places: (f64, f64),
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, places: (f64, f64)) -> Self {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v.log10()), h.max(v.log10())));
        let (low, high) = (low.floor().clamp(-9.0, 9.0) as i32, high.ceil().clamp(-8.0, 10.0) as i32);
        Self { decades: (low, high.max(low + 1)), places }
    }

    fn at(&self, value: f64) -> f64 {
        let (low, high) = (f64::from(self.decades.0), f64::from(self.decades.1));
        let share = ((value.log10() - low) / (high - low)).clamp(0.0, 1.0);
        self.places.0 + (self.places.1 - self.places.0) * share
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let label = |decade: i32| {
            let value = 10f64.powi(decade);
            (value, if decade.abs() <= 4 { format!("{value}") } else { format!("{value:e}") })
        };
        (self.decades.0..=self.decades.1).map(label)
    }
}

/// The speed of each step over its operations a byte, both of operations carried out, under the roof that memory and processor make.
pub(super) fn roofline(profile: &Profile) -> String {
    let (left, right, top, bottom) = FIELD;
    let bytes = |row: &Row| (row.bytes_read + row.bytes_written) as f64;
    let known = |row: &&Row| row.executed > 0 && bytes(row) > 0.0 && row.gflops > 0.0;
    let intensity = |row: &Row| row.executed as f64 / bytes(row);
    let speed = |row: &Row| row.executed as f64 / row.ms / 1e6;
    let steps: Vec<&Row> = profile.steps.iter().filter(known).collect();
    let ridge = profile.peak_gflops / profile.read_gb_per_second;
    let x = Axis::new(steps.iter().map(|row| intensity(row)).chain([ridge]), (left, right));
    let slowest = steps.iter().map(|row| speed(row)).fold(profile.peak_gflops / 10.0, f64::min);
    let y = Axis::new([slowest, profile.peak_gflops].into_iter(), (bottom, top));
    let mut svg = format!(
        r#"<svg viewBox="0 0 {} {}" role="img" aria-label="Roofline of {} steps under {:.0} GFLOP/s and {:.1} GB/s">"#,
        SIZE.0,
        SIZE.1,
        steps.len(),
        profile.peak_gflops,
        profile.read_gb_per_second
    );
    for (value, label) in x.ticks() {
        let at = x.at(value);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="{top}" y2="{bottom}"/><text x="{at:.1}" y="{}" text-anchor="middle">{label}</text>"#,
            bottom + 16.0
        );
    }
    for (value, label) in y.ticks() {
        let at = y.at(value);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{left}" x2="{right}" y1="{at:.1}" y2="{at:.1}"/><text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#,
            left - 6.0,
            at + 4.0
        );
    }
    // Down the slope of the memory from the ridge, to the left edge or the bottom, whichever comes first.
    let foot = 10f64.powi(x.decades.0).max(10f64.powi(y.decades.0) / profile.read_gb_per_second);
    let points = [
        (foot, foot * profile.read_gb_per_second),
        (ridge, profile.peak_gflops),
        (10f64.powi(x.decades.1), profile.peak_gflops),
    ];
    let points: Vec<_> = points.iter().map(|&(a, b)| format!("{:.1},{:.1}", x.at(a), y.at(b))).collect();
    let _ = write!(svg, r#"<polyline class="curve" points="{}"/>"#, points.join(" "));
    for row in steps {
        let _ = write!(
            svg,
            r#"<circle class="{} faint" cx="{:.1}" cy="{:.1}" r="{:.1}"><title>{} · {}: {:.1} GFLOP/s at {:.2} operations a byte, {:.1}% of the time</title></circle>"#,
            class(row),
            x.at(intensity(row)),
            y.at(speed(row)),
            3.0 + 30.0 * row.share.sqrt(),
            HtmlEscape(&row.kind),
            HtmlEscape(&row.name),
            speed(row),
            intensity(row),
            100.0 * row.share
        );
    }
    let _ = write!(
        svg,
        r#"<text x="{}" y="{}" text-anchor="middle">floating-point operations for each byte read or written</text><text x="4" y="12">GFLOP/s</text></svg>"#,
        (left + right) / 2.0,
        bottom + 34.0
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, ms: f64, flops: u64) -> Row {
        let bound = (flops > 0).then_some(Bound::Compute);
        let row = Row {
            name: name.into(),
            kind: "Conv <1>".into(),
            ms,
            share: 0.5,
            bound,
            limit_ms: ms / 2.0,
            ..Row::default()
        };
        Row {
            flops,
            executed: flops,
            bytes_read: 100,
            bytes_written: 20,
            gflops: flops as f64 / ms.max(1e-3) / 1e6,
            ..row
        }
    }

    fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
        let start = format!(" {attribute}=\"");
        svg.split(&start).skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
    }

    #[test]
    fn bars_are_inside_and_names_escaped() {
        let rows: Vec<_> = (0..50).map(|i| row(&"a&b".repeat(i), 50.0 - i as f64, 5)).collect();
        let svg = bars(&rows);
        assert_eq!(svg.matches("<g>").count(), BARS);
        assert!(svg.contains("Conv &lt;1&gt;") && !svg.contains("a&b"), "{svg}");
        assert!(numbers(&svg, "width").iter().all(|width| *width <= BAR.2 - BAR.1), "{svg}");
        assert!(!bars(&[]).contains("NaN") && !bars(&[row("a", 0.0, 0)]).contains("NaN"));
    }

    #[test]
    fn points_are_under_the_roof_and_in_the_field() {
        for flops in [1, 1_000, 1_000_000_000] {
            let steps = vec![row("a", 1.0, flops), row("moves", 1.0, 0)];
            let profile = Profile {
                peak_gflops: 350.0,
                read_gb_per_second: 27.0,
                write_gb_per_second: 15.0,
                steps,
                kinds: vec![],
            };
            let svg = roofline(&profile);
            assert_eq!(svg.matches("<circle").count(), 1, "what has no arithmetic has no place");
            for (attribute, least, most) in [("cx", FIELD.0, FIELD.1), ("cy", FIELD.2, FIELD.3)] {
                assert!(numbers(&svg, attribute).iter().all(|v| (least..=most).contains(v)), "{svg}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(shortened("short", 9), "short");
        let long = shortened("blocks.0.expand.weight.folded", 12);
        assert!(long.chars().count() == 12 && long.starts_with("bloc…") && long.ends_with("folded"), "{long}");
    }
}
