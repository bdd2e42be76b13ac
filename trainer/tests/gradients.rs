//! Every training operation against finite differences in f64, and the whole of `classic` against an independent reference.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use husky::Spec;
use husky::spec::{Activation, Architecture, Input, Layer, Padding, Provenance, Resize, Step, Window};
use rand::{RngExt, SeedableRng};
use trainer::network::{Frozen, Gradients, Network};
use trainer::ops::{
    BatchNorm, Conv2d, CrossEntropy, Dense, DepthwiseConv2d, Dropout, DropoutKey, GlobalAveragePool2d, LogSumExp,
    Pointwise, Statistics, one_hot,
};
use trainer::presets::Preset;

/// Values in ±1, the same for one seed.
fn random(seed: u64, shape: &[usize]) -> Var {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A scalar that depends on every value of `y` in its own way, so that no error in a gradient can cancel out.
fn weighted_sum(y: &Tensor) -> Tensor {
    (y * random(99, y.dims()).as_tensor()).unwrap().sum_all().unwrap()
}

/// Holds the gradient of `f` by each of `inputs` against central differences.
fn check(inputs: &[&Var], f: impl Fn() -> Result<Tensor>) {
    compare(inputs, &f().unwrap().backward().unwrap(), f);
}

/// The same for a network's loss, all its parameters and its input.
fn check_network(network: &Network, x: &Var, labels: &[usize]) {
    let loss = |outputs: &Tensor| network.logits(outputs)?.apply_op1(CrossEntropy::new(one_hot(labels, 2)));
    let pass = || network.gradients(x, loss, KEY);
    let inputs: Vec<&Var> = network.parameters().values().chain([x]).collect();
    compare(&inputs, &pass().unwrap().gradients, || Ok(pass()?.loss));
}

fn values(var: &Var) -> Vec<f64> {
    var.flatten_all().unwrap().to_vec1().unwrap()
}

fn compare(inputs: &[&Var], gradients: &GradStore, f: impl Fn() -> Result<Tensor>) {
    const STEP: f64 = 1e-5;
    for (index, input) in inputs.iter().enumerate() {
        let gradient: Vec<f64> = gradients.get(input).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let values: Vec<f64> = input.flatten_all().unwrap().to_vec1().unwrap();
        for i in 0..values.len() {
            let at = |offset: f64| {
                let mut moved = values.clone();
                moved[i] += offset;
                input.set(&Tensor::from_vec(moved, input.dims(), &Device::Cpu).unwrap()).unwrap();
                f().unwrap().to_scalar::<f64>().unwrap()
            };
            let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            assert!(
                (gradient[i] - expected).abs() < 1e-6 * expected.abs().max(1.0),
                "input {index}, value {i}: gradient {} where the difference is {expected}",
                gradient[i]
            );
        }
        input.set(&Tensor::from_vec(values, input.dims(), &Device::Cpu).unwrap()).unwrap();
    }
}

fn window(kernel: usize, stride: usize, padding: Padding) -> Window {
    Window { kernel, stride, padding }
}

#[test]
fn conv2d() {
    let (valid, same) = (Padding::Valid, Padding::Same);
    // More pictures than one task takes, odd sizes whose last row and column the pool drops, windows that are larger than
    // the picture; the last two go Winograd's way, with channels that fill no whole vectors and tiles that end outside.
    for (shape, window, filters) in [
        ([5, 7, 6, 2], window(3, 1, valid), 3),
        ([1, 8, 9, 3], window(2, 1, valid), 4),
        ([2, 5, 4, 3], window(1, 1, valid), 2),
        ([1, 9, 8, 1], window(5, 1, valid), 9),
        ([1, 6, 7, 2], window(3, 2, same), 3),
        ([1, 7, 6, 2], window(3, 2, same), 3),
        ([1, 5, 7, 2], window(5, 2, same), 2),
        ([1, 4, 5, 2], window(2, 1, same), 2),
        ([1, 3, 2, 2], window(5, 1, same), 2),
        ([1, 6, 7, 16], window(3, 1, valid), 17),
        ([1, 5, 3, 17], window(3, 1, same), 16),
    ] {
        for (activation, pool, dropout) in [
            (Activation::Linear, false, false),
            (Activation::Relu, false, true),
            (Activation::Linear, true, true),
            (Activation::Relu, true, false),
            (Activation::Relu6, false, false),
        ] {
            let [_, height, width, channels] = shape;
            let (rows, columns) = window.outputs(height, width).unwrap();
            if pool && rows.min(columns) < 2 {
                continue;
            }
            // Some beyond 6.
            let x = Var::from_tensor(&(random(1, &shape).as_tensor() * 4.0).unwrap()).unwrap();
            let weight = random(2, &[window.kernel, window.kernel, channels, filters]);
            let bias = random(3, &[filters]);
            let dropout = dropout.then(|| Dropout::new(0.4, 0, KEY));
            let op = || Conv2d::new(window, activation, pool, dropout);
            check(&[&x, &weight, &bias], || Ok(weighted_sum(&x.apply_op3(&weight, &bias, op())?)));
        }
    }
}

#[test]
fn conv2d_equals_candle() {
    // Wide enough for several bands; im2col and Winograd.
    for (channels, filters) in [(3, 5), (18, 20)] {
        let x = random(1, &[2, 70, 66, channels]);
        let (weight, bias) = (random(2, &[3, 3, channels, filters]), random(3, &[filters]));
        let op = Conv2d::new(window(3, 1, Padding::Valid), Activation::Relu, true, None);
        let ours = x.apply_op3(&weight, &bias, op).unwrap();
        let x = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let weight = weight.permute((3, 2, 0, 1)).unwrap().contiguous().unwrap();
        let theirs = x.conv2d(&weight, 0, 1, 1, 1).unwrap();
        let theirs = theirs.broadcast_add(&bias.reshape((1, filters, 1, 1)).unwrap()).unwrap().relu().unwrap();
        let theirs = theirs.max_pool2d(2).unwrap().permute((0, 2, 3, 1)).unwrap();
        let difference = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(difference < 1e-12, "{difference}");
    }
}

#[test]
fn pointwise() {
    for (shape, filters) in [([5, 2, 3, 4], 3), ([1, 1, 1, 17], 2)] {
        let (x, weight) = (random(1, &shape), random(2, &[1, 1, shape[3], filters]));
        check(&[&x, &weight], || Ok(weighted_sum(&x.apply_op2(&weight, Pointwise)?)));
        let product = x.reshape(((), shape[3])).unwrap().matmul(&weight.reshape((shape[3], filters)).unwrap()).unwrap();
        let ours = x.apply_op2(&weight, Pointwise).unwrap().reshape(((), filters)).unwrap();
        assert!((ours - product).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-12);
    }
}

#[test]
fn depthwise_conv2d() {
    // More pictures than one task takes, windows larger than the picture, channels that fill no whole vectors.
    for (shape, window) in [
        ([5, 4, 5, 3], window(3, 1, Padding::Valid)),
        ([1, 6, 7, 9], window(3, 2, Padding::Same)),
        ([1, 7, 6, 2], window(3, 2, Padding::Valid)),
        ([1, 3, 8, 17], window(5, 1, Padding::Same)),
        ([1, 2, 7, 3], window(5, 2, Padding::Same)),
    ] {
        let (x, weight) = (random(1, &shape), random(2, &[window.kernel, window.kernel, shape[3]]));
        check(&[&x, &weight], || Ok(weighted_sum(&x.apply_op2(&weight, DepthwiseConv2d(window))?)));
        // As a full convolution whose weights are zero between different channels.
        let unit = Tensor::eye(shape[3], DType::F64, &Device::Cpu).unwrap();
        let full = weight.unsqueeze(3).unwrap().broadcast_mul(&unit).unwrap();
        let bias = Tensor::zeros(shape[3], DType::F64, &Device::Cpu).unwrap();
        let theirs = x.apply_op3(&full, &bias, Conv2d::new(window, Activation::Linear, false, None)).unwrap();
        let ours = x.apply_op2(&weight, DepthwiseConv2d(window)).unwrap();
        assert!((ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-12);
    }
}

#[test]
fn batch_norm() {
    for (shape, activation) in [
        ([3, 2, 3, 5], Activation::Linear),
        ([2, 3, 2, 17], Activation::Relu6),
        // Several chunks of values.
        ([2, 1, 2, 40_000], Activation::Relu),
    ] {
        let channels = shape[3];
        let x = Var::from_tensor(&random(1, &shape).affine(3.0, 1.0).unwrap()).unwrap();
        let gamma = Var::from_tensor(&(random(2, &[channels]).as_tensor() * 8.0).unwrap()).unwrap();
        let beta = random(3, &[channels]);
        if channels < 100 {
            let given = Statistics { mean: vec![0.3; channels], variance: vec![2.0; channels] };
            let by = || x.apply_op3(&gamma, &beta, BatchNorm::by(activation, given.clone()));
            check(&[&x, &gamma, &beta], || Ok(weighted_sum(&by()?)));
            let normed = || x.apply_op3(&gamma, &beta, BatchNorm::of_batch(activation).0);
            check(&[&x, &gamma, &beta], || Ok(weighted_sum(&normed()?)));
        }
        // By its definition.
        let (op, statistics) = BatchNorm::of_batch(activation);
        let ours = x.apply_op3(&gamma, &beta, op).unwrap();
        let rows = x.reshape(((), channels)).unwrap();
        let mean = rows.mean_keepdim(0).unwrap();
        let centered = rows.broadcast_sub(&mean).unwrap();
        let variance = centered.sqr().unwrap().mean_keepdim(0).unwrap();
        let normed = centered.broadcast_div(&(&variance + BatchNorm::EPSILON).unwrap().sqrt().unwrap()).unwrap();
        let sums = normed.broadcast_mul(&gamma).unwrap().broadcast_add(&beta).unwrap();
        let theirs = match activation {
            Activation::Linear => sums,
            Activation::Relu => sums.relu().unwrap(),
            Activation::Relu6 => sums.clamp(0.0, 6.0).unwrap(),
        };
        let theirs = theirs.reshape(&shape[..]).unwrap();
        assert!((&ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-12);
        // By the same statistics, given: the same.
        let Statistics { mean: found, .. } = statistics.get().unwrap();
        let largest = found.iter().zip(mean.flatten_all().unwrap().to_vec1::<f64>().unwrap());
        assert!(largest.fold(0.0, |largest: f64, (a, b)| largest.max((a - b).abs())) < 1e-12);
        let by = BatchNorm::by(activation, statistics.get().unwrap().clone());
        let again = x.apply_op3(&gamma, &beta, by).unwrap();
        assert!((ours - again).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap() == 0.0);
    }
}

#[test]
fn global_average_pool2d() {
    let x = random(1, &[3, 4, 5, 7]);
    check(&[&x], || Ok(weighted_sum(&x.apply_op1(GlobalAveragePool2d)?)));
    let (ours, theirs) = (x.apply_op1(GlobalAveragePool2d).unwrap(), x.mean((1, 2)).unwrap());
    assert!((ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-12);
}

#[test]
fn log_sum_exp() {
    let x = random(1, &[3, 6]);
    for groups in [vec![2, 4], vec![1, 5], vec![1, 2, 3], vec![1; 6]] {
        let op = || LogSumExp { groups: groups.clone() };
        check(&[&x], || Ok(weighted_sum(&x.apply_op1(op())?)));
        let y = x.apply_op1(op()).unwrap().to_vec2::<f64>().unwrap();
        for (x, y) in x.to_vec2::<f64>().unwrap().iter().zip(y) {
            let first = x[..groups[0]].iter().map(|x| x.exp()).sum::<f64>();
            let rest = if groups.len() == 2 { x[groups[0]..].iter().map(|x| x.exp()).sum() } else { 1.0 };
            assert!((y[0] - (first / rest).ln()).abs() < 1e-12, "{groups:?}");
        }
    }
    let large =
        (x.as_tensor() * 1e4).unwrap().apply_op1(LogSumExp { groups: vec![3, 3] }).unwrap().to_vec2::<f64>().unwrap();
    assert!(large.iter().flatten().all(|y| y.is_finite()));
    assert!(random(1, &[3, 6]).apply_op1(LogSumExp { groups: vec![2, 3] }).is_err());
}

#[test]
fn dense_layer() {
    // More inputs and pictures than one task takes, and a small one for every value.
    for (batch, inputs, units) in [(3, 5, 4), (1, 1, 1), (17, 3, 2)] {
        for activation in [Activation::Linear, Activation::Relu, Activation::Relu6] {
            let (x, weight, bias) = (random(1, &[batch, inputs]), random(2, &[inputs, units]), random(3, &[units]));
            check(&[&x, &weight, &bias], || Ok(weighted_sum(&x.apply_op3(&weight, &bias, Dense::new(activation))?)));
        }
    }
    let (x, weight, bias) = (random(1, &[2, 5000]), random(2, &[5000, 3]), random(3, &[3]));
    let ours = x.apply_op3(&weight, &bias, Dense::new(Activation::Linear)).unwrap();
    let theirs = x.matmul(&weight).unwrap().broadcast_add(&bias).unwrap();
    let difference = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(difference < 1e-10, "{difference}");
}

#[test]
fn dropout_layer() {
    let x = random(1, &[3, 4, 5]);
    let key = DropoutKey { seed: 7, epoch: 2, first_sample: 8 };
    let op = || Dropout::new(0.4, 0, key);
    check(&[&x], || Ok(weighted_sum(&x.apply_op1(op())?)));

    let ones = Tensor::ones(&[8, 10_000], DType::F32, &Device::Cpu).unwrap();
    let dropped: Vec<f32> = ones.apply_op1(op()).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let zeros = dropped.iter().filter(|&&x| x == 0.0).count() as f64 / dropped.len() as f64;
    assert!((zeros - 0.4).abs() < 0.01, "{zeros}");
    assert!(dropped.iter().all(|&x| x == 0.0 || (x - 1.0 / 0.6).abs() < 1e-6));
    // What is dropped follows the sample, not its place in the batch.
    let later = Dropout::new(0.4, 0, DropoutKey { first_sample: 11, ..key });
    let shifted: Vec<f32> =
        ones.narrow(0, 0, 5).unwrap().apply_op1(later).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(shifted, dropped[30_000..]);
}

#[test]
fn cross_entropy() {
    let binary = random(1, &[4, 1]);
    check(&[&binary], || binary.apply_op1(CrossEntropy::new(one_hot(&[0, 1, 1, 0], 2))));
    let categorical = random(1, &[4, 3]);
    check(&[&categorical], || categorical.apply_op1(CrossEntropy::new(one_hot(&[0, 2, 1, 2], 3))));
    for (logits, labels, offsets) in [(&binary, 2, vec![1.5]), (&categorical, 3, vec![0.5, -2.0, 1.0])] {
        let targets = || one_hot(&[0, 1, 1, 0], labels);
        check(&[logits], || logits.apply_op1(CrossEntropy::new(targets()).with_offsets(offsets.clone())));
        let loss = |logits: &Tensor, loss| logits.apply_op1(loss).unwrap().to_scalar::<f64>().unwrap();
        let shifted = logits.broadcast_add(&Tensor::new(&offsets[..], &Device::Cpu).unwrap()).unwrap();
        let expected = loss(&shifted, CrossEntropy::new(targets()));
        assert_eq!(loss(logits, CrossEntropy::new(targets()).with_offsets(offsets)), expected);
    }
}

#[test]
fn cross_entropy_is_stable() {
    let loss = |logits: &[f64], outputs: usize, labels: Vec<usize>| {
        let logits = Var::from_slice(logits, (labels.len(), outputs), &Device::Cpu).unwrap();
        let loss = logits.apply_op1(CrossEntropy::new(one_hot(&labels, outputs.max(2)))).unwrap();
        let gradient = loss.backward().unwrap().get(&logits).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        (loss.to_scalar::<f64>().unwrap(), gradient)
    };
    assert_eq!(loss(&[1000.0], 1, vec![0]), (0.0, vec![0.0]));
    assert_eq!(loss(&[1000.0], 1, vec![1]), (1000.0, vec![1.0]));
    assert_eq!(loss(&[-1000.0], 1, vec![0]), (1000.0, vec![-1.0]));
    assert_eq!(loss(&[0.0], 1, vec![0]), (std::f64::consts::LN_2, vec![-0.5]));
    assert_eq!(loss(&[1000.0, 0.0, -1000.0], 3, vec![1]), (1000.0, vec![1.0, -1.0, 0.0]));
    assert!(loss(&[f64::NAN], 1, vec![0]).0.is_nan());
}

fn spec(size: u32, layers: Vec<Layer>) -> Spec {
    Spec {
        name: "test".into(),
        input: Input { size, mean: [0.0; 3], scale: [1.0; 3], resize: Resize::StretchTriangle },
        architecture: Architecture(layers),
        labels: vec!["a".into(), "b".into()],
        temperature: 1.0,
        threshold: 0.5,
        unsure: None,
        provenance: Provenance::default(),
    }
}

fn conv(filters: u32) -> Layer {
    Layer::Conv2d { filters, kernel: 3, stride: 1, padding: Padding::Valid, activation: Activation::Relu }
}

fn dense(units: u32, activation: Activation) -> Layer {
    Layer::Dense { units, activation }
}

/// Random parameters for `spec`, of the size that keeps activations near 1.
fn parameters(spec: &Spec) -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    for (i, p) in spec.steps().unwrap().iter().flat_map(Step::parameters).enumerate() {
        let fan_in = (p.shape.iter().product::<usize>() / p.bias_len()) as f64;
        let weight = (random(10 + i as u64, &p.shape).as_tensor() * (3.0 / fan_in).sqrt()).unwrap();
        tensors.insert(p.weight_name(), weight);
        tensors.insert(p.bias_name(), (random(50 + i as u64, &[p.bias_len()]).as_tensor() * 0.1).unwrap());
    }
    tensors
}

const KEY: DropoutKey = DropoutKey { seed: 1, epoch: 1, first_sample: 0 };

#[test]
fn whole_network() {
    let layers = vec![
        conv(4),
        Layer::MaxPool2d,
        Layer::Dropout { percent: 40 },
        conv(5),
        Layer::Flatten,
        dense(6, Activation::Relu),
        Layer::Dropout { percent: 20 },
        dense(1, Activation::Linear),
    ];
    let spec = spec(10, layers);
    let network = Network::new(&spec, parameters(&spec), Frozen::default()).unwrap();
    let x = random(5, &[3, 10, 10, 3]);
    check_network(&network, &x, &[0, 1, 0]);
}

/// Layers as EfficientNet-Lite has them.
fn lite() -> Spec {
    let conv = |filters, kernel, stride, activation| Layer::Conv2d {
        filters,
        kernel,
        stride,
        padding: Padding::Same,
        activation,
    };
    let depthwise = |kernel, stride| Layer::DepthwiseConv2d {
        kernel,
        stride,
        padding: Padding::Same,
        activation: Activation::Relu6,
    };
    let layers = vec![
        conv(4, 3, 2, Activation::Relu6),
        depthwise(3, 1),
        Layer::Residual {
            layers: vec![conv(7, 1, 1, Activation::Relu6), depthwise(5, 1), conv(4, 1, 1, Activation::Linear)],
        },
        depthwise(5, 2),
        Layer::GlobalAveragePool2d,
        Layer::Dropout { percent: 20 },
        dense(1, Activation::Linear),
    ];
    spec(9, layers)
}

#[test]
fn whole_network_with_batch_norm() {
    let tensors = || {
        // Not ones and zeros: an offset of zero may put values just where the activation has no slope.
        let noise = |tensor: &Tensor| (random(9, tensor.dims()).as_tensor() * 0.1).unwrap();
        let tensors = Network::fresh(&lite(), 1).unwrap().into_iter();
        tensors.map(|(name, t)| (name, (t.to_dtype(DType::F64).unwrap() + noise(&t)).unwrap())).collect()
    };
    let network = Network::new(&lite(), tensors(), Frozen::default()).unwrap();
    let x = random(5, &[3, 9, 9, 3]);
    // Weight, gamma and beta of six convolutions, and the dense layer.
    assert_eq!((network.parameters().len(), network.buffers().len()), (6 * 3 + 2, 6 * 2));
    check_network(&network, &x, &[0, 1, 0]);
    // Partly frozen: what is left has the same gradients as differences say, and the rest does not move.
    let network = Network::new(&lite(), tensors(), Frozen { layers: 3, statistics: true }).unwrap();
    assert_eq!((network.parameters().len(), network.buffers().len()), (3 * 3 + 2, 3 * 5 + 3 * 2));
    let before: Vec<Vec<f64>> = network.buffers().values().map(values).collect();
    check_network(&network, &x, &[0, 1, 0]);
    assert_eq!(before, network.buffers().values().map(values).collect::<Vec<_>>());
    assert!(Network::new(&lite(), tensors(), Frozen { layers: 7, statistics: true }).is_err());
}

/// What the model file gets computes what the network does.
#[test]
fn batch_norm_is_folded_into_the_weights() {
    let spec = lite();
    let network = Network::new(&spec, Network::fresh(&spec, 1).unwrap(), Frozen::default()).unwrap();
    for (i, var) in network.parameters().values().enumerate() {
        // Not ones and zeros.
        let noise = random(i as u64, var.dims()).to_dtype(DType::F32).unwrap();
        var.set(&(var.as_tensor() + noise * 0.3).unwrap()).unwrap();
    }
    let x = random(5, &[2, 9, 9, 3]).to_dtype(DType::F32).unwrap();
    let fresh = network.forward(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for _ in 0..200 {
        network.gradients(&x, |outputs| outputs.apply_op1(CrossEntropy::new(one_hot(&[0, 1], 2))), KEY).unwrap();
    }
    let logits = network.forward(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_ne!(fresh, logits);
    let weights = network.weights(&spec).unwrap();
    let engine = husky::engine::Network::new(&spec.steps().unwrap(), &mut |name| weights.get(name).to_vec().into());
    let pictures = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (picture, logit) in pictures.chunks(9 * 9 * 3).zip(&logits) {
        let found = engine.forward(picture)[0];
        assert!((found - logit).abs() < 1e-5 * logit.abs().max(1.0), "{found} {logit}");
    }
    // And back.
    let again = Network::from_weights(&spec, &weights).unwrap();
    let found = again.forward(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (found, logit) in found.into_iter().zip(logits) {
        assert!((found - logit).abs() < 1e-5 * logit.abs().max(1.0), "{found} {logit}");
    }
}

/// The gradients of `classic` in f32, as it trains, against loops in f64 that share no code with it.
#[test]
fn classic_equals_the_reference() {
    // Dropout has its own test; without it the reference needs no masks.
    let layers = Preset::Classic.architecture(2).0.into_iter().filter(|layer| !matches!(layer, Layer::Dropout { .. }));
    let spec = spec(128, layers.collect());
    let tensors = parameters(&spec);
    let x = random(5, &[1, 128, 128, 3]);

    let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let network = tensors.iter().map(|(name, t)| (name.clone(), single(t))).collect();
    let network = Network::new(&spec, network, Frozen::default()).unwrap();
    let Gradients { loss, gradients, .. } =
        network.gradients(&single(&x), |outputs| outputs.apply_op1(CrossEntropy::new(one_hot(&[0], 2))), KEY).unwrap();

    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let parameters = tensors.iter().map(|(name, t)| (name.clone(), values(t))).collect();
    let (expected_loss, expected) = reference::classic(&parameters, &values(&x));
    let loss = f64::from(loss.to_scalar::<f32>().unwrap());
    assert!((loss - expected_loss).abs() < 1e-5, "{loss} {expected_loss}");
    assert_eq!(expected.len(), 10);
    for (name, expected) in &expected {
        let gradient = gradients.get(&network.parameters()[name]).unwrap().to_dtype(DType::F64).unwrap();
        let scale = expected.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
        assert!(scale > 0.0, "{name} has no gradient at all");
        for (found, expected) in values(&gradient).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4 * scale, "{name}: {found} {expected}");
        }
    }
}

/// The article's network by plain loops.
mod reference {
    use std::collections::BTreeMap;

    type Tensors = BTreeMap<String, Vec<f64>>;

    /// Loss of one picture that belongs to label 0, and its gradients by all parameters.
    pub fn classic(parameters: &Tensors, x: &[f64]) -> (f64, Tensors) {
        let mut gradients = Tensors::new();
        let mut blocks = Vec::new();
        let (mut x, mut size, mut channels) = (x.to_vec(), 128, 3);
        for (i, filters) in [32, 64, 128].into_iter().enumerate() {
            let name = format!("conv2d_{}", i + 1);
            let (weight, bias) = (&parameters[&format!("{name}.weight")], &parameters[&format!("{name}.bias")]);
            let (y, winners) = block(&x, size, channels, weight, bias, filters);
            blocks.push((name, x, size, channels, filters, winners));
            (x, size, channels) = (y, (size - 2) / 2, filters);
        }
        let product = |x: &[f64], name: &str| -> Vec<f64> {
            let mut y = parameters[&format!("{name}.bias")].clone();
            let units = y.len();
            for (row, x) in parameters[&format!("{name}.weight")].chunks(units).zip(x) {
                y.iter_mut().zip(row).for_each(|(y, w)| *y += w * x);
            }
            y
        };
        let hidden: Vec<f64> = product(&x, "dense_1").into_iter().map(|z| z.max(0.0)).collect();
        let logit = product(&hidden, "dense_2")[0];
        let loss = (1.0 + (-logit).exp()).ln();

        let mut back = |x: &[f64], dy: &[f64], name: &str| -> Vec<f64> {
            let weight = &parameters[&format!("{name}.weight")];
            let dw = x.iter().flat_map(|x| dy.iter().map(move |dy| x * dy)).collect();
            gradients.insert(format!("{name}.weight"), dw);
            gradients.insert(format!("{name}.bias"), dy.to_vec());
            weight.chunks(dy.len()).map(|row| row.iter().zip(dy).map(|(w, dy)| w * dy).sum()).collect()
        };
        let mut dx = back(&hidden, &[1.0 / (1.0 + (-logit).exp()) - 1.0], "dense_2");
        dx.iter_mut().zip(&hidden).for_each(|(dx, y)| *dx *= f64::from(*y > 0.0));
        dx = back(&x, &dx, "dense_1");
        for (name, x, size, channels, filters, winners) in blocks.iter().rev() {
            let (dw, db, before) =
                block_back(x, *size, *channels, &parameters[&format!("{name}.weight")], *filters, winners, &dx);
            gradients.insert(format!("{name}.weight"), dw);
            gradients.insert(format!("{name}.bias"), db);
            dx = before;
        }
        (loss, gradients)
    }

    /// Convolution, ReLU, pool; and for each output the place of the sum it comes from, if that was positive.
    fn block(
        x: &[f64],
        size: usize,
        channels: usize,
        weight: &[f64],
        bias: &[f64],
        filters: usize,
    ) -> (Vec<f64>, Vec<Option<(usize, usize)>>) {
        let (rows, mut y, mut winners) = (size - 2, Vec::new(), Vec::new());
        let mut sums = vec![0.0; rows * rows * filters];
        for row in 0..rows {
            for column in 0..rows {
                let sums = &mut sums[(row * rows + column) * filters..][..filters];
                sums.copy_from_slice(bias);
                for tap in 0..9 * channels {
                    let (i, j, c) = (tap / (3 * channels), tap / channels % 3, tap % channels);
                    let x = x[((row + i) * size + column + j) * channels + c];
                    sums.iter_mut().zip(&weight[tap * filters..]).for_each(|(sum, w)| *sum += w * x);
                }
            }
        }
        for row in 0..rows / 2 {
            for column in 0..rows / 2 {
                for filter in 0..filters {
                    let window = (0..4).map(|p| (2 * row + p / 2, 2 * column + p % 2));
                    let value = |(r, c): &(usize, usize)| sums[(r * rows + c) * filters + filter];
                    let best = window.max_by(|a, b| value(a).total_cmp(&value(b))).unwrap();
                    y.push(value(&best).max(0.0));
                    winners.push((value(&best) > 0.0).then_some(best));
                }
            }
        }
        (y, winners)
    }

    fn block_back(
        x: &[f64],
        size: usize,
        channels: usize,
        weight: &[f64],
        filters: usize,
        winners: &[Option<(usize, usize)>],
        dy: &[f64],
    ) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (mut dw, mut db, mut dx) = (vec![0.0; weight.len()], vec![0.0; filters], vec![0.0; x.len()]);
        for (index, (winner, dy)) in winners.iter().zip(dy).enumerate() {
            let (Some((row, column)), filter) = (winner, index % filters) else { continue };
            db[filter] += dy;
            for tap in 0..9 * channels {
                let (i, j, c) = (tap / (3 * channels), tap / channels % 3, tap % channels);
                let place = ((row + i) * size + column + j) * channels + c;
                dw[tap * filters + filter] += dy * x[place];
                dx[place] += dy * weight[tap * filters + filter];
            }
        }
        (dw, db, dx)
    }
}
