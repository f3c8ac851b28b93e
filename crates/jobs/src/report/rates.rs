//! The chart of a search for a learning rate, as SVG that takes its colours from the page.

use super::curves::{Axis, FIELD, SIZE};
use percept_learn::optim::RateCurve;
use std::fmt::Write;

/// The smoothed loss over the learning rate, whose axis is logarithmic, with a line where the suggestion is; nothing if there are no two
/// losses to compare.
///
/// ```
/// use percept_jobs::report::learning_rates;
/// use percept_learn::{Error, optim::find_rate};
///
/// let curve = find_rate::<Error>(1e-4, 1.0, 50, |rate| Ok(1.0 - rate))?;
/// assert!(learning_rates(&curve).is_some_and(|svg| svg.starts_with("<svg") && svg.contains("learning rate")));
/// # Ok::<(), Error>(())
/// ```
pub fn learning_rates(curve: &RateCurve) -> Option<String> {
    let [Some(&lowest), Some(&highest)] = [curve.rates.first(), curve.rates.last()] else { return None };
    let (low, high) = (lowest.log10(), highest.log10());
    if !(high > low && (high - low).is_finite()) {
        return None;
    }
    let x = |rate: f64| FIELD.left + (FIELD.right - FIELD.left) * (rate.log10() - low) / (high - low);
    let axis = Axis::new(curve.smoothed.iter().copied());
    let words = match curve.suggestion {
        Some(rate) => format!("suggested: {rate:.1e}"),
        None => "no learning rate lowers it".into(),
    };
    let mut svg = format!(
        r#"<svg viewBox="0 0 {} {}" role="img" aria-label="Loss at learning rates from {lowest:.1e} to {highest:.1e}, {words}"><text class="title" x="4" y="16">Loss</text><text x="{}" y="16" text-anchor="end">{words}</text>"#,
        SIZE.0, SIZE.1, FIELD.right
    );
    axis.grid("", &mut svg);
    decades(low, high, x, &mut svg);
    if let Some(rate) = curve.suggestion.filter(|&rate| rate >= lowest) {
        let (x, top, bottom) = (x(rate), FIELD.top, FIELD.bottom);
        let _ = write!(svg, r#"<line class="ideal" x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}"/>"#);
    }
    let points = curve.rates.iter().zip(&curve.smoothed);
    let places = points.map(|(&rate, &loss)| format!("{:.1},{:.1}", x(rate), axis.y(loss)));
    let _ = write!(svg, r#"<polyline class="curve" points="{}"/></svg>"#, places.collect::<Vec<_>>().join(" "));
    Some(svg)
}

/// Marks and labels at powers of ten, or at both ends if there are not two within.
fn decades(low: f64, high: f64, x: impl Fn(f64) -> f64, svg: &mut String) {
    let (first, last) = ((low - 1e-9).ceil() as i32, (high + 1e-9).floor() as i32);
    let step = ((last - first) / 6 + 1) as usize;
    let rates: Vec<f64> = match last > first {
        true => (first..=last).step_by(step).map(|power| 10f64.powi(power)).collect(),
        false => vec![10f64.powf(low), 10f64.powf(high)],
    };
    let bottom = FIELD.bottom;
    for rate in rates {
        let (x, label) = (x(rate), format!("{rate:.1e}").replace(".0e", "e"));
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{}"/><text x="{x:.1}" y="{}" text-anchor="middle">{label}</text>"#,
            bottom + 4.0,
            bottom + 17.0
        );
    }
    let _ = write!(
        svg,
        r#"<text x="{}" y="{}" text-anchor="middle">learning rate</text>"#,
        (FIELD.left + FIELD.right) / 2.0,
        bottom + 33.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_learn::{Error, optim::find_rate};

    /// Places of the points of the line.
    fn points(svg: &str) -> Vec<(f64, f64)> {
        let list = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let point = |point: &str| point.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap();
        list.split(' ').map(point).collect()
    }

    #[test]
    fn all_points_are_inside_and_the_marks_are_powers_of_ten() {
        for (low, high) in [(1e-7, 10.0), (1e-12, 1e12), (0.2, 0.3), (0.001, 0.01)] {
            for loss in [|rate: f64| (rate - 1.0).powi(2), |_| 0.0, |rate: f64| -rate] {
                let svg = learning_rates(&find_rate::<Error>(low, high, 40, |rate| Ok(loss(rate))).unwrap()).unwrap();
                for (x, y) in points(&svg) {
                    assert!((FIELD.left - 0.1..=FIELD.right + 0.1).contains(&x), "{svg}");
                    assert!((FIELD.top - 0.1..=FIELD.bottom + 0.1).contains(&y), "{svg}");
                }
                let marks = svg.matches("text-anchor=\"middle\"").count() - 1;
                assert!((2..=9).contains(&marks) && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
        let svg = learning_rates(&find_rate::<Error>(1e-3, 1.0, 40, |rate| Ok(-rate)).unwrap()).unwrap();
        assert!(["1e-3", "1e-2", "1e-1", "1e0", "suggested: 1.0e-1"].iter().all(|label| svg.contains(label)), "{svg}");
    }

    #[test]
    fn one_loss_is_no_curve() {
        let stops = find_rate::<Error>(0.1, 1.0, 9, |rate| Ok(if rate > 0.1 { f64::NAN } else { 1.0 })).unwrap();
        assert_eq!(learning_rates(&stops), None);
    }
}
