//! What kind of question a column is, and its cells as numbers.

use super::{Column, Table};
use crate::Error;
use crate::scan::natural_key;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// A column of whole numbers is a number if it has more different ones than this; fewer name classes.
const GRADES: usize = 10;
/// Pairs that mean no and yes, in this order.
const PAIRS: [[&str; 2]; 8] = [
    ["no", "yes"],
    ["n", "y"],
    ["false", "true"],
    ["f", "t"],
    ["negative", "positive"],
    ["absent", "present"],
    ["off", "on"],
    ["control", "case"],
];
/// What stands for a missing answer, in small letters.
const MISSING: [&str; 6] = ["", "na", "n/a", "nan", "null", "?"];

/// A kind of question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// One of several labels.
    Class {
        /// The labels, in natural order.
        labels: Vec<String>,
    },
    /// One of two answers: `0` and `1`, `no` and `yes`, or any two words.
    YesNo {
        /// What is called no, then what is called yes: by meaning where it is known, else in natural order.
        labels: [String; 2],
    },
    /// A number, in whatever unit the table has.
    Number,
}

/// A kind that the first line states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stated {
    Class,
    YesNo,
    Number,
}

/// The answers to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// For each picture the number, or the position of the label; NaN where it is missing.
    pub values: Vec<f64>,
}

/// Columns that nothing can be learned from: their names, and why.
pub type LeftOut = Vec<(String, String)>;

/// The name and the stated kind of a column.
pub(super) fn stated(name: &str) -> Result<(String, Option<Stated>), String> {
    let Some((before, kind)) = name.rsplit_once(':') else { return Ok((name.into(), None)) };
    let stated = match kind.trim().to_ascii_lowercase().as_str() {
        "number" => Stated::Number,
        "class" => Stated::Class,
        "yes-no" | "yes/no" | "yesno" => Stated::YesNo,
        _ => return Err(format!("states the kind \"{kind}\": it must be number, class or yes-no")),
    };
    Ok((before.trim().into(), Some(stated)))
}

impl Kind {
    /// The labels; none of a number.
    pub fn labels(&self) -> &[String] {
        match self {
            Kind::Class { labels } => labels,
            Kind::YesNo { labels } => labels,
            Kind::Number => &[],
        }
    }
}

impl Column {
    /// The cells that are not missing, each with its line.
    fn present(&self) -> impl Iterator<Item = (&str, u64)> {
        let missing = |text: &str| MISSING.contains(&text.to_ascii_lowercase().as_str());
        self.cells.iter().map(|(text, line)| (text.as_str(), *line)).filter(move |(text, _)| !missing(text))
    }

    fn number(&self, text: &str) -> Option<f64> {
        let text = if self.comma { text.replace(',', ".") } else { text.into() };
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// The different answers in natural order; of texts that read alike as numbers, one.
    fn different(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.present().map(|(text, _)| text.into()).collect();
        texts.sort_by_cached_key(|text| natural_key(text));
        texts.dedup();
        let mut seen = HashSet::new();
        // The sum makes 0 of -0.
        texts.retain(|text| self.number(text).is_none_or(|number| seen.insert((number + 0.0).to_bits())));
        texts
    }

    /// The kind of the question; the reason if it is none that can be learned.
    fn kind(&self) -> Result<Kind, String> {
        let texts = self.different();
        let numbers: Vec<f64> = texts.iter().filter_map(|text| self.number(text)).collect();
        let count = self.present().count();
        let numeric = self.present().filter(|(text, _)| self.number(text).is_some()).count();
        // Mostly numbers: whatever else is there is a mistake that should be seen.
        let continuous = numbers.len() > GRADES || numbers.len() > 2 && numbers.iter().any(|x| x.fract() != 0.0);
        match (self.stated, texts.len()) {
            (_, 0) => Err("has no answer".into()),
            (_, 1) => Err(format!("has one answer alone, \"{}\"", texts[0])),
            (Some(Stated::Number), _) => Ok(Kind::Number),
            (Some(Stated::YesNo), n) if n > 2 => Err(format!("is to be yes-no, but has {n} different answers")),
            (None, _) if continuous && 2 * numeric > count => Ok(Kind::Number),
            (None | Some(Stated::YesNo), 2) => Ok(Kind::YesNo { labels: ordered(texts) }),
            (None, n) if 2 * n > count && n > GRADES => {
                Err(format!("has {n} different answers to {count} pictures: it seems to name them"))
            }
            _ => Ok(Kind::Class { labels: texts }),
        }
    }
}

/// No before yes; others as they are.
fn ordered(texts: Vec<String>) -> [String; 2] {
    let [a, b] = [0, 1].map(|i| texts.get(i).cloned().unwrap_or_default());
    let reversed = PAIRS.iter().any(|[no, yes]| a.eq_ignore_ascii_case(yes) && b.eq_ignore_ascii_case(no));
    if reversed { [b, a] } else { [a, b] }
}

impl Table {
    /// All questions with their answers; and of columns that nothing can be learned from, name and reason.
    ///
    /// # Errors
    /// [`Error::Table`] for a cell that is no number in a column of numbers.
    pub fn answers(&self) -> Result<(Vec<Answers>, LeftOut), Error> {
        let (mut answers, mut left_out) = (Vec::new(), Vec::new());
        for column in &self.columns {
            match column.kind() {
                Ok(kind) => answers.push(self.as_kind(column, kind)?),
                Err(reason) => left_out.push((column.name.clone(), reason)),
            }
        }
        Ok((answers, left_out))
    }

    /// The answers to a question of a known kind; labels that it does not have are missing. Nothing if there is no such column.
    ///
    /// # Errors
    /// [`Error::Table`] for a cell that is no number in a column of numbers.
    pub fn answers_to(&self, name: &str, kind: &Kind) -> Result<Option<Answers>, Error> {
        let column = self.columns.iter().find(|column| column.name == name);
        column.map(|column| self.as_kind(column, kind.clone())).transpose()
    }

    fn as_kind(&self, column: &Column, kind: Kind) -> Result<Answers, Error> {
        let value = |(text, line): &(String, u64)| {
            if MISSING.contains(&text.to_ascii_lowercase().as_str()) {
                return Ok(f64::NAN);
            }
            if kind == Kind::Number {
                return column.number(text).ok_or_else(|| {
                    let name = &column.name;
                    let reason =
                        format!("\"{text}\" is no number: correct it, leave it empty, or call the column {name}:class");
                    Error::table(&self.path, *line, name, reason)
                });
            }
            // Text first, then what reads alike as a number: 1.0 for 1.
            let labels = kind.labels();
            let number = column.number(text);
            let same = |label: &String| number.is_some() && column.number(label) == number;
            let found = labels.iter().position(|label| label == text).or_else(|| labels.iter().position(same));
            Ok(found.map_or(f64::NAN, |i| i as f64))
        };
        let values = column.cells.iter().map(value).collect::<Result<_, Error>>()?;
        Ok(Answers { name: column.name.clone(), kind, values })
    }
}
