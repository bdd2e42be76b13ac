//! The same networks by candle's own stock operations: what the engine is held to, natively and in the browser.

use candle_core::{Device, Result, Tensor};
use husky::{
    Spec, Weights,
    engine::Network,
    spec::{Activation, Layer, Op, Parameters},
};

use super::{classic, conv, dense, noise, spec, weights};

/// The logits of `input`, `[size, size, 3]`, by candle.
pub fn forward(spec: &Spec, weights: &Weights, input: &[f32]) -> Result<Vec<f32>> {
    let size = spec.input.size as usize;
    // candle's pictures are [batch, channels, height, width].
    let mut x = tensor(input, &[1, size, size, 3])?.permute((0, 3, 1, 2))?.contiguous()?;
    for step in spec.steps().unwrap() {
        x = match &step.op {
            Op::Conv2d { parameters, relu, pool, .. } => {
                let (weight, bias) = load(parameters, weights)?;
                // [kernel, kernel, in, out] becomes [out, in, kernel, kernel].
                let weight = weight.permute((3, 2, 0, 1))?.contiguous()?;
                let x = x.conv2d(&weight, 0, 1, 1, 1)?.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
                let x = if *relu { x.relu()? } else { x };
                if *pool { x.max_pool2d(2)? } else { x }
            }
            Op::Dense { parameters, relu } => {
                let (weight, bias) = load(parameters, weights)?;
                let x = x.matmul(&weight)?.broadcast_add(&bias)?;
                if *relu { x.relu()? } else { x }
            }
            Op::Flatten => x.permute((0, 2, 3, 1))?.flatten_from(1)?,
            Op::Dropout { .. } => x,
        };
    }
    x.flatten_all()?.to_vec1()
}

fn load(parameters: &Parameters, weights: &Weights) -> Result<(Tensor, Tensor)> {
    let weight = tensor(weights.get(&parameters.weight_name()), &parameters.shape)?;
    let bias = tensor(weights.get(&parameters.bias_name()), &[parameters.bias_len()])?;
    Ok((weight, bias))
}

fn tensor(values: &[f32], shape: &[usize]) -> Result<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu)
}

/// Networks that between them meet every path of the engine: each layer alone, blocks that are not full, rows that are
/// not a multiple of four pixels, pools that drop a row, and the presets.
pub fn networks() -> Vec<(String, Spec)> {
    let mut networks = Vec::new();
    let end = |labels| [Layer::Flatten, dense(labels, Activation::Linear)];
    let mut add = |name: String, size, labels: u32, layers: Vec<Layer>| {
        networks.push((name, spec(size, labels as usize, [layers, end(labels).to_vec()].concat())));
    };
    add("dense".to_owned(), 9, 10, vec![]);
    for filters in [1, 3, 5, 8, 9, 33] {
        for kernel in [1, 3, 5] {
            for (size, pool) in [(kernel, false), (7, false), (13, false), (13, true), (12, true)] {
                let pools = if pool { vec![Layer::MaxPool2d] } else { vec![] };
                let name = format!("conv {kernel}x{kernel}x{filters}, {size} px, pool {pool}");
                add(name, size, 37, [vec![conv(filters, kernel)], pools].concat());
            }
        }
    }
    let linear = Layer::Conv2d { filters: 9, kernel: 3, activation: Activation::Linear };
    add("linear conv".to_owned(), 8, 5, vec![linear]);
    add("linear conv, pool".to_owned(), 8, 5, vec![linear, Layer::MaxPool2d]);
    for channels in [1, 3, 5, 8, 9, 33] {
        add(format!("{channels} channels"), 11, 7, vec![conv(channels, 3), conv(10, 3), Layer::MaxPool2d]);
    }
    add("dropout".to_owned(), 6, 3, vec![Layer::Dropout { percent: 50 }, conv(4, 3), Layer::Dropout { percent: 50 }]);
    let hidden = [1, 4, 31, 128].map(|units| dense(units, Activation::Relu));
    let tail = [Layer::Flatten, hidden[3], hidden[2], hidden[1], hidden[0], dense(3, Activation::Linear)];
    networks.push(("hidden layers".to_owned(), spec(10, 3, tail.to_vec())));
    networks.push(("logistic".to_owned(), spec(128, 2, vec![Layer::Flatten, dense(1, Activation::Linear)])));
    networks.push(("classic".to_owned(), classic()));
    networks
}

/// Compares engine and candle on eight pictures, to 1e-5 of the largest logit.
pub fn compare(name: &str, spec: &Spec, weights: &Weights) {
    let network = Network::new(spec, weights).unwrap();
    let length = (spec.input.size * spec.input.size * 3) as usize;
    let (mut largest, mut worst) = (0_f32, 0_f32);
    for seed in 1..=8 {
        let input: Vec<f32> = noise(seed).take(length).collect();
        let (ours, candles) = (network.forward(&input), forward(spec, weights, &input).unwrap());
        assert_eq!(ours.len(), candles.len(), "{name}");
        for (a, b) in ours.into_iter().zip(candles) {
            largest = largest.max(b.abs());
            // Written so that NaN does not pass.
            worst = if (a - b).abs() <= worst { worst } else { (a - b).abs() };
        }
    }
    assert!(largest > 1e-3, "{name}: the logits are all zero, so nothing was compared");
    assert!(worst <= 1e-5 * largest, "{name}: engine and candle differ by {worst}, the largest logit is {largest}");
}

/// Compares engine and candle on every one of [`networks`].
pub fn compare_all() {
    for (name, spec) in networks() {
        compare(&name, &spec, &weights(&spec, 7));
    }
}
