//! The same networks by candle's own stock operations: what the engine is held to, natively and in the browser.

use candle_core::{Device, Result, Tensor};
use husky::{
    Spec, Weights,
    engine::Network,
    spec::{Activation, Layer, Op, Padding, Parameters, Step, Window},
};

use super::{classic, conv, dense, noise, spec, weights};

/// The logits of `input`, `[size, size, 3]`, by candle.
pub fn forward(spec: &Spec, weights: &Weights, input: &[f32]) -> Result<Vec<f32>> {
    let size = spec.input.size as usize;
    // candle's pictures are [batch, channels, height, width].
    let x = tensor(input, &[1, size, size, 3])?.permute((0, 3, 1, 2))?.contiguous()?;
    run(&spec.steps().unwrap(), weights, x)?.flatten_all()?.to_vec1()
}

fn run(steps: &[Step], weights: &Weights, mut x: Tensor) -> Result<Tensor> {
    for step in steps {
        x = match &step.op {
            Op::Conv2d { parameters, window, activation, pool } => {
                let (weight, bias) = load(parameters, weights)?;
                // [kernel, kernel, in, out] becomes [out, in, kernel, kernel].
                let weight = weight.permute((3, 2, 0, 1))?.contiguous()?;
                let x = convolve(&x, *window, &weight, &bias, 1)?;
                let x = activate(x, *activation)?;
                if *pool { x.max_pool2d(2)? } else { x }
            }
            Op::DepthwiseConv2d { parameters, window, activation } => {
                let (weight, bias) = load(parameters, weights)?;
                // [kernel, kernel, channels] becomes [channels, 1, kernel, kernel].
                let weight = weight.permute((2, 0, 1))?.unsqueeze(1)?.contiguous()?;
                activate(convolve(&x, *window, &weight, &bias, parameters.bias_len())?, *activation)?
            }
            Op::Residual { steps } => (&x + run(steps, weights, x.clone())?)?,
            Op::GlobalAveragePool2d => x.mean((2, 3))?,
            Op::Dense { parameters, activation } => {
                let (weight, bias) = load(parameters, weights)?;
                activate(x.matmul(&weight)?.broadcast_add(&bias)?, *activation)?
            }
            Op::LogSumExp { groups } => {
                let starts = groups.iter().scan(0, |end, count| {
                    *end += count;
                    Some(*end - count)
                });
                let sums =
                    starts.zip(groups).map(|(start, &count)| x.narrow(1, start, count)?.log_sum_exp(1)?.unsqueeze(1));
                let sums = sums.collect::<Result<Vec<_>>>()?;
                if let [first, second] = &sums[..] { (first - second)? } else { Tensor::cat(&sums, 1)? }
            }
            Op::Flatten => x.permute((0, 2, 3, 1))?.flatten_from(1)?,
            Op::Dropout { .. } => x,
        };
    }
    Ok(x)
}

fn convolve(x: &Tensor, window: Window, weight: &Tensor, bias: &Tensor, groups: usize) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let ([top, bottom], [left, right]) = (window.margins(height), window.margins(width));
    let x = x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)?;
    x.conv2d(weight, 0, window.stride, 1, groups)?.broadcast_add(&bias.reshape((1, (), 1, 1))?)
}

