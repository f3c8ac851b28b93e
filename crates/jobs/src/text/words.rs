//! Sentences as numbers of words, and files of labelled sentences.

use super::Source;
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};

/// Stands for no word: what sentences are filled up with.
pub(super) const NONE: i64 = 0;
/// Stands for any word that was not learned.
const OTHER: i64 = 1;
/// Numbers of something else than a word.
const SPECIAL: usize = 2;
/// What stands before a sentence, and after it, so that every filter sees its first and last word in each place. Filters of up to so many words see a
/// window without any word after every sentence: so what fills it up further changes no maximum, and a sentence has the same answer in any batch.
pub(super) const FILL: usize = 5;
/// Further words of a sentence are not read.
const LONGEST: usize = 400;

/// The words of a text in small letters: letters, digits and apostrophes that belong together, or another character alone.
pub(super) fn words(text: &str) -> Vec<String> {
    let (mut words, mut open) = (Vec::<String>::new(), false);
    for c in text.chars().flat_map(char::to_lowercase) {
        let part = c.is_alphanumeric() || c == '\'';
        match words.last_mut().filter(|_| open && part) {
            Some(word) => word.push(c),
            None if c.is_whitespace() || c.is_control() => {}
            None => words.push(c.into()),
        }
        open = part;
    }
    words
}

/// The words that a classifier knows.
pub(super) struct Words {
    list: Vec<String>,
    numbers: HashMap<String, i64>,
}

impl Words {
    /// The words of sentences, in alphabetical order.
    pub(super) fn of<'a>(sentences: impl Iterator<Item = &'a Sentence>) -> Self {
        let list: BTreeSet<&String> = sentences.flat_map(|sentence| &sentence.words).collect();
        Self::from_list(list.into_iter().cloned().collect())
    }

    pub(super) fn from_list(list: Vec<String>) -> Self {
        let numbers = list.iter().enumerate().map(|(i, word)| (word.clone(), (SPECIAL + i) as i64)).collect();
        Self { list, numbers }
    }

    pub(super) fn list(&self) -> &[String] {
        &self.list
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.numbers.contains_key(word)
    }

    /// How many numbers there are.
    pub(super) fn count(&self) -> usize {
        SPECIAL + self.list.len()
    }

    /// The numbers of a sentence's words, filled up at both ends; a word becomes any other where `forget` says so of its place.
    pub(super) fn encode(&self, words: &[String], forget: impl Fn(usize) -> bool) -> Vec<i64> {
        let number = |(i, word)| match self.numbers.get::<String>(word) {
            Some(&number) if !forget(i) => number,
            _ => OTHER,
        };
        let inner = words.iter().take(LONGEST).enumerate().map(number);
        let fill = || std::iter::repeat_n(NONE, FILL);
        fill().skip(1).chain(inner).chain(fill()).collect()
    }
}

/// A sentence and its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sentence {
    /// As it stands in the file.
    pub(super) text: String,
    pub(super) words: Vec<String>,
    pub(super) label: usize,
}

/// The labelled sentences of a file.
#[derive(Debug)]
pub(super) struct Labelled {
    pub(super) labels: Vec<String>,
    pub(super) sentences: Vec<Sentence>,
}

/// Label and text of each line that is not empty; nothing for a line that has only one of them.
fn lines(text: &str) -> impl Iterator<Item = (usize, Option<(&str, &str)>)> {
    let lines = text.split('\n').map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(i, line)| (i + 1, line.split_once(char::is_whitespace)))
}

/// Whether a text looks like labelled lines: two labels or more, each of them often.
pub(super) fn is_labelled(text: &str) -> bool {
    let (mut labels, mut count) = (BTreeSet::new(), 0);
    for (_, line) in lines(text) {
        let Some((label, _)) = line else { return false };
        labels.insert(label);
        count += 1;
    }
    labels.len() >= 2 && labels.len() * 10 <= count
}

impl Labelled {
    /// Reads lines; with `labels`, which they then have to keep to.
    pub(super) fn read(Source { path, text }: &Source, labels: Option<&[String]>) -> Result<Self> {
        let wrong = |line: usize, reason: String| Error::Setting(format!("{}, line {line}: {reason}", path.display()));
        let mut found = Vec::new();
        for (line, pair) in lines(text) {
            found.push((line, pair.ok_or_else(|| wrong(line, "a label and a sentence are wanted".into()))?));
        }
        if found.is_empty() {
            return Err(Error::Setting(format!("{}: there are no sentences in it", path.display())));
        }
        let all: BTreeSet<&str> = found.iter().map(|(_, (label, _))| *label).collect();
        let own: Vec<String> = all.into_iter().map(String::from).collect();
        let labels = labels.unwrap_or(&own).to_vec();
        if labels.len() < 2 {
            let text = format!("{}: there are {} labels: give lines of two at least", path.display(), labels.len());
            return Err(Error::Setting(text));
        }
        let mut sentences = Vec::with_capacity(found.len());
        for (line, (label, text)) in found {
            let place = labels.binary_search_by(|other| other.as_str().cmp(label));
            let label = place.map_err(|_| wrong(line, format!("the label {label:?} was not learned")))?;
            sentences.push(Sentence { text: text.trim().into(), words: words(text), label });
        }
        Ok(Self { labels, sentences })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_that_belong_together_and_marks_alone() {
        assert_eq!(
            words("It's GREAT--no,\treally\u{85}5.5!"),
            ["it's", "great", "-", "-", "no", ",", "really", "5", ".", "5", "!"]
        );
        let known = Words::from_list(vec!["a".into(), "b".into()]);
        let text = ["b", "c", "a"].map(String::from);
        assert_eq!(known.encode(&text, |i| i == 2), [0, 0, 0, 0, 3, 1, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn labelled_lines_are_told_from_prose() {
        assert!(is_labelled(&"good very nice\nbad not nice\n\n".repeat(10)));
        for prose in ["one line of text\n".repeat(50), "a title\n\nalone\n".repeat(20), "to be\nor not\n".repeat(3)] {
            assert!(!is_labelled(&prose), "{prose}");
        }
    }

    #[test]
    fn lines_that_do_not_fit_are_named() {
        let of = |text: &str| Source { path: "lines.txt".into(), text: text.into() };
        let message = Labelled::read(&of("1 fine\n0 bad\n\n2\n"), None).unwrap_err().to_string();
        assert!(message.ends_with(", line 4: a label and a sentence are wanted"), "{message}");
        let message = Labelled::read(&of("\n"), None).unwrap_err().to_string();
        assert!(message.ends_with(": there are no sentences in it"), "{message}");
        let labels = ["0", "2"].map(String::from);
        let message = Labelled::read(&of("1 fine\n0 bad"), Some(&labels)).unwrap_err().to_string();
        assert!(message.ends_with(", line 1: the label \"1\" was not learned"), "{message}");
    }
}
