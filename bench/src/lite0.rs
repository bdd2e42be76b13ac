//! EfficientNet-Lite0 (Liu and Tan 2020) with one label's logit at its end and weights from a seed.

use anyhow::Result;
use bench::random;
use husky::{
    spec::{Activation, Layer, Padding},
    weights::{self, Precision},
};

/// Expansion, kernel, stride, channels and repeats of the stages.
const STAGES: [(u32, u32, u32, u32, u32); 7] = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
];

/// A model file for pictures of `size` pixels a side.
///
/// # Errors
/// None, but for a bug.
pub fn model(size: u32) -> Result<Vec<u8>> {
    let (spec, weights) = random::network("lite0", size, layers())?;
    Ok(weights::write(&spec, &weights, Precision::F16)?)
}

fn layers() -> Vec<Layer> {
    let mut layers = vec![conv(32, 3, 2, Activation::Relu6)];
    let mut input = 32;
    for (expansion, kernel, first_stride, channels, repeats) in STAGES {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let mut block = Vec::new();
            if expansion > 1 {
                block.push(conv(input * expansion, 1, 1, Activation::Relu6));
            }
            let (padding, activation) = (Padding::Same, Activation::Relu6);
            block.push(Layer::DepthwiseConv2d { kernel, stride, padding, activation });
            block.push(conv(channels, 1, 1, Activation::Linear));
            if repeat == 0 {
                layers.extend(block);
            } else {
                layers.push(Layer::Residual { layers: block });
            }
            input = channels;
        }
    }
    layers.push(conv(1280, 1, 1, Activation::Relu6));
    layers.push(Layer::GlobalAveragePool2d);
    layers.push(Layer::Dense { units: 1, activation: Activation::Linear });
    layers
}

fn conv(filters: u32, kernel: u32, stride: u32, activation: Activation) -> Layer {
    Layer::Conv2d { filters, kernel, stride, padding: Padding::Same, activation }
}
