//! EfficientNet-Lite0 (Liu and Tan 2020) with one label's logit at its end and weights from a seed: for the time that it
//! takes they are as good as any.

use std::collections::BTreeMap;

use anyhow::Result;
use husky::{
    Spec, Weights,
    spec::{Activation, Architecture, Input, Layer, Padding, Provenance, Resize, Step},
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
    let spec = Spec {
        name: "lite0".to_owned(),
        input: Input { size, mean: [127.0; 3], scale: [1.0 / 128.0; 3], resize: Resize::StretchTriangle },
        architecture: Architecture(layers()),
        labels: vec!["husky".to_owned(), "nothusky".to_owned()],
        temperature: 1.0,
        threshold: 0.5,
        provenance: Provenance::default(),
    };
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    let mut tensors = BTreeMap::new();
    for p in spec.steps()?.iter().flat_map(Step::parameters) {
        let count: usize = p.shape.iter().product();
        // He's scale: values keep their size from layer to layer.
        let scale = (6.0 / (count / p.bias_len()) as f32).sqrt();
        tensors.insert(p.weight_name(), (0..count).map(|_| noise() * scale).collect());
        tensors.insert(p.bias_name(), (0..p.bias_len()).map(|_| noise() * 0.1).collect());
    }
    Ok(weights::write(&spec, &Weights::new(&spec, tensors)?, Precision::F16)?)
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
