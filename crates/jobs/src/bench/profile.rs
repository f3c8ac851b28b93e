//! Where the time of a run goes: a row for each step and for each kind of step, held against what the machine can do.
//!
//! Two times bound a step from below: its arithmetic at the peak of the processor, and its operands and result at the speed of the memory.
//! The arithmetic at the peak is what is carried out, the operations a second are those of the textbook: an algorithm that saves some has more of
//! these than its share of the peak. The greater of the two times says what bounds it, whether or not it comes near. A step whose numbers are in a cache can be faster than the second.

use percept_engine::{Machine, Work};
use serde::Serialize;

/// What bounds a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The arithmetic of the processor.
    Compute,
    /// The speed of the memory.
    Memory,
}

impl Bound {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Memory => "memory",
        }
    }
}

/// A step of a plan, or all of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// The node of the graph; empty for all of a kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The operator and what tells it apart, such as `Conv 3x3 depthwise`.
    pub kind: String,
    /// Steps of this kind; 1 for a step.
    pub steps: usize,
    /// Median time in milliseconds.
    pub ms: f64,
    /// Its share of the sum of all medians, 0 to 1.
    pub share: f64,
    /// Billions of floating-point operations a second.
    pub gflops: f64,
    /// The operations carried out, as a share of the machine's measured peak.
    pub peak_fraction: f64,
    /// Billions of bytes a second.
    pub gb_per_second: f64,
    /// What bounds it; nothing if neither arithmetic nor traffic is known.
    pub bound: Option<Bound>,
    /// The least time in milliseconds that the machine would need.
    pub limit_ms: f64,
    /// Floating-point operations.
    pub flops: u64,
    /// Those that are carried out.
    pub executed: u64,
    /// Bytes of operands and weights.
    pub bytes_read: u64,
    /// Bytes of the result.
    pub bytes_written: u64,
}

/// Where the time of a run goes.
#[derive(Debug, Serialize)]
pub struct Profile {
    /// What the machine does at most, in billions of floating-point operations a second.
    pub peak_gflops: f64,
    /// Billions of bytes a second that can be read.
    pub read_gb_per_second: f64,
    /// Billions of bytes a second that can be written.
    pub write_gb_per_second: f64,
    /// The steps, the longest first.
    pub steps: Vec<Row>,
    /// The kinds of steps, the longest first.
    pub kinds: Vec<Row>,
}

