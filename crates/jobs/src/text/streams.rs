//! A text as batches: several places of it beside each other, each of which goes on where it was.

use percept_learn::random::mixed;

/// What a step reads, `[steps, places]` each.
pub(super) struct Batch {
    pub(super) characters: Vec<i64>,
    /// What follows each character.
    pub(super) labels: Vec<i64>,
    /// Whether places begin, so that there is no state to go on from.
    pub(super) begins: bool,
}

/// Places of a text, an equal distance from each other, and how they are read. What a step reads follows from its number.
pub(super) struct Streams<'a> {
    codes: &'a [i64],
    batch: usize,
    unroll: usize,
    /// From one place to the next.
    distance: usize,
    seed: u64,
}

impl<'a> Streams<'a> {
    /// `batch` and `unroll` fit the text: see [`Config::fit`](super::Config::fit).
    pub(super) fn new(codes: &'a [i64], batch: usize, unroll: usize, seed: u64) -> Self {
        let distance = (codes.len().saturating_sub(1 + unroll) / batch).max(1);
        Self { codes, batch, unroll, distance, seed }
    }

    /// Steps until all of the text was read once.
    pub(super) fn steps(&self) -> u64 {
        (self.distance / self.unroll).max(1) as u64
    }

    /// The shape of a batch.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.unroll, self.batch]
    }

    /// What a step reads; each time through the text pieces begin elsewhere.
    pub(super) fn batch(&self, step: u64) -> Batch {
        let (epoch, piece) = (step / self.steps(), step % self.steps());
        // What the last place leaves at the end of the text.
        let read = (self.batch - 1) * self.distance + self.steps() as usize * self.unroll;
        let left = (self.codes.len() - 1).saturating_sub(read) as u64;
        let offset = (mixed(self.seed, epoch) % (left + 1)) as usize + piece as usize * self.unroll;
        let at = |t: usize, place: usize| offset + place * self.distance + t;
        let places = (0..self.unroll).flat_map(|t| (0..self.batch).map(move |place| at(t, place)));
        let characters = places.clone().map(|i| self.codes[i]).collect();
        Batch { characters, labels: places.map(|i| self.codes[i + 1]).collect(), begins: piece == 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn places_go_on_and_labels_are_what_follows_in_texts_of_any_length() {
        for len in (90..400).chain([10_000]) {
            let codes: Vec<i64> = (0..len).collect();
            let mut config = Config::default();
            config.fit(codes.len());
            let streams = Streams::new(&codes, config.batch, config.unroll, 3);
            let [steps, batch] = streams.shape();
            let mut last: Option<Batch> = None;
            for step in 0..2 * streams.steps() + 1 {
                let now = streams.batch(step);
                assert_eq!(now.begins, step % streams.steps() == 0);
                assert!(now.characters.iter().zip(&now.labels).all(|(c, label)| label - c == 1));
                if let Some(last) = last.filter(|_| !now.begins) {
                    assert_eq!(now.characters[..batch], last.labels[(steps - 1) * batch..]);
                }
                last = Some(now);
            }
            // An epoch reads a third or more of the text.
            assert!(streams.steps() as usize * steps * batch * 3 >= codes.len(), "{len}");
        }
    }
}
