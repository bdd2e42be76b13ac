//! Each kernel's SIMD code computes what its code without SIMD does.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used)]

mod common;

use half::f16;
use husky::{
    Spec,
    engine::{Level, Network, Values},
    spec::{Activation, Layer, Padding},
};

fn conv(filters: u32, kernel: u32, stride: u32, activation: Activation) -> Layer {
    Layer::Conv2d { filters, kernel, stride, padding: Padding::Same, activation }
}

fn depthwise(kernel: u32, stride: u32) -> Layer {
    Layer::DepthwiseConv2d { kernel, stride, padding: Padding::Same, activation: Activation::Relu6 }
}

fn network(spec: &Spec, level: Level) -> Network {
    let weights = common::weights(spec, 1);
    Network::with_level(level, &spec.steps().unwrap(), &mut |name| weights.get(name).to_vec().into())
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
            let spec = common::spec(size, 9, layers);
            let input: Vec<f32> = (0..size * size * 3).map(|i| (i * 37 % 255) as f32 / 255.0).collect();
            let logits = |level| network(&spec, level).forward(&input);
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
        let network = network(&common::spec(9, 9, layers), Level::new());
        let mut input = vec![0.5; 9 * 9 * 3];
        assert!(network.forward(&input).iter().all(|logit| logit.is_finite()), "{name}");
        for pixel in 0..9 * 9 {
            input[pixel * 3] = f32::NAN;
            assert!(network.forward(&input).iter().all(|logit| logit.is_nan()), "{name}: pixel {pixel}");
            input[pixel * 3] = 0.5;
        }
    }
}

/// 16-bit weights, which a dense layer keeps as they are, give what the same weights of 32 bits give, bit for bit: answers and
/// heat maps.
#[test]
fn halves_are_the_numbers_that_they_stand_for() {
    for units in [7, 16, 33] {
        let hidden = Layer::Dense { units, activation: Activation::Relu };
        let end = Layer::Dense { units: 3, activation: Activation::Linear };
        let spec = common::spec(9, 3, vec![conv(5, 3, 1, Activation::Relu), Layer::Flatten, hidden, end]);
        let (steps, weights) = (spec.steps().unwrap(), common::weights(&spec, 1));
        let halves = |name: &str| weights.get(name).iter().map(|&value| f16::from_f32(value)).collect::<Vec<_>>();
        let input: Vec<f32> = (0..9 * 9 * 3).map(|i| (i * 37 % 255) as f32 / 255.0).collect();
        for level in [Level::fallback(), Level::new()] {
            let as_they_are = Network::with_level(level, &steps, &mut |name| {
                Values::Halves(halves(name).into_iter().map(f16::to_bits).collect())
            });
            let expanded = Network::with_level(level, &steps, &mut |name| {
                Values::Singles(halves(name).into_iter().map(f16::to_f32).collect())
            });
            assert_eq!(as_they_are.forward(&input), expanded.forward(&input), "{units} units");
            let [(_, a), (_, b)] = [as_they_are, expanded].map(|network| network.explain(&input, |_| 0));
            assert_eq!(a.values, b.values, "{units} units");
        }
    }
}

/// Photos that are judged together get the answers that each gets alone, bit for bit.
#[test]
fn together_is_as_alone() {
    let hidden = Layer::Dense { units: 33, activation: Activation::Relu };
    let end = Layer::Dense { units: 3, activation: Activation::Linear };
    let spec = common::spec(9, 3, vec![conv(5, 3, 1, Activation::Relu), Layer::Flatten, hidden, end]);
    let weights = common::weights(&spec, 1);
    let half = |value: &f32| f16::from_f32(*value).to_bits();
    let inputs = [37, 41, 43].map(|n| (0..9 * 9 * 3).map(|i| (i * n % 255) as f32 / 255.0).collect::<Vec<_>>());
    for level in [Level::fallback(), Level::new()] {
        let halves = Network::with_level(level, &spec.steps().unwrap(), &mut |name| {
            Values::Halves(weights.get(name).iter().map(half).collect())
        });
        for network in [halves, network(&spec, level)] {
            let together = network.forward_all(&inputs.each_ref().map(Vec::as_slice));
            assert_eq!(together, inputs.each_ref().map(|input| network.forward(input)));
            assert!(network.forward_all(&[]).is_empty());
        }
    }
}