impl Profile {
    /// A profile of steps from the seconds of each in some runs, and the seconds of those runs.
    pub(super) fn new(machine: &Machine, mut work: Vec<Work>, mut seconds: Vec<Vec<f64>>, runs: &[f64]) -> Self {
        // Copies of gradients, checks of arguments, and what else is not a step.
        let rest = |(i, run): (usize, &f64)| run - seconds.iter().filter_map(|times| times.get(i)).sum::<f64>();
        let kept = seconds.first().map_or(0, Vec::len);
        let rest: Vec<f64> = runs.iter().take(kept).enumerate().map(rest).collect();
        seconds.push(rest);
        let (node, kind) = ("between the steps".into(), "Other".into());
        work.push(Work { node, kind, flops: 0, executed: 0, bytes_read: 0, bytes_written: 0 });
        let row = |(work, times): (Work, &mut Vec<f64>)| Row {
            name: work.node,
            kind: work.kind,
            steps: 1,
            ms: 1e3 * crate::evaluate::quantile(times, 0.5).max(0.0),
            flops: work.flops,
            executed: work.executed,
            bytes_read: work.bytes_read,
            bytes_written: work.bytes_written,
            ..Row::default()
        };
        let mut steps: Vec<Row> = work.into_iter().zip(&mut seconds).map(row).collect();
        let mut kinds: Vec<Row> = Vec::new();
        for step in &steps {
            match kinds.iter_mut().find(|kind| kind.kind == step.kind) {
                Some(kind) => kind.add(step),
                None => kinds.push(Row { name: String::new(), ..step.clone() }),
            }
        }
        let total = steps.iter().map(|row| row.ms).sum();
        for rows in [&mut steps, &mut kinds] {
            rows.iter_mut().for_each(|row| row.judge(machine, total));
            rows.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        }
        let Machine { gflops, read_gb, write_gb } = *machine;
        Self { peak_gflops: gflops, read_gb_per_second: read_gb, write_gb_per_second: write_gb, steps, kinds }
    }
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.steps += 1;
        self.ms += other.ms;
        self.flops += other.flops;
        self.executed += other.executed;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
    }

    /// Fills in what follows from time, arithmetic and traffic.
    fn judge(&mut self, machine: &Machine, total_ms: f64) {
        let per_second = |amount: f64| if self.ms > 0.0 { amount / self.ms / 1e6 } else { 0.0 };
        let (read, written) = (self.bytes_read as f64, self.bytes_written as f64);
        let arithmetic = self.executed as f64 / machine.gflops / 1e6;
        let traffic = (read / machine.read_gb + written / machine.write_gb) / 1e6;
        self.gflops = per_second(self.flops as f64);
        self.gb_per_second = per_second(read + written);
        self.peak_fraction = per_second(self.executed as f64) / machine.gflops;
        self.share = if total_ms > 0.0 { self.ms / total_ms } else { 0.0 };
        self.limit_ms = arithmetic.max(traffic);
        self.bound = match self.limit_ms > 0.0 {
            true if arithmetic >= traffic => Some(Bound::Compute),
            true => Some(Bound::Memory),
            false => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(node: &str, kind: &str, flops: u64, bytes_read: u64, bytes_written: u64) -> Work {
        Work { node: node.into(), kind: kind.into(), flops, executed: flops, bytes_read, bytes_written }
    }

    #[test]
    fn rows_are_sorted_and_held_against_the_machine() {
        let machine = Machine { gflops: 100.0, read_gb: 20.0, write_gb: 10.0 };
        let work = vec![
            work("a", "Conv 1x1", 50_000_000, 4_000_000, 1_000_000),
            work("b", "Add", 1_000_000, 8_000_000, 4_000_000),
            work("c", "Conv 1x1", 50_000_000, 4_000_000, 1_000_000),
            work("d", "Concat moves", 0, 0, 0),
        ];
        let seconds = vec![vec![1e-3, 2e-3, 9.0], vec![4e-3; 3], vec![2e-3; 3], vec![0.0; 3]];
        let profile = Profile::new(&machine, work, seconds, &[9e-3, 10e-3, 10.0, 77.0]);
        let names: Vec<_> = profile.steps.iter().map(|row| (row.name.as_str(), row.ms.round())).collect();
        assert_eq!(names, [("b", 4.0), ("a", 2.0), ("c", 2.0), ("between the steps", 2.0), ("d", 0.0)]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a}, not {b}");
        let [b, a, ..] = &profile.steps[..] else { panic!() };
        // 50 MFLOP in 2 ms; at best 0.5 ms of arithmetic against 0.2 + 0.1 of traffic.
        [(a.gflops, 25.0), (a.peak_fraction, 0.25), (a.share, 0.2), (a.limit_ms, 0.5), (a.gb_per_second, 2.5)]
            .into_iter()
            .for_each(|(x, y)| close(x, y));
        assert_eq!((a.bound, b.bound, profile.steps[3].bound), (Some(Bound::Compute), Some(Bound::Memory), None));
        close(b.limit_ms, 0.8);
        let kinds: Vec<_> = profile.kinds.iter().map(|row| (row.kind.as_str(), row.steps)).collect();
        assert_eq!(kinds, [("Conv 1x1", 2), ("Add", 1), ("Other", 1), ("Concat moves", 1)]);
        close(profile.kinds[0].ms, 4.0);
        close(profile.kinds[0].gflops, 25.0);
        close(profile.steps.iter().map(|row| row.share).sum(), 1.0);
    }

    #[test]
    fn nothing_that_was_timed_is_no_profile() {
        let machine = Machine { gflops: 100.0, read_gb: 20.0, write_gb: 10.0 };
        let profile = Profile::new(&machine, vec![], vec![], &[1e-3]);
        assert_eq!((profile.steps.len(), profile.steps[0].share), (1, 0.0));
    }
}
