//! A model whose answers are known.
#![allow(dead_code, reason = "each test crate uses a part")]

use std::collections::BTreeMap;

use husky::{
    Spec, Weights,
    spec::{Activation, Architecture, Input, Layer, Provenance, Resize},
    weights::{self, Precision},
};

/// A model file that answers by brightness: bright pictures are `husky`, dark ones `nothusky`. So every answer is known.
pub fn bright_model(name: &str) -> Vec<u8> {
    logistic(name, 4.0)
}

/// The opposite.
pub fn dark_model(name: &str) -> Vec<u8> {
    logistic(name, -4.0)
}

/// One dense unit on 8x8 pixels, whose logit is the mean pixel, from -1 to 1, times `slope`.
fn logistic(name: &str, slope: f32) -> Vec<u8> {
    let size = 8;
    let spec = Spec {
        name: name.to_owned(),
        input: Input { size, mean: [127.5; 3], scale: [1.0 / 127.5; 3], resize: Resize::StretchTriangle },
        architecture: Architecture(vec![Layer::Flatten, Layer::Dense { units: 1, activation: Activation::Linear }]),
        labels: vec!["husky".to_owned(), "nothusky".to_owned()],
        temperature: 1.0,
        threshold: 0.5,
        unsure: Some([0.4, 0.6]),
        provenance: Provenance {
            version: "0.1.0".to_owned(),
            date: Some("2026-11-22".to_owned()),
            ..Provenance::default()
        },
    };
    let values = (size * size * 3) as usize;
    let tensors = BTreeMap::from([
        ("dense_1.weight".to_owned(), vec![slope / values as f32; values]),
        ("dense_1.bias".to_owned(), vec![0.0]),
    ]);
    let weights = Weights::new(&spec, tensors).unwrap();
    weights::write(&spec, &weights, Precision::F32).unwrap()
}
