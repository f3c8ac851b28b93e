//! Photos as a user gives them: a folder, a table or an archive, which is unpacked into the cache first.

use crate::event::{Events, Phase, Timing};
use crate::{Result, format};
use percept_models::cache;
use percept_photos::archive;
use percept_photos::scan::{self, DataSet, Listing};
use std::path::{Path, PathBuf};

/// Finds labelled photos; gives back also how long that took.
pub(crate) fn scan(root: &Path, events: Events<'_>) -> Result<(DataSet, Vec<Timing>)> {
    read(root, scan::scan_in, events)
}

/// Finds labelled photos, copies of each other among them.
pub(crate) fn survey(root: &Path, events: Events<'_>) -> Result<DataSet> {
    Ok(read(root, scan::survey_in, events)?.0)
}

/// What finds photos in a root, given where archives are unpacked.
type Scan = fn(&Path, &Path) -> std::result::Result<DataSet, percept_photos::Error>;

fn read(root: &Path, scan: Scan, events: Events<'_>) -> Result<(DataSet, Vec<Timing>)> {
    let cache = cache_for(root)?;
    let mut timings = Vec::from_iter(unpack(root, &cache, &mut *events)?);
    let phase = Phase::start(events, "Reading photos", None, "photos");
    let data = scan(root, &cache)?;
    timings.push(phase.finish(summary(&data)));
    Ok((data, timings))
}

/// Lists the pictures that a file, a folder or an archive stands for, each with its name for the user.
pub(crate) fn pictures(path: &Path) -> Result<(Listing, Vec<String>)> {
    let Some(folder) = archive::unpack(path, &cache_for(path)?, &mut |_| ())? else {
        let listing = scan::pictures(path)?;
        let names = listing.pictures.iter().map(|picture| picture.display().to_string()).collect();
        return Ok((listing, names));
    };
    let mut listing = scan::pictures(&folder)?;
    let name = |picture: &PathBuf| path.join(picture.strip_prefix(&folder).unwrap_or(picture));
    let names = listing.pictures.iter().map(|picture| name(picture).display().to_string()).collect();
    listing.skipped.iter_mut().for_each(|skipped| skipped.path = name(&skipped.path));
    listing.skipped.extend(archive::left_out(&folder, path));
    Ok((listing, names))
}

/// Where photos are unpacked; nowhere if they are not packed, so that those need no cache.
fn cache_for(root: &Path) -> Result<PathBuf> {
    Ok(if archive::is_packed(root)? { cache::folder()?.join("unpacked") } else { PathBuf::new() })
}

/// Unpacks an archive that is not unpacked yet; gives back how long that took.
fn unpack(root: &Path, cache: &Path, events: Events<'_>) -> Result<Option<Timing>> {
    let (mut idle, mut phase, mut count) = (Some(events), None, 0);
    archive::unpack(root, cache, &mut |files| {
        count = files;
        if let Some(events) = idle.take() {
            phase = Some(Phase::start(events, "Unpacking photos", None, "files"));
        }
        if let Some(phase) = &mut phase {
            phase.progress(files);
        }
    })?;
    Ok(phase.map(|phase| phase.finish(format!("{} files", format::count(count)))))
}

fn summary(data: &DataSet) -> String {
    let skipped = match data.skipped.len() {
        0 => String::new(),
        n => format!(", {} left out", format::count(n as u64)),
    };
    format!("{} of {} classes{skipped}", format::count(data.pictures.len() as u64), data.classes.len())
}
