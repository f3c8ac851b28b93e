//! `percept bench`: what was measured, as lines and tables.

use super::{Events, json};
use crate::args::{self, Format};
use anyhow::Result;
use percept_jobs::Settings;
use percept_jobs::bench::{Bench, Bound, Options, Profile, Row, Subject, bench};
use percept_jobs::format::{bytes, count, percent};

/// Steps that the table names; the page and JSON have all.
const LISTED: usize = 40;

pub(super) fn run(args: args::Bench, settings: &Settings, events: Events<'_>) -> Result<()> {
    let subject = match (&args.model, &args.network) {
        (Some(model), _) => Subject::read(model)?,
        (None, network) => Subject::network(network.as_deref().unwrap_or_default(), args.classes as usize)?,
    };
    let options = Options {
        batch: args.batch.map(|batch| batch as usize),
        seconds: args.time.as_secs_f64(),
        train: args.train,
        check: args.check,
        profile: args.profile,
        page: args.page,
    };
    let measured = bench(&subject, &options, settings, events)?;
    if args.output.format == Format::Json {
        return json(&measured);
    }
    say_measured(&measured);
    if let Some(profile) = &measured.profile {
        say_profile(profile);
    }
    if let Some(page) = &options.page {
        say!("\nThe page: {}", page.display());
    }
    Ok(())
}

fn say_measured(bench: &Bench) {
    let (verb, run) = if bench.train { ("learned from ", "a step") } else { ("", "a run") };
    say!("{:.1} pictures a second, {verb}{} at once", bench.images_per_second, bench.batch);
    say!("  {run:<11}  {:.3} ms (median), {:.3} ms (99th percentile)", bench.latency_ms_p50, bench.latency_ms_p99);
    say!("  arithmetic   {:.1} GFLOP/s", bench.gflops);
    say!("  memory       {} at most", bytes(bench.peak_memory_bytes));
    if let Some(difference) = bench.difference {
        say!("  check        differs from the reference by {difference:.1e} of the largest number");
    }
    say!("  measured on  {} threads, {}, {} runs", bench.threads, bench.isa, count(bench.runs as u64));
}

fn say_profile(profile: &Profile) {
    let Profile { peak_gflops, read_gb_per_second: read, write_gb_per_second: write, steps, kinds } = profile;
    say!("  the machine  {peak_gflops:.0} GFLOP/s at most; memory: {read:.1} GB/s read, {write:.1} GB/s written");
    table("step", &steps[..steps.len().min(LISTED)]);
    if let Some(rest) = steps.get(LISTED..).filter(|rest| !rest.is_empty()) {
        let share = rest.iter().map(|row| row.share).sum();
        say!(
            "… and {} more with {} of the time: see --page or --format json",
            count(rest.len() as u64),
            percent(share)
        );
    }
    table("kind", kinds);
}

fn table(what: &str, rows: &[Row]) {
    say!("\n{:>10} {:>7} {:>8} {:>8} {:>7}  {:<8} {what}", "ms", "share", "GFLOP/s", "of peak", "GB/s", "bound by");
    for row in rows {
        let name = match &row.name[..] {
            "" => format!("{} ({})", row.kind, row.steps),
            name => format!("{}  {name}", row.kind),
        };
        say!(
            "{:>10.3} {:>7} {:>8.1} {:>8} {:>7.1}  {:<8} {name}",
            row.ms,
            percent(row.share),
            row.gflops,
            percent(row.peak_fraction),
            row.gb_per_second,
            row.bound.map_or("–", Bound::name)
        );
    }
}
