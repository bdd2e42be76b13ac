//! Every training operation against finite differences in f64.

#![allow(clippy::unwrap_used)]

mod finite_differences;

use candle_core::{DType, Device, Result, Tensor, Var};
use finite_differences::{compare, random};
use husky::spec::{Activation, Padding, Window};
use husky_ops::{
    BatchNorm, Conv2d, CrossEntropy, Dense, DepthwiseConv2d, Dropout, GlobalAveragePool2d, LogSumExp, Pointwise,
    Statistics, one_hot,
};

/// A scalar that depends on every value of `y` in its own way, so that no error in a gradient can cancel out.
fn weighted_sum(y: &Tensor) -> Tensor {
    (y * random(99, y.dims()).as_tensor()).unwrap().sum_all().unwrap()
}

/// Holds the gradient of `f` by each of `inputs` against central differences.
fn check(inputs: &[&Var], f: impl Fn() -> Result<Tensor>) {
    compare(inputs, &f().unwrap().backward().unwrap(), f);
}

fn window(kernel: usize, stride: usize, padding: Padding) -> Window {
    Window { kernel, stride, padding }
}

#[test]
fn conv2d() {
    let (valid, same) = (Padding::Valid, Padding::Same);
    // More pictures than one task takes, odd sizes whose last row and column the pool drops, windows that are larger than
    // the picture; the last three go Winograd's way, with channels that fill no whole vectors, tiles that end outside, and
    // small pictures that share a band.
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
        ([5, 3, 2, 16], window(3, 1, same), 16),
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
            let dropout = dropout.then(|| Dropout::new(0.4, [1, 2, 3, 0]));
            let op = || Conv2d::new(window, activation, pool, dropout);
            check(&[&x, &weight, &bias], || Ok(weighted_sum(&x.apply_op3(&weight, &bias, op())?)));
        }
    }
}

#[test]
fn conv2d_equals_candle() {
    // Wide enough for several bands, and so small that several pictures share one; im2col and Winograd.
    for (shape, filters) in [([2, 70, 66, 3], 5), ([2, 70, 66, 18], 20), ([6, 7, 6, 18], 20)] {
        let [.., channels] = shape;
        let x = random(1, &shape);
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
    let key = |first_sample| [7, 0x100, 2, first_sample];
    let op = || Dropout::new(0.4, key(8));
    check(&[&x], || Ok(weighted_sum(&x.apply_op1(op())?)));

    let ones = Tensor::ones(&[8, 10_000], DType::F32, &Device::Cpu).unwrap();
    let dropped: Vec<f32> = ones.apply_op1(op()).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let zeros = dropped.iter().filter(|&&x| x == 0.0).count() as f64 / dropped.len() as f64;
    assert!((zeros - 0.4).abs() < 0.01, "{zeros}");
    assert!(dropped.iter().all(|&x| x == 0.0 || (x - 1.0 / 0.6).abs() < 1e-6));
    // What is dropped follows the sample, not its place in the batch.
    let later = Dropout::new(0.4, key(11));
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
