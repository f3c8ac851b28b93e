//! Which recordings are held apart, and in which order the others are learned from: drawn by place, so nothing depends on threads.

use super::scan::Recording;
use crate::{Error, Result};
use percept_learn::random::mixed;

/// One recording of so many is held apart.
const APART: usize = 6;

/// Training and test recordings, by their places: a sixth of every speaker's recordings of every class is test, or all of one speaker.
pub(super) fn split(
    recordings: &[Recording],
    classes: &[String],
    leave_out: Option<&str>,
    seed: u64,
) -> Result<[Vec<usize>; 2]> {
    let mut order: Vec<usize> = (0..recordings.len()).collect();
    order.sort_by_key(|&i| (recordings[i].class, &recordings[i].speaker, mixed(seed, i as u64)));
    // Counting on from one speaker to the next keeps the share where groups are small.
    let is_apart = |place: usize, i: usize| match leave_out {
        Some(speaker) => recordings[i].speaker == speaker,
        None => place % APART == APART / 2,
    };
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (place, i) in order.into_iter().enumerate() {
        if is_apart(place, i) { test.push(i) } else { train.push(i) }
    }
    let known = |i: &usize| recordings[*i].class;
    if let Some(class) = (0..classes.len()).find(|class| !train.iter().any(|i| known(i) == *class)) {
        let of = leave_out.map_or_else(String::new, |speaker| format!(" without {speaker}"));
        return Err(Error::Setting(format!(
            "no recording of \"{}\" is left to learn from{of}: add some",
            classes[class]
        )));
    }
    match (leave_out, test.is_empty()) {
        (Some(speaker), true) => {
            let mut names: Vec<_> = recordings.iter().map(|r| r.speaker.as_str()).filter(|s| !s.is_empty()).collect();
            names.dedup();
            names.sort_unstable();
            names.dedup();
            let names = if names.is_empty() { "the names of the files name none".into() } else { names.join(", ") };
            Err(Error::Setting(format!("there is no speaker \"{speaker}\": {names}")))
        }
        (None, true) => Err(Error::Setting(format!("there are fewer than {APART} recordings: add some"))),
        _ => Ok([train, test]),
    }
}

/// A permutation of `0..count` for an epoch.
pub(super) fn shuffled(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let key = mixed(seed, epoch);
    order.sort_by_key(|&i| (mixed(key, i as u64), i));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recordings() -> Vec<Recording> {
        let of = |class: usize, speaker: &str, n: usize| Recording {
            path: format!("{class}_{speaker}_{n}.wav").into(),
            class,
            speaker: speaker.into(),
        };
        let pairs = (0..3).flat_map(|class| ["ann", "bob"].map(|speaker| (class, speaker)));
        pairs.flat_map(|(class, speaker)| (0..10).map(move |n| of(class, speaker, n))).collect()
    }

    #[test]
    fn a_sixth_of_every_speaker_is_apart_or_one_speaker_is() {
        let (all, classes) = (recordings(), ["a", "b", "c"].map(String::from));
        let [train, test] = split(&all, &classes, None, 1).unwrap();
        assert_eq!((train.len(), test.len()), (50, 10));
        for speaker in ["ann", "bob"] {
            for class in 0..3 {
                let of = |i: &&usize| all[**i].class == class && all[**i].speaker == speaker;
                assert!((1..=2).contains(&test.iter().filter(of).count()));
            }
        }
        assert_ne!(test, split(&all, &classes, None, 2).unwrap()[1]);
        let [train, test] = split(&all, &classes, Some("ann"), 1).unwrap();
        assert!(train.iter().all(|&i| all[i].speaker == "bob") && test.iter().all(|&i| all[i].speaker == "ann"));
        let wrong = split(&all, &classes, Some("eve"), 1).unwrap_err().to_string();
        assert_eq!(wrong, "there is no speaker \"eve\": ann, bob");
    }

    #[test]
    fn epochs_have_their_own_order() {
        let mut first = shuffled(100, 1, 0);
        assert_ne!(first, shuffled(100, 1, 1));
        first.sort_unstable();
        assert!(first.into_iter().eq(0..100));
    }
}
