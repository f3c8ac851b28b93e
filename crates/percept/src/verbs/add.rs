//! `percept add`: what it says.

use super::{Events, json};
use crate::args::{self, Format};
use anyhow::Result;
use percept_jobs::format::{count, duration, percent};
use percept_jobs::{Settings, add};

pub(super) fn run(args: args::Add, settings: &Settings, events: Events<'_>) -> Result<()> {
    let options = add::Options { name: args.name, pictures: args.pictures, photos: args.photos, views: args.views };
    let added = add::add(&args.model, &options, &args.out, settings, events)?;
    if args.output.format == Format::Json {
        return json(&added);
    }
    for skipped in &added.skipped {
        say!("left out {}: {}", skipped.path.display(), skipped.reason);
    }
    say!("Added {} from {} pictures in {}", added.label, added.pictures, duration(added.seconds));
    let share = added.changed.len() as f64 / added.old_photos.max(1) as f64;
    say!(
        "  old answers that changed  {} of {} ({}), {} of them confident",
        added.changed.len(),
        count(added.old_photos as u64),
        percent(share),
        added.confident_changed
    );
    if let Some(right) = added.left_one_out {
        say!("  pictures named right      {right} of {}, each by a class fitted without it", added.pictures);
    }
    if let Some(known) = added.known {
        say!("  pictures taken for known  {known} of {}", added.pictures);
    }
    say!("  model   {}", added.model.display());
    say!("  report  {}", added.report.display());
    Ok(())
}
