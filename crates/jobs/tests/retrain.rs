//! Retraining a pretrained network needs its weights: run with `-- --ignored` after `percept backbone pull`.

#![allow(clippy::unwrap_used)]

use percept_jobs::finetune::{Lower, Recipe};
use percept_jobs::{Config, Settings, train};
use percept_photos::synthesise::{draw, products};

#[test]
#[ignore = "needs the pretrained weights"]
fn a_retrained_network_is_the_same_at_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    for (class, product) in products().iter().take(3).enumerate() {
        let class = photos.join(class.to_string());
        std::fs::create_dir_all(&class).unwrap();
        for seed in 0..8 {
            draw(product, 96, seed).save(class.join(format!("{seed}.png"))).unwrap();
        }
    }
    let top = Lower { up_to: "Add_99_output".into(), views: 2 };
    let stages = vec![
        Recipe { epochs: 3, batch: 6, mixup: 0.2, frozen: Some(top), ..Recipe::default() },
        Recipe { epochs: 2, batch: 6, ..Recipe::default() },
    ];
    let config = Config { photos, views: Some(0), stages: Some(stages), refit: true, seed: 5, ..Config::default() };
    let mut models = Vec::new();
    for threads in [1, 3] {
        let settings = Settings::detect().unwrap().with_threads(threads).unwrap();
        let out = folder.path().join(format!("run{threads}"));
        let config = Config { time_limit: None, ..config.clone() };
        train::train(config, &out, "", &settings, &mut |_| ()).unwrap();
        models.push(std::fs::read(out.join("model.onnx")).unwrap());
    }
    assert!(models[0] == models[1], "the models differ");
}
