//! The profile as one HTML file that needs nothing else, in the style of the report.

use super::{Bench, Profile, chart};
use crate::{Result, report};
use minijinja::context;
use minijinja::value::Serde;

/// The page.
pub(super) fn html(bench: &Bench, profile: &Profile) -> Result<String> {
    let context = context! {
        bench => Serde(bench),
        bars => chart::bars(&profile.steps),
        kind_bars => chart::bars(&profile.kinds),
        roofline => chart::roofline(profile),
    };
    report::render("page.html", include_str!("page.html"), context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_engine::{Machine, Work};

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let nasty = "<script>alert(1)</script>\"&";
        let work = Work {
            node: nasty.into(),
            kind: "Conv 1x1".into(),
            flops: 10,
            executed: 10,
            bytes_read: 4,
            bytes_written: 4,
        };
        let machine = Machine { gflops: 100.0, read_gb: 20.0, write_gb: 10.0 };
        let bench = Bench {
            model: nasty.into(),
            train: true,
            batch: 32,
            threads: 2,
            isa: "scalar",
            runs: 5,
            images_per_second: 1.5,
            latency_ms_p50: 2.0,
            latency_ms_p99: 3.0,
            gflops: 1.0,
            peak_memory_bytes: 1,
            difference: Some(1e-7),
            profile: Some(Profile::new(&machine, vec![work], vec![vec![1e-3]], &[2e-3])),
        };
        let page = html(&bench, bench.profile.as_ref().unwrap()).unwrap();
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
        assert!(page.contains("compute") && page.contains("between the steps"));
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing is loaded from elsewhere");
    }
}
