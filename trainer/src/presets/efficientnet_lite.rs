//! EfficientNet-Lite (Liu and Tan 2020; Tan and Le 2019 without squeeze-and-excitation, with ReLU6), and the names that
//! timm's weights have for it.

use husky::spec::{Activation, Layer, Padding};

/// A run of blocks, each of which widens by a factor, filters channel by channel, and narrows again.
struct Stage {
    expansion: u32,
    kernel: u32,
    /// Of the first block.
    stride: u32,
    channels: u32,
}

const fn stage(expansion: u32, kernel: u32, stride: u32, channels: u32) -> Stage {
    Stage { expansion, kernel, stride, channels }
}

const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 16),
    stage(6, 3, 2, 24),
    stage(6, 5, 2, 40),
    stage(6, 3, 2, 80),
    stage(6, 5, 1, 112),
    stage(6, 5, 2, 192),
    stage(6, 3, 1, 320),
];

/// One of the family.
#[derive(Clone, Copy)]
pub(super) struct Lite {
    /// How many blocks each stage has.
    repeats: [u32; 7],
    /// Channels of the last convolution; 0 ends the network before the last block narrows, with the many channels that the
    /// head would make anew.
    head: u32,
}

pub(super) const LITE0: Lite = Lite { repeats: [1, 2, 2, 3, 3, 4, 1], head: HEAD };
pub(super) const LITE1: Lite = Lite { repeats: [1, 3, 3, 4, 4, 5, 1], head: HEAD };
/// Lite1 up to its last depthwise convolution.
pub(super) const LITE1_SHORT: Lite = Lite { head: 0, ..LITE1 };
/// Lite0 without its last two stages, which have four fifths of the weights, under a smaller head of its own.
pub(super) const TINY: Lite = Lite { repeats: [1, 2, 2, 3, 3, 0, 0], head: 512 };
const STEM: u32 = 32;
const HEAD: u32 = 1280;

/// The network up to its mean over all places.
pub(super) fn layers(Lite { repeats, head }: Lite) -> Vec<Layer> {
    let mut layers = vec![conv(STEM, 3, 2, Activation::Relu6)];
    let mut input = STEM;
    for (Stage { expansion, kernel, stride, channels }, repeats) in STAGES.into_iter().zip(repeats) {
        for repeat in 0..repeats {
            let mut block = Vec::new();
            if expansion > 1 {
                block.push(conv(input * expansion, 1, 1, Activation::Relu6));
            }
            let stride = if repeat == 0 { stride } else { 1 };
            block.push(Layer::DepthwiseConv2d {
                kernel,
                stride,
                padding: Padding::Same,
                activation: Activation::Relu6,
            });
            block.push(conv(channels, 1, 1, Activation::Linear));
            match repeat {
                0 => layers.extend(block),
                _ => layers.push(Layer::Residual { layers: block }),
            }
            input = channels;
        }
    }
    match head {
        0 => drop(layers.pop()),
        _ => layers.push(conv(head, 1, 1, Activation::Relu6)),
    }
    layers.push(Layer::GlobalAveragePool2d);
    layers
}

fn conv(filters: u32, kernel: u32, stride: u32, activation: Activation) -> Layer {
    Layer::Conv2d { filters, kernel, stride, padding: Padding::Same, activation }
}

/// What timm calls each convolution of [`layers`], in their order, and the batch norm behind it. A head of its own has no
/// name, since nothing is known about it.
pub(super) fn timm_names(Lite { repeats, head }: Lite) -> Vec<[String; 2]> {
    let mut names = vec![["conv_stem".to_owned(), "bn1".to_owned()]];
    for (i, (stage, repeats)) in STAGES.iter().zip(repeats).enumerate() {
        let convolutions: &[&str] = match stage.expansion {
            1 => &["conv_dw", "conv_pw"],
            _ => &["conv_pw", "conv_dw", "conv_pwl"],
        };
        for repeat in 0..repeats {
            names.extend(convolutions.iter().enumerate().map(|(n, convolution)| {
                let block = format!("blocks.{i}.{repeat}");
                [format!("{block}.{convolution}"), format!("{block}.bn{}", n + 1)]
            }));
        }
    }
    match head {
        0 => drop(names.pop()),
        HEAD => names.push(["conv_head".to_owned(), "bn2".to_owned()]),
        _ => {}
    }
    names
}
