//! Photos as a user gives them: a folder, a table or an archive, which is unpacked into the cache first.

use crate::event::{Events, Phase, Timing};
use crate::known::NONE;
use crate::{Error, Result, format};
use percept_models::cache;
use percept_photos::archive;
use percept_photos::scan::{self, DataSet, Listing, Picture};
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

/// Adds pictures of anything else to a data set, as the class [`NONE`].
///
/// # Errors
/// No picture there.
pub(crate) fn add_unknown(data: &mut DataSet, path: &Path) -> Result<()> {
    let (listing, _) = pictures(path)?;
    if listing.pictures.is_empty() {
        return Err(Error::Setting(format!("{} has no picture that can be used: leave out --unknown", path.display())));
    }
    let class = data.classes.iter().position(|name| name == NONE).unwrap_or(data.classes.len());
    if class == data.classes.len() {
        data.classes.push(NONE.into());
    }
    let first = data.pictures.len();
    let added = listing.pictures.into_iter().zip(first..);
    data.pictures.extend(added.map(|(path, group)| Picture { path, class, part: None, group }));
    data.skipped.extend(listing.skipped);
    Ok(())
}

/// Takes the class [`NONE`] and its pictures out of a data set; gives back the pictures, as a data set of their own.
pub(crate) fn take_unknown(data: &mut DataSet) -> DataSet {
    let classes = vec![NONE.into()];
    let mut unknown = DataSet { root: data.root.clone(), classes, pictures: Vec::new(), skipped: Vec::new() };
    let Some(none) = data.classes.iter().position(|name| name == NONE) else { return unknown };
    data.classes.remove(none);
    let mut places = Vec::with_capacity(data.pictures.len());
    for mut picture in std::mem::take(&mut data.pictures) {
        let (to, class) = match picture.class == none {
            true => (&mut unknown.pictures, 0),
            false => (&mut data.pictures, picture.class - usize::from(picture.class > none)),
        };
        // A group begins with its first picture, of the same class.
        places.push(to.len());
        picture.group = places[picture.group];
        to.push(Picture { class, ..picture });
    }
    unknown
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_pictures_are_no_class() {
        let picture = |class, group| Picture { path: format!("{class}/{group}").into(), class, part: None, group };
        let pictures = vec![picture(0, 0), picture(1, 1), picture(1, 1), picture(2, 3), picture(2, 3)];
        let classes = ["a", NONE, "b"].map(String::from).to_vec();
        let mut data = DataSet { root: "".into(), classes, pictures, skipped: vec![] };
        let unknown = take_unknown(&mut data);
        let of = |data: &DataSet| data.pictures.iter().map(|p| (p.class, p.group)).collect::<Vec<_>>();
        assert_eq!((data.classes.join(" "), of(&data)), ("a b".into(), vec![(0, 0), (1, 1), (1, 1)]));
        assert_eq!(of(&unknown), [(0, 0), (0, 0)]);
        assert!(take_unknown(&mut data).pictures.is_empty() && data.pictures.len() == 3);
    }
}
