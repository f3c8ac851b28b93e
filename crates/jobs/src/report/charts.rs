//! Charts as SVG that takes its colours from the page.

use percept_learn::calibrate::ReliabilityBin;
use percept_learn::metrics::Confusion;
use std::fmt::Write;

/// How often the model is right when it states a probability: bars against the diagonal, with the number of things, such as photos, below.
pub(crate) fn reliability(bins: &[ReliabilityBin], things: &str) -> String {
    let (side, left, width) = (280.0, 40.0, 280.0 / bins.len().max(1) as f64);
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1) as f64;
    let mut svg = String::from(r#"<svg viewBox="0 0 340 400" role="img" aria-label="Reliability diagram">"#);
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let (x, y) = (left + side * share, 10.0 + side * (1.0 - share));
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{left}" x2="{}" y1="{y}" y2="{y}"/><text x="{}" y="{}" text-anchor="end">{:.0}%</text><text x="{x}" y="390" text-anchor="middle">{:.0}%</text>"#,
            left + side,
            left - 4.0,
            y + 4.0,
            100.0 * share,
            100.0 * share
        );
    }
    for (i, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
        let (x, height) = (left + i as f64 * width, side * bin.accuracy);
        let count = 60.0 * bin.count as f64 / most;
        let _ = write!(
            svg,
            r#"<g><title>{} {things}: {:.0}% sure, {:.0}% right</title><rect class="bar" x="{:.1}" y="{:.1}" width="{:.1}" height="{height:.1}"/><rect class="count" x="{:.1}" y="{:.1}" width="{:.1}" height="{count:.1}"/></g>"#,
            bin.count,
            100.0 * bin.confidence,
            100.0 * bin.accuracy,
            x + 1.0,
            10.0 + side - height,
            width - 2.0,
            x + 1.0,
            372.0 - count,
            width - 2.0
        );
    }
    let _ = write!(svg, r#"<line class="ideal" x1="{left}" y1="{}" x2="{}" y2="10"/></svg>"#, 10.0 + side, left + side);
    svg
}

/// The confusion matrix as a heat map: a row for each true class, a column for each answer, the share of the row as colour.
pub(crate) fn confusion(cells: &[Confusion], labels: &[String]) -> String {
    let n = labels.len().max(1);
    let names = n <= 30;
    let cell = (600.0 / n as f64).min(36.0);
    let longest = labels.iter().map(|label| shortened(label).chars().count()).max().unwrap_or(0) as f64;
    let (left, below) = if names { (14.0 + 6.5 * longest, 24.0 + 4.5 * longest) } else { (4.0, 4.0) };
    let side = cell * n as f64;
    let (width, height) = (left + side + if names { 5.0 * longest } else { 4.0 }, side + below);
    // Names stay legible on a phone, where the page scrolls sideways instead.
    let least = if names { 0.75 * width } else { 0.0 };
    let mut totals = vec![0usize; n];
    cells.iter().for_each(|c| totals[c.label] += c.count);
    let mut svg = format!(
        r#"<svg viewBox="0 0 {width:.0} {height:.0}" style="max-width:{width:.0}px;min-width:{least:.0}px" role="img" aria-label="Confusion matrix"><rect class="field" x="{left}" y="4" width="{side:.2}" height="{side:.2}"/>"#
    );
    for c in cells {
        let class = if c.label == c.predicted { "right" } else { "wrong" };
        let (x, y) = (left + c.predicted as f64 * cell, 4.0 + c.label as f64 * cell);
        let share = c.count as f64 / totals[c.label] as f64;
        let _ = write!(
            svg,
            r#"<rect class="{class}" x="{x:.2}" y="{y:.2}" width="{cell:.2}" height="{cell:.2}" opacity="{:.2}"><title>{} named {}: {}</title></rect>"#,
            0.25 + 0.75 * share,
            escape(&labels[c.label]),
            escape(&labels[c.predicted]),
            c.count
        );
        if cell >= 16.0 {
            let (x, y) = (x + cell / 2.0, y + cell / 2.0 + 4.0);
            let class = if share > 0.5 { "number strong" } else { "number" };
            let _ =
                write!(svg, r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="middle">{}</text>"#, c.count);
        }
    }
    for (i, label) in labels.iter().enumerate().filter(|_| names) {
        let middle = (i as f64 + 0.5) * cell;
        let (short, y) = (escape(&shortened(label)), 8.0 + middle);
        let (x, below) = (left + middle, 16.0 + side);
        let _ = write!(
            svg,
            r#"<text x="{}" y="{y:.1}" text-anchor="end">{short}</text><text transform="translate({x:.1} {below:.1}) rotate(40)">{short}</text>"#,
            left - 6.0
        );
    }
    svg + "</svg>"
}

/// A name of bearable length: the ends tell similar names apart.
fn shortened(label: &str) -> String {
    let chars: Vec<char> = label.chars().collect();
    match chars.len() {
        0..=21 => label.into(),
        n => chars[..10].iter().chain(&['…']).chain(&chars[n - 10..]).collect(),
    }
}

fn escape(text: &str) -> String {
    minijinja::HtmlEscape(text).to_string()
}
