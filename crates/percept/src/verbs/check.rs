//! `percept check`: what was found as a table, and what a plan did.

use super::{Events, json};
use crate::args::{self, Format};
use anyhow::Result;
use percept_jobs::Settings;
use percept_jobs::check::fix::{Fixed, fix};
use percept_jobs::check::{Copies, Findings, check};
use percept_jobs::format::{count, percent};

/// Findings of each kind that are printed one by one.
const LISTED: usize = 10;

pub(super) fn run(args: args::Check, settings: &Settings, events: Events<'_>) -> Result<()> {
    if let Some(plan) = &args.fix {
        let fixed = fix(plan, events)?;
        if args.output.format == Format::Json {
            return json(&fixed);
        }
        say_fixed(&fixed);
        return Ok(());
    }
    let (photos, backbone) = (args.photos.unwrap_or_default(), (!args.pixels_only).then_some(&*args.backbone));
    let findings = check(&photos, args.out.as_deref(), backbone, settings, events)?;
    if args.output.format == Format::Json {
        return json(&findings);
    }
    say_found(&findings);
    Ok(())
}

fn say_found(found: &Findings) {
    list("Cannot be used", &found.unreadable, |file| format!("{}: {}", file.picture, file.reason));
    list("In two classes", &found.contradictions, copies);
    list("Learned from and held out", &found.leaks, copies);
    list("Perhaps filed wrongly, worst first", &found.suspects, |suspect| {
        format!("{}: looks like {} (score {:.4})", suspect.picture, suspect.suggested, suspect.score)
    });
    list("Hard to tell apart", &found.alike, |pair| {
        format!("{} and {}: {} of {}", pair.labels[0], pair.labels[1], percent(pair.told_apart), pair.pictures)
    });
    say!("\n{} pictures of {} classes", count(found.pictures as u64), found.classes.len());
    for finding in &found.findings {
        say!("{:>8}  {}", count(finding.count as u64), finding.what);
        say!("          {}", finding.advice);
    }
    if found.findings.is_empty() {
        say!("  nothing was found that is wrong with them");
    }
    if !found.labels_judged {
        say!("  whether labels are right was not judged");
    }
    say!("  report  {}", found.report.display());
    match &found.plan {
        Some(plan) => {
            say!("  plan    {}", plan.display());
            say!("Next: look at the report, take out of the plan what you do not agree with, then");
            say!("percept check --fix {}", plan.display());
        }
        None => say!("No plan is made for labels in a table or pictures in an archive: correct them there."),
    }
}

fn list<T>(title: &str, found: &[T], line: impl Fn(&T) -> String) {
    if found.is_empty() {
        return;
    }
    say!("\n{title}:");
    found.iter().take(LISTED).for_each(|one| say!("  {}", line(one)));
    if found.len() > LISTED {
        say!("  … and {} more", count((found.len() - LISTED) as u64));
    }
}

fn copies(copies: &Copies) -> String {
    let names: Vec<&str> = copies.pictures.iter().map(|picture| &*picture.picture).collect();
    let believed = copies.believed.as_ref().map_or_else(String::new, |label| format!(" (looks like {label})"));
    names.join(" = ") + &believed
}

fn say_fixed(fixed: &Fixed) {
    let Fixed { moved, excluded, restored, done_before, excluded_to, undo } = fixed;
    for (number, what) in [(moved, "moved"), (restored, "brought back"), (done_before, "done before")] {
        if *number > 0 {
            say!("{} {what}", count(*number as u64));
        }
    }
    if *excluded > 0 {
        say!("{} taken out, to {}", count(*excluded as u64), excluded_to.display());
    }
    match undo {
        Some(undo) => say!("To take it back: percept check --fix {}", undo.display()),
        None => say!("There was nothing left to do."),
    }
}
