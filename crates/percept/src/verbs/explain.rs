//! `percept explain`: what is said about heat maps.

use super::{json, open};
use crate::args::{self, Format};
use anyhow::Result;
use percept_jobs::Settings;
use percept_jobs::explain::{self, Explanation, Map, Method};
use percept_jobs::format::percent;
use std::path::PathBuf;

pub(super) fn run(args: args::Explain, settings: &Settings) -> Result<()> {
    let mut classifier = open(&args.model, settings)?;
    let method = match args.method {
        args::Method::GradCam => Method::GradCam,
        args::Method::Occlusion => Method::Occlusion,
        args::Method::Both => Method::Both,
    };
    let as_json = args.output.format == Format::Json;
    let out = args.out.or((!as_json).then(|| PathBuf::from("heat.png")));
    let class = args.class.as_deref();
    let explanation = explain::explain(&mut classifier, &args.picture, class, method, out.as_deref(), settings)?;
    if as_json {
        return json(&explanation);
    }
    tell(&explanation);
    if let Some(out) = out {
        let panels = [("Grad-CAM", &explanation.grad_cam), ("occlusion", &explanation.occlusion)];
        let panels: Vec<_> = panels.iter().filter(|(_, map)| map.is_some()).map(|(name, _)| *name).collect();
        say!("{}: the photo, {}", out.display(), panels.join(", "));
    }
    Ok(())
}

fn tell(explanation: &Explanation) {
    let Explanation { answer, explained, size: [width, height], .. } = explanation;
    let probability = |answer: &percept_jobs::predict::Answer| percent(f64::from(answer.probability));
    say!("{}: {} {}", explanation.picture, probability(answer), answer.label);
    if explained.label != answer.label {
        say!("  explained  {}, {}", explained.label, probability(explained));
    }
    let place = |map: &Map| match map.maximum.value > 0.0 {
        true => format!("most at {:.0}, {:.0} of {width} × {height} pixels", map.maximum.x, map.maximum.y),
        false => "nothing in the picture speaks for it".into(),
    };
    if let Some(map) = &explanation.grad_cam {
        say!("  Grad-CAM   {}", place(map));
    }
    if let Some(note) = &explanation.note {
        say!("  Grad-CAM   left out: {note}");
    }
    if let Some(map) = &explanation.occlusion {
        let covered = explanation.covered.filter(|_| map.maximum.value > 0.0);
        let covered = covered.map(|left| format!("; {} is left when that is covered", percent(f64::from(left))));
        say!("  occlusion  {}{}", place(map), covered.unwrap_or_default());
    }
}
