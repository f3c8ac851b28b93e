//! Numbers for people: the same spelling on the terminal, in the report and in the model card.
//!
//! A number that does not exist (the precision of a class that was never answered) is an en dash.

const NONE: &str = "–";

/// A fraction as a percentage with one decimal.
///
/// ```
/// use percept_jobs::format::percent;
/// assert_eq!(percent(0.757), "75.7%");
/// assert_eq!(percent(f64::NAN), "–");
/// ```
pub fn percent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{:.1}%", 100.0 * fraction) } else { NONE.into() }
}

/// An interval of fractions as percentages.
///
/// ```
/// assert_eq!(percept_jobs::format::percent_range([0.705, 0.802]), "70.5–80.2%");
/// ```
pub fn percent_range([low, high]: [f64; 2]) -> String {
    if low.is_finite() && high.is_finite() { format!("{:.1}–{:.1}%", 100.0 * low, 100.0 * high) } else { NONE.into() }
}

/// A size in decimal units, as disks and downloads are sold.
///
/// ```
/// use percept_jobs::format::bytes;
/// assert_eq!(bytes(999), "999 bytes");
/// assert_eq!(bytes(17_800_000), "17.8 MB");
/// ```
pub fn bytes(count: u64) -> String {
    let (unit, name) = match count {
        0..1_000 => return format!("{count} bytes"),
        1_000..999_950 => (1e3, "kB"),
        999_950..999_950_000 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{:.1} {name}", count as f64 / unit)
}

/// A time in seconds, as precise as it is useful.
///
/// ```
/// use percept_jobs::format::duration;
/// assert_eq!(duration(0.0042), "4.2 ms");
/// assert_eq!(duration(42.0), "42 s");
/// assert_eq!(duration(200.0), "3 min 20 s");
/// assert_eq!(duration(7500.0), "2 h 05 min");
/// ```
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.into();
    }
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 0.9995 => format!("{:.1} ms", 1e3 * seconds),
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A whole number with its thousands apart.
///
/// ```
/// assert_eq!(percept_jobs::format::count(1_234_567), "1,234,567");
/// ```
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A fraction in words that can be pictured, before a plural.
///
/// ```
/// use percept_jobs::format::in_words;
/// assert_eq!(in_words(0.757), "about 3 in 4");
/// assert_eq!(in_words(0.97), "about 97 in 100");
/// assert_eq!(in_words(1.0), "all");
/// ```
pub fn in_words(fraction: f64) -> String {
    if !fraction.is_finite() {
        return NONE.into();
    }
    if fraction >= 1.0 {
        return "all".into();
    }
    if fraction <= 0.0 {
        return "no".into();
    }
    let near = [2u32, 3, 4, 5, 10].into_iter().find_map(|of| {
        let part = (fraction * f64::from(of)).round();
        let fits = part >= 1.0 && part < f64::from(of) && (part / f64::from(of) - fraction).abs() <= 0.015;
        fits.then_some((part, of))
    });
    match near {
        Some((part, of)) => format!("about {part} in {of}"),
        None if (0.005..0.995).contains(&fraction) => format!("about {:.0} in 100", 100.0 * fraction),
        None if fraction < 0.5 => "fewer than 1 in 100".into(),
        None => "more than 99 in 100".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_change_where_rounding_would_overflow_them() {
        assert_eq!(bytes(999_949), "999.9 kB");
        assert_eq!(bytes(999_950), "1.0 MB");
        assert_eq!(bytes(u64::MAX), "18446744073.7 GB");
        assert_eq!(duration(0.9999), "1.0 s");
        assert_eq!(duration(59.7), "1 min 00 s");
        assert_eq!(duration(3599.6), "1 h 00 min");
        assert_eq!(duration(f64::INFINITY), "–");
        assert_eq!(count(0), "0");
        assert_eq!(count(100), "100");
    }

    #[test]
    fn words_never_claim_all_or_none_of_a_proper_fraction() {
        assert_eq!(in_words(0.999), "more than 99 in 100");
        assert_eq!(in_words(0.001), "fewer than 1 in 100");
        assert_eq!(in_words(0.89), "about 9 in 10");
        assert_eq!(in_words(0.85), "about 85 in 100");
        assert_eq!(in_words(f64::NAN), "–");
    }
}