fn activate(x: Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Linear => Ok(x),
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.clamp(0.0, 6.0),
    }
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
    let conv_of =
        |filters, kernel, stride, padding, activation| Layer::Conv2d { filters, kernel, stride, padding, activation };
    let depthwise =
        |kernel, stride, padding, activation| Layer::DepthwiseConv2d { kernel, stride, padding, activation };
    let (linear, relu6) = (Activation::Linear, Activation::Relu6);
    let linear_conv = conv_of(9, 3, 1, Padding::Valid, linear);
    add("linear conv".to_owned(), 8, 5, vec![linear_conv.clone()]);
    add("linear conv, pool".to_owned(), 8, 5, vec![linear_conv, Layer::MaxPool2d]);
    for padding in [Padding::Valid, Padding::Same] {
        for stride in [1, 2, 3] {
            for (kernel, size) in [(1, 6), (2, 7), (3, 7), (3, 8), (5, 9), (5, 16), (3, 19)] {
                let name = format!("{kernel}x{kernel}, stride {stride}, {padding:?}, {size} px");
                let stem = conv_of(11, kernel, stride, padding, relu6);
                add(format!("conv {name}"), size, 7, vec![stem]);
                if !matches!((kernel, stride), (3 | 5, 1 | 2)) {
                    continue;
                }
                for channels in [3, 8, 19] {
                    let layers = vec![conv(channels, 1), depthwise(kernel, stride, padding, relu6)];
                    add(format!("depthwise {name}, {channels} channels"), size, 7, layers);
                }
            }
        }
    }
    add(
        "windows larger than the picture".to_owned(),
        2,
        7,
        vec![conv_of(5, 5, 1, Padding::Same, linear), depthwise(5, 2, Padding::Same, linear)],
    );
    // From 16 channels on a 3x3 convolution is Winograd's.
    for size in [3, 5, 6, 7, 9, 12, 13, 33] {
        for (channels, filters) in [(16, 8), (17, 33), (35, 5)] {
            for padding in [Padding::Valid, Padding::Same] {
                for pools in [vec![], vec![Layer::MaxPool2d]] {
                    if !pools.is_empty() && padding == Padding::Valid && size < 4 {
                        continue;
                    }
                    let name =
                        format!("Winograd {channels} to {filters}, {padding:?}, {size} px, {} pools", pools.len());
                    let layers = [vec![conv(channels, 1), conv_of(filters, 3, 1, padding, relu6)], pools].concat();
                    add(name, size, 7, layers);
                }
            }
        }
    }
    let block = |layers| Layer::Residual { layers };
    let inverted = |channels, kernel| {
        block(vec![
            conv_of(channels * 6, 1, 1, Padding::Valid, relu6),
            depthwise(kernel, 1, Padding::Same, relu6),
            conv_of(channels, 1, 1, Padding::Valid, linear),
        ])
    };
    for size in [1, 7, 10] {
        let layers = vec![
            conv_of(20, 3, 2, Padding::Same, relu6),
            inverted(20, 3),
            block(vec![inverted(20, 5), Layer::Dropout { percent: 10 }, conv_of(20, 3, 1, Padding::Same, linear)]),
            conv_of(12, 3, 1, Padding::Same, relu6),
        ];
        add(format!("residual blocks, {size} px"), size, 7, layers);
    }
    for channels in [1, 3, 5, 8, 9, 33] {
        add(format!("{channels} channels"), 11, 7, vec![conv(channels, 3), conv(10, 3), Layer::MaxPool2d]);
    }
    add("dropout".to_owned(), 6, 3, vec![Layer::Dropout { percent: 50 }, conv(4, 3), Layer::Dropout { percent: 50 }]);
    let pooled = vec![conv(10, 3), Layer::GlobalAveragePool2d, dense(4, Activation::Relu), dense(3, linear)];
    networks.push(("global average pool".to_owned(), spec(9, 3, pooled)));
    let hidden = [1, 4, 31, 128].map(|units| dense(units, Activation::Relu));
    let [a, b, c, d] = hidden;
    let tail = vec![Layer::Flatten, d, c, b, a, dense(3, Activation::Linear)];
    networks.push(("hidden layers".to_owned(), spec(10, 3, tail)));
    for groups in [vec![1, 1], vec![2, 9], vec![3, 1, 17]] {
        let (labels, units) = (groups.len(), groups.iter().sum());
        let kinds = vec![Layer::Flatten, dense(units, linear), Layer::LogSumExp { groups }];
        networks.push((format!("{labels} labels of {units} kinds"), spec(9, labels, kinds)));
    }
    networks.push(("logistic".to_owned(), spec(128, 2, vec![Layer::Flatten, dense(1, Activation::Linear)])));
    networks.push(("classic".to_owned(), classic()));
    networks
}

/// Compares engine and candle on eight pictures, to 1e-5 of the largest logit.
pub fn compare(name: &str, spec: &Spec, weights: &Weights) {
    let network = Network::new(&spec.steps().unwrap(), &mut |name| weights.get(name).to_vec().into());
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
