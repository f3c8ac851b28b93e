//! Retraining a whole network needs the pretrained weights: run with `-- --ignored` after `percept backbone pull`.

#![allow(clippy::unwrap_used)]

use percept_jobs::Settings;
use percept_jobs::finetune::{Recipe, retrain};
use percept_photos::augment::Augment;
use percept_photos::synthesise::{draw, products};

#[test]
#[ignore = "needs the pretrained weights"]
fn a_retrained_network_is_the_same_at_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for (class, product) in products().iter().take(3).enumerate() {
        let photos = folder.path().join(class.to_string());
        std::fs::create_dir(&photos).unwrap();
        for seed in 0..6 {
            draw(product, 96, seed).save(photos.join(format!("{seed}.png"))).unwrap();
        }
    }
    let recipe = Recipe { epochs: 2, batch: 6, ..Recipe::default() };
    let mut notes = Vec::new();
    let mut models = Vec::new();
    for threads in [1, 3] {
        let settings = Settings::detect().unwrap().with_threads(threads).unwrap();
        let mut events = |event| notes.push(event);
        let augment = Augment::default();
        let photos = folder.path();
        let model = retrain("efficientnet-lite0", photos, &recipe, &augment, 5, &settings, &mut events).unwrap();
        models.push(model.to_bytes().unwrap());
    }
    assert!(models[0] == models[1], "the models differ");
    assert!(notes.len() > 8, "{notes:?}");
}
