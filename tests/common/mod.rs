//! What several test crates share. It builds for wasm32 too.
#![allow(dead_code, reason = "each test crate uses a part")]

pub mod candle_forward;
pub mod hostile;

use std::collections::BTreeMap;

use husky::{
    Spec, Weights,
    spec::{Activation, Architecture, Input, Layer, Padding, Provenance, Resize, Step},
};

/// A model of `layers` with an input of `size` pixels and labels `a`, `b`, ….
pub fn spec(size: u32, labels: usize, layers: Vec<Layer>) -> Spec {
    Spec {
        name: "test".to_owned(),
        input: Input { size, mean: [0.0; 3], scale: [1.0 / 255.0; 3], resize: Resize::StretchTriangle },
        architecture: Architecture(layers),
        labels: (0..labels).map(|i| format!("label {i}")).collect(),
        temperature: 1.0,
        threshold: 0.5,
        unsure: None,
        provenance: Provenance::default(),
    }
}

/// A convolution with a ReLU.
pub fn conv(filters: u32, kernel: u32) -> Layer {
    Layer::Conv2d { filters, kernel, stride: 1, padding: Padding::Valid, activation: Activation::Relu }
}

/// A dense layer; the last one of a model is linear.
pub fn dense(units: u32, activation: Activation) -> Layer {
    Layer::Dense { units, activation }
}

/// The article's network.
pub fn classic() -> Spec {
    let dropout = Layer::Dropout { percent: 40 };
    let mut layers = Vec::new();
    for filters in [32, 64, 128] {
        layers.extend([conv(filters, 3), Layer::MaxPool2d, dropout.clone()]);
    }
    layers.extend([Layer::Flatten, dense(128, Activation::Relu), dense(1, Activation::Linear)]);
    spec(128, 2, layers)
}

/// A fixed sequence of values in -1..1 that look random (xorshift).
pub fn noise(seed: u32) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    })
}

/// Weights that look random, scaled so that values keep their size from layer to layer.
pub fn weights(spec: &Spec, seed: u32) -> Weights {
    let mut noise = noise(seed);
    let mut tensors = BTreeMap::new();
    for p in spec.steps().unwrap().iter().flat_map(Step::parameters) {
        let fan_in = p.shape.iter().product::<usize>() / p.bias_len();
        let scale = (6.0 / fan_in as f32).sqrt();
        let count = p.shape.iter().product();
        tensors.insert(p.weight_name(), noise.by_ref().take(count).map(|x| x * scale).collect());
        tensors.insert(p.bias_name(), noise.by_ref().take(p.bias_len()).map(|x| x * 0.1).collect());
    }
    Weights::new(spec, tensors).unwrap()
}
