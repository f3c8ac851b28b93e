//! What the findings come to, and what a person should do about each kind, most urgent first.

use super::{Alike, Class, Finding, Findings};
use crate::format;

/// Fewer pictures of a class than these are few.
const FEW: usize = 15;
/// A class with so many times the pictures of another is out of balance with it.
const IMBALANCE: usize = 5;
impl Findings {
    /// What to do, most urgent first.
    pub(super) fn advice(&self) -> Vec<Finding> {
        let within = self.duplicates.len() - self.contradictions.len() - self.leaks.len();
        let mut all = vec![
            (
                self.unreadable.len(),
                ["file cannot be used", "files cannot be used"],
                "Replace them, or take them out.".into(),
            ),
            (self.blank.len(), ["picture shows nothing", "pictures show nothing"], "Take them out.".into()),
            (
                self.contradictions.len(),
                ["picture is in two classes", "pictures are in two classes"],
                "One of the labels is wrong: keep the right one. Until then training leaves these pictures out.".into(),
            ),
            (
                self.suspects.len(),
                ["label may be wrong", "labels may be wrong"],
                "Look at them, worst first, and leave what is right: the further down, the more of them are.".into(),
            ),
            (
                self.leaks.len(),
                ["picture is both learned from and held out", "pictures are both learned from and held out"],
                "Take out the copies to learn from: training does so too, or the accuracy would flatter.".into(),
            ),
            (
                within,
                ["group of copies within a class", "groups of copies within a class"],
                "They teach nothing new: one of each is enough. Training keeps them on one side of the split.".into(),
            ),
            (
                self.alike.len(),
                ["pair of classes cannot be told apart", "pairs of classes cannot be told apart"],
                self.alike_advice(),
            ),
        ];
        let few: Vec<&Class> = self.classes.iter().filter(|class| class.pictures < FEW).collect();
        let text = format!("Take more pictures of {}: fewer than {FEW} are few.", in_short(&few));
        all.push((few.len(), ["class has few pictures", "classes have few pictures"], text));
        all.extend(self.imbalance());
        let single: Vec<&Class> =
            self.classes.iter().filter(|class| class.pictures > 1 && class.scenes == Some(1)).collect();
        let text = format!(
            "Take pictures of {} elsewhere: what was seen in one place alone is not learned.",
            in_short(&single)
        );
        all.push((single.len(), ["class is all one scene", "classes are all one scene"], text));
        let scenes: usize = self.classes.iter().filter_map(|class| class.scenes).sum();
        let (pictures, scenes) = (format::count(self.pictures as u64), format::count(scenes as u64));
        let text = format!(
            "The {pictures} pictures show about {scenes} scenes; training keeps each on one side of the split. A picture from elsewhere \
             teaches more than another of the same scene."
        );
        all.push((self.bursts.len(), ["burst of three pictures or more", "bursts of three pictures or more"], text));
        all.push((self.tiny.len(), ["picture is tiny", "pictures are tiny"], self.tiny_advice()));
        all.into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, [one, many], advice)| Finding { count, what: if count == 1 { one } else { many }, advice })
            .collect()
    }

    fn alike_advice(&self) -> String {
        let Some(Alike { labels: [a, b], told_apart, told_apart_ci95, pictures }) = self.alike.first() else {
            return String::new();
        };
        format!(
            "\"{a}\" and \"{b}\": of {pictures} pictures {} are given the right one of the two labels (95 % interval {}), which chance \
             could do. Merge such classes, or add pictures that show what tells them apart.",
            format::percent(*told_apart),
            format::percent_range(*told_apart_ci95)
        )
    }

    fn tiny_advice(&self) -> String {
        if 2 * self.tiny.len() > self.pictures {
            return "Most are enlarged for the pretrained network: try --network lenet --from-scratch too.".into();
        }
        "They have to be enlarged more than twice: take them anew, or from closer.".into()
    }

    fn imbalance(&self) -> Option<(usize, [&'static str; 2], String)> {
        let most = self.classes.iter().max_by_key(|class| class.pictures)?;
        let rare: Vec<&Class> =
            self.classes.iter().filter(|class| class.pictures * IMBALANCE <= most.pictures).collect();
        let text = format!(
            "\"{}\" has {} pictures: the classifier will prefer it to {}. Take more of those.",
            most.label,
            most.pictures,
            in_short(&rare)
        );
        Some((rare.len(), ["class is rare beside the largest", "classes are rare beside the largest"], text))
    }
}

/// Some labels with their counts, rarest first.
fn in_short(classes: &[&Class]) -> String {
    let mut classes = classes.to_vec();
    classes.sort_by_key(|class| class.pictures);
    let shown: Vec<String> =
        classes.iter().take(4).map(|class| format!("\"{}\" ({})", class.label, class.pictures)).collect();
    let more = if classes.len() > 4 { format!(" and {} more", classes.len() - 4) } else { String::new() };
    shown.join(", ") + &more
}
