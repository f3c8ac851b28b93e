//! The findings as one HTML file that needs nothing else: copies side by side, suspects beside an example of the class suggested.

use super::{Checked, Findings};
use crate::report::{self, Picture};
use crate::{Result, parallel};
use image::imageops;
use minijinja::context;
use minijinja::value::Serde;
use percept_engine::Settings;
use percept_photos::decode;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

/// Groups of copies and suspects that the page shows.
const SHOWN: (usize, usize) = (60, 150);
/// Pictures of a group that the page shows.
const OF_GROUP: usize = 6;
/// Files that the page lists.
const LISTED: usize = 200;
/// Longer side of a picture in pixels.
const SIDE: u32 = 150;

/// Copies, and what is to be said about them.
#[derive(Serialize)]
struct Group {
    kind: &'static str,
    believed: Option<String>,
    pictures: Vec<Shown>,
    more: usize,
}

/// A picture with its label and path.
#[derive(Serialize)]
struct Shown {
    picture: Picture,
    label: String,
    path: String,
}

/// A suspect beside an example of what it is probably.
#[derive(Serialize)]
struct Compared {
    suspect: Shown,
    example: Option<Shown>,
    suggested: String,
    score: f64,
}

/// The page.
pub(super) fn html(checked: &Checked, findings: &Findings, settings: &Settings) -> Result<String> {
    let groups = groups(checked);
    let suspects: Vec<(usize, usize, f32)> = checked
        .judged
        .iter()
        .flat_map(|judged| &judged.suspects)
        .take(SHOWN.1)
        .map(|s| (s.row, s.suggested, s.score))
        .collect();
    let examples: HashMap<usize, usize> = match &checked.judged {
        Some(judged) => suspects.iter().filter_map(|s| Some((s.1, judged.example(&checked.data, s.1)?))).collect(),
        None => HashMap::new(),
    };
    let shown = groups.iter().flat_map(|group| group.iter().take(OF_GROUP)).copied();
    let all: BTreeSet<usize> = shown.chain(suspects.iter().map(|s| s.0)).chain(examples.values().copied()).collect();
    let all: Vec<usize> = all.into_iter().collect();
    let small = parallel::map(&settings.pool, &all, |&i, _| small(checked, i));
    let small: HashMap<usize, Picture> = all.into_iter().zip(small).collect();
    let show = |i: usize| Shown {
        picture: small.get(&i).cloned().unwrap_or_default(),
        label: checked.label(i).into(),
        path: checked.picture(i),
    };
    let groups: Vec<Group> = groups
        .iter()
        .map(|copies| Group {
            kind: kind(checked, copies),
            believed: checked.believed(copies).map(|class| checked.data.classes[class].clone()),
            pictures: copies.iter().take(OF_GROUP).map(|&i| show(i)).collect(),
            more: copies.len().saturating_sub(OF_GROUP),
        })
        .collect();
    let compared: Vec<Compared> = suspects
        .iter()
        .map(|&(position, suggested, score)| Compared {
            suspect: show(position),
            example: examples.get(&suggested).map(|&i| show(i)),
            suggested: checked.data.classes[suggested].clone(),
            score: f64::from(score),
        })
        .collect();
    let context = context! {
        title => checked.root.file_name().unwrap_or(checked.root.as_os_str()).to_string_lossy(),
        checked => Serde(findings),
        groups => Serde(groups),
        suspects => Serde(compared),
        listed => LISTED,
    };
    report::render("check.html", include_str!("check.html"), context)
}

/// The groups that are shown: contradictions first, then leaks.
fn groups(checked: &Checked) -> Vec<Vec<usize>> {
    let mut groups = checked.copies.clone();
    groups.sort_by_key(|copies| (!checked.contradicts(copies), !checked.leaks(copies)));
    groups.truncate(SHOWN.0);
    groups
}

fn kind(checked: &Checked, copies: &[usize]) -> &'static str {
    if checked.contradicts(copies) {
        "in two classes"
    } else if checked.leaks(copies) {
        "learned from and held out"
    } else {
        "copies"
    }
}

/// A picture as a small JPEG; nothing if it cannot be read.
fn small(checked: &Checked, position: usize) -> Picture {
    let Ok(picture) = decode::open(&checked.data.pictures[position].path) else { return Picture::default() };
    let longer = picture.width().max(picture.height()).max(1);
    let side = |length: u32| (u64::from(length) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
    Picture::new(&imageops::thumbnail(&picture, side(picture.width()), side(picture.height())))
}
