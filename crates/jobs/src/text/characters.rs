//! Characters as numbers.

use std::collections::BTreeSet;

/// The characters of a text in the order of Unicode: the number of each is its place.
///
/// ```
/// use percept_jobs::text::Characters;
///
/// let characters = Characters::of("banana");
/// assert_eq!(characters.encode("nab"), Ok(vec![2, 0, 1]));
/// assert_eq!(characters.encode("nob"), Err('o'));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Characters(Vec<char>);

impl Characters {
    /// The characters that occur in a text.
    pub fn of(text: &str) -> Self {
        Self(text.chars().collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// The characters that a model's labels are; nothing if one of them is not a single character, or their order is another.
    pub(super) fn from_labels(labels: &[String]) -> Option<Self> {
        let one = |label: &String| label.chars().next().filter(|c| c.len_utf8() == label.len());
        let characters: Vec<char> = labels.iter().map(one).collect::<Option<_>>()?;
        characters.is_sorted_by(|a, b| a < b).then_some(Self(characters))
    }

    /// The characters themselves.
    pub fn as_slice(&self) -> &[char] {
        &self.0
    }

    /// The numbers of a text's characters.
    ///
    /// # Errors
    /// The first character that is none of these.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, char> {
        text.chars().map(|c| self.0.binary_search(&c).map(|i| i as i64).map_err(|_| c)).collect()
    }
}
