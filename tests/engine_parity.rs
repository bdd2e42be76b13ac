//! The engine computes what candle's own operations compute. `tests/browser.rs` runs the same comparison in a browser.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used)]

mod common;

use common::candle_forward;

#[test]
fn the_engine_equals_candle_on_random_weights() {
    candle_forward::compare_all();
}

#[test]
fn the_engine_equals_candle_on_the_shipped_models() {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut compared = 0;
    for entry in std::fs::read_dir(models).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let (spec, weights) = husky::weights::read(&std::fs::read(&path).unwrap()).unwrap();
            candle_forward::compare(&path.display().to_string(), &spec, &weights);
            compared += 1;
        }
    }
    assert!(compared > 0, "no model is there");
}

/// What Winograd's rounding does to answers about real photos, which may not lie in the repository.
/// `HUSKY_PHOTOS=FOLDER cargo test --test engine_parity -- --ignored --nocapture` takes the first 500 below FOLDER.
#[test]
#[ignore = "needs a folder of photos in HUSKY_PHOTOS"]
fn the_engine_equals_candle_on_photos() {
    let folder = std::env::var("HUSKY_PHOTOS").expect("HUSKY_PHOTOS names a folder of photos");
    let mut photos: Vec<_> =
        walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path()).collect();
    photos.retain(|path| path.is_file());
    photos.sort();
    let model = include_bytes!("../models/classic.safetensors");
    let (spec, weights) = husky::weights::read(model).unwrap();
    let network = husky::engine::Network::new(&spec.steps().unwrap(), &mut |name| weights.get(name).to_vec().into());
    let (mut count, mut worst) = (0, 0.0_f32);
    for path in photos.iter().take(500) {
        let photo = husky::decode::decode(&std::fs::read(path).unwrap(), spec.input.size).unwrap();
        let input = spec.input.normalize(husky::resize::resize(&photo, spec.input.size).rgb());
        let candle = candle_forward::forward(&spec, &weights, &input).unwrap();
        let [ours, candles] = [network.forward(&input), candle]
            .map(|logits| husky::Verdict::from_logits(&spec, &logits).unwrap().probabilities[0]);
        worst = worst.max((ours - candles).abs());
        count += 1;
    }
    println!("{count} photos, largest difference of a probability {worst:e}");
    assert!(count > 0 && worst <= 1e-4);
}
