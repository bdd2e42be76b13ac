//! The engine computes what candle's own operations compute. `tests/browser.rs` runs the same comparison in a browser.
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
