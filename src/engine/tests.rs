use std::collections::BTreeMap;

use super::*;
use crate::spec::{Architecture, Input, Layer, Padding, Provenance, Resize};

fn spec(size: u32, layers: Vec<Layer>) -> Spec {
    Spec {
        name: "test".to_owned(),
        input: Input { size, mean: [0.0; 3], scale: [1.0; 3], resize: Resize::StretchTriangle },
        architecture: Architecture(layers),
        labels: (0..9).map(|i| i.to_string()).collect(),
        temperature: 1.0,
        threshold: 0.5,
        provenance: Provenance::default(),
    }
}

fn conv(filters: u32, kernel: u32, stride: u32, activation: Activation) -> Layer {
    Layer::Conv2d { filters, kernel, stride, padding: Padding::Same, activation }
}

fn depthwise(kernel: u32, stride: u32) -> Layer {
    Layer::DepthwiseConv2d { kernel, stride, padding: Padding::Same, activation: Activation::Relu6 }
}

/// Weights whose sums keep their size from layer to layer.
fn weights(spec: &Spec) -> Weights {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    let mut tensors = BTreeMap::new();
    for p in spec.steps().unwrap().iter().flat_map(Step::parameters) {
        let count: usize = p.shape.iter().product();
        let scale = (6.0 / (count / p.bias_len()) as f32).sqrt();
        tensors.insert(p.weight_name(), (0..count).map(|_| noise() * scale).collect());
        tensors.insert(p.bias_name(), (0..p.bias_len()).map(|_| noise() * 0.1).collect());
    }
    Weights::new(spec, tensors).unwrap()
}

/// A layer of each kernel, with what goes before it and comes after it.
fn networks(channels: u32) -> Vec<(&'static str, Vec<Layer>)> {
    let relu = Activation::Relu;
    let block = Layer::Residual { layers: vec![conv(channels, 1, 1, Activation::Linear)] };
    let layers = [
        ("conv", vec![conv(channels, 5, 1, relu)]),
        ("conv, stride 2", vec![conv(channels, 3, 2, relu)]),
        ("conv, pool", vec![conv(channels, 5, 1, relu), Layer::MaxPool2d]),
        ("Winograd", vec![conv(16, 1, 1, relu), conv(channels, 3, 1, relu)]),
        ("Winograd, pool", vec![conv(channels + 15, 1, 1, relu), conv(channels, 3, 1, relu), Layer::MaxPool2d]),
        ("depthwise 3x3", vec![depthwise(3, 1)]),
        ("depthwise 3x3, stride 2", vec![depthwise(3, 2)]),
        ("depthwise 5x5", vec![depthwise(5, 1)]),
        ("depthwise 5x5, stride 2", vec![depthwise(5, 2)]),
        ("residual", vec![block]),
        ("global average pool", vec![]),
    ];
    let stem = conv(channels, 1, 1, Activation::Linear);
    let end = [Layer::GlobalAveragePool2d, Layer::Dense { units: 9, activation: Activation::Linear }];
    layers.map(|(name, layers)| (name, [vec![stem.clone()], layers, end.to_vec()].concat())).into()
}

/// The same source without SIMD is the reference: all that may differ is how a product is rounded before it is added.
#[test]
fn simd_equals_scalar_at_every_size_and_depth() {
    // Channels go through all remainders of 4, 8 and 16 on the way.
    for (size, channels) in (2..=33).zip(1..) {
        for (name, layers) in networks(channels) {
            let spec = spec(size, layers);
            let weights = weights(&spec);
            let input: Vec<f32> = (0..size * size * 3).map(|i| (i * 37 % 255) as f32 / 255.0).collect();
            let logits = |level| Network::with_level(&spec, weights.clone(), level).unwrap().forward(&input);
            let (scalar, simd) = (logits(Level::fallback()), logits(Level::new()));
            let largest = scalar.iter().fold(1.0_f32, |largest, logit| largest.max(logit.abs()));
            for (scalar, simd) in scalar.iter().zip(simd) {
                let equal = (scalar - simd).abs() <= 1e-6 * largest;
                assert!(equal, "{name}, {size} px, {channels} channels: {scalar} without SIMD, {simd} with it");
            }
        }
    }
}

/// A sum that overflows must not be taken for an answer, whichever kernel it passes and wherever in a tile it lies.
#[test]
fn what_is_no_number_stays_none() {
    for (name, layers) in networks(8) {
        let spec = spec(9, layers);
        let network = Network::new(&spec, weights(&spec)).unwrap();
        let mut input = vec![0.5; 9 * 9 * 3];
        assert!(network.forward(&input).iter().all(|logit| logit.is_finite()), "{name}");
        for pixel in 0..9 * 9 {
            input[pixel * 3] = f32::NAN;
            assert!(network.forward(&input).iter().all(|logit| logit.is_nan()), "{name}: pixel {pixel}");
            input[pixel * 3] = 0.5;
        }
    }
}
