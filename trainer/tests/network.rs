//! Whole networks: their gradients against finite differences in f64, those of `classic` against an independent reference.

#![allow(clippy::unwrap_used)]

#[path = "../../ops/tests/finite_differences/mod.rs"]
mod finite_differences;

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use finite_differences::{compare, random};
use husky::Spec;
use husky::spec::{Activation, Architecture, Input, Layer, Padding, Provenance, Resize, Step};
use husky_ops::{CrossEntropy, one_hot};
use trainer::network::{DropoutKey, Frozen, Gradients, Network};
use trainer::presets::Preset;

/// Holds the gradients of the loss, by all parameters and the input, against finite differences.
fn check_network(network: &Network, x: &Var, labels: &[usize]) {
    let loss = |outputs: &Tensor| network.logits(outputs)?.apply_op1(CrossEntropy::new(one_hot(labels, 2)));
    let pass = || network.gradients(x, loss, KEY);
    let inputs: Vec<&Var> = network.parameters().values().chain([x]).collect();
    compare(&inputs, &pass().unwrap().gradients, || Ok(pass()?.loss));
}

fn values(var: &Var) -> Vec<f64> {
    var.flatten_all().unwrap().to_vec1().unwrap()
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
