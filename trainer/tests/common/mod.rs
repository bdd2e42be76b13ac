//! Drawn pictures to learn and to judge, and models to exchange, the same in every test.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};

use husky::{
    Pixels, Spec, Weights,
    spec::{
        Activation::{Linear, Relu, Relu6},
        Architecture, Input, Layer,
        Padding::{Same, Valid},
        Provenance, Resize, Step,
    },
};
use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};
use trainer::{
    presets::Preset,
    random::{Stream, rng},
};

/// Runs the command `husky` in `folder`.
pub fn husky(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_husky")).current_dir(folder).args(arguments).output().unwrap()
}

/// What it prints where it has to succeed.
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = husky(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one sentence that it says where it has to fail.
pub fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = husky(folder, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    error
}

/// The drawings' labels, in alphabetical order.
pub const LABELS: [&str; 2] = ["disc", "stripes"];

/// Draws `count` pictures of each label into `folder/disc` and `folder/stripes`, as PNG files of 40x30 pixels. No two
/// pictures are the same, unless they have the same `seed`, label and number.
pub fn draw(folder: &Path, seed: u64, count: u64) {
    for (label, name) in LABELS.into_iter().enumerate() {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..count {
            let picture = picture(label, seed, number);
            picture.save(folder.join(name).join(format!("{name}_{number:04}.png"))).unwrap();
        }
    }
}

/// A drawing of `LABELS[label]`: a disc of any place and size, or stripes of any place, width and angle, in two random
/// colours that differ, under noise.
pub fn picture(label: usize, seed: u64, number: u64) -> RgbImage {
    let mut rng = rng(seed, Stream::Initialization, 1000 + label as u64, number);
    let [paper, ink] = colors(&mut rng);
    let (width, height) = (40, 30);
    let (center_x, center_y) = (rng.random_range(12.0..28.0), rng.random_range(10.0..20.0));
    let (radius, angle): (f64, f64) = (rng.random_range(6.0..10.0), rng.random_range(0.0..3.0));
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (f64::from(x) - center_x, f64::from(y) - center_y);
        let inside = match label {
            0 => x.hypot(y) < radius,
            _ => ((x * angle.cos() + y * angle.sin()) / radius * 6.0).sin() > 0.0,
        };
        let color = if inside { ink } else { paper };
        Rgb(color.map(|c: u8| c.saturating_add_signed(rng.random_range(-15..=15))))
    })
}

fn colors(rng: &mut impl Rng) -> [[u8; 3]; 2] {
    loop {
        let colors: [[u8; 3]; 2] = rng.random();
        let [a, b] = colors.map(|color| color.iter().map(|&c| i32::from(c)).sum::<i32>());
        if (a - b).abs() > 200 {
            return colors;
        }
    }
}

/// Random weights and biases for a network of `spec`, of a size that keeps its values in range.
pub fn weights(spec: &Spec, seed: u64) -> Weights {
    let mut tensors = BTreeMap::new();
    for (i, p) in spec.steps().unwrap().iter().flat_map(Step::parameters).enumerate() {
        let mut rng = rng(seed, Stream::Initialization, 0, i as u64);
        let bias = p.bias_len();
        let inputs = if p.shape.len() == 3 { p.shape[0] * p.shape[1] } else { (p.count() - bias) / bias };
        let limit = (3.0 / inputs as f32).sqrt();
        tensors.insert(p.weight_name(), (0..p.count() - bias).map(|_| rng.random_range(-limit..limit)).collect());
        tensors.insert(p.bias_name(), (0..bias).map(|_| rng.random_range(-0.2..0.2)).collect());
    }
    Weights::new(spec, tensors).unwrap()
}

/// A model with every kind of layer, three labels, and a picture of an odd size, so that padding has an odd pixel.
pub fn mixed_model() -> (Spec, Weights) {
    let conv =
        |filters, kernel, stride, padding, activation| Layer::Conv2d { filters, kernel, stride, padding, activation };
    let depthwise = |kernel, stride, activation| Layer::DepthwiseConv2d { kernel, stride, padding: Same, activation };
    let spec = Spec {
        name: "mixed".to_owned(),
        input: Input { size: 45, mean: [127.0; 3], scale: [1.0 / 128.0; 3], resize: Resize::StretchTriangle },
        architecture: Architecture(vec![
            conv(8, 3, 2, Same, Relu6),
            Layer::Residual {
                layers: vec![conv(20, 1, 1, Same, Relu6), depthwise(3, 1, Relu6), conv(8, 1, 1, Same, Linear)],
            },
            depthwise(5, 2, Relu),
            conv(12, 3, 1, Valid, Relu),
            Layer::MaxPool2d,
            Layer::GlobalAveragePool2d,
            Layer::Dropout { percent: 20 },
            Layer::Dense { units: 10, activation: Relu },
            Layer::Dense { units: 6, activation: Linear },
            Layer::LogSumExp { groups: vec![1, 2, 3] },
        ]),
        labels: ["cat", "dog", "husky"].map(str::to_owned).to_vec(),
        temperature: 0.7,
        threshold: 0.5,
        unsure: None,
        provenance: Provenance::default(),
    };
    let weights = weights(&spec, 3);
    (spec, weights)
}

/// A model whose two labels are made of five kinds.
pub fn kinds_model() -> (Spec, Weights) {
    let (mixed, _) = mixed_model();
    let spec = Spec {
        name: "kinds".to_owned(),
        architecture: Architecture(vec![
            Layer::Conv2d { filters: 8, kernel: 3, stride: 2, padding: Same, activation: Relu6 },
            Layer::GlobalAveragePool2d,
            Layer::Dense { units: 5, activation: Linear },
            Layer::LogSumExp { groups: vec![2, 3] },
        ]),
        labels: ["husky", "nothusky"].map(str::to_owned).to_vec(),
        ..mixed
    };
    let weights = weights(&spec, 4);
    (spec, weights)
}

/// The article's kind of network with a few filters, for two labels and pictures of 22x22 pixels.
pub fn small_classic() -> (Spec, Weights) {
    let block = |filters| {
        let conv = Layer::Conv2d { filters, kernel: 3, stride: 1, padding: Valid, activation: Relu };
        [conv, Layer::MaxPool2d, Layer::Dropout { percent: 40 }]
    };
    let mut layers: Vec<Layer> = [4, 6, 8].into_iter().flat_map(block).collect();
    layers.extend([
        Layer::Flatten,
        Layer::Dense { units: 10, activation: Relu },
        Layer::Dense { units: 1, activation: Linear },
    ]);
    let labels = ["husky", "nothusky"].map(str::to_owned).to_vec();
    let spec = Spec { temperature: 1.3, architecture: Architecture(layers), ..Preset::Classic.spec(labels, Some(22)) };
    let weights = weights(&spec, 5);
    (spec, weights)
}

/// A square of waves, RGB, another for each number.
pub fn waves(size: u32, number: u32) -> Pixels {
    let wave = |x: u32, y: u32, c: u32| (x * (7 + number) + y * 13 + c * 29 + number * 31) % 256;
    let rgb = (0..size * size).flat_map(|i| [0, 1, 2].map(|c| wave(i % size, i / size, c) as u8)).collect();
    Pixels::from_rgb(size, size, rgb).unwrap()
}
