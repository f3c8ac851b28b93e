//! Retrains EfficientNet-Lite0 with the recipe that `bench/training/README.md` compares with PyTorch: `retrain PHOTOS MODEL.onnx [EPOCHS]`.

use percept_graph::write_file;
use percept_jobs::Settings;
use percept_jobs::event::Event;
use percept_jobs::finetune::{Recipe, retrain};
use percept_photos::augment::Augment;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (photos, out, epochs) = match &arguments[..] {
        [photos, out] => (photos, out, 8),
        [photos, out, epochs] => (photos, out, epochs.parse()?),
        _ => return Err("usage: retrain PHOTOS MODEL.onnx [EPOCHS]".into()),
    };
    let recipe = Recipe { epochs, ..Recipe::default() };
    let mut events = |event| match event {
        Event::Note { text } | Event::Warning { text } => eprintln!("{text}"),
        Event::PhaseFinished { seconds, summary } => eprintln!("{summary} in {seconds:.0} s"),
        _ => {}
    };
    let settings = Settings::detect()?;
    let model =
        retrain("efficientnet-lite0", photos.as_ref(), &recipe, &Augment::default(), 0, &settings, &mut events)?;
    write_file(Path::new(out), &model.to_bytes()?)?;
    Ok(())
}
