//! The optimizers against Keras' formulas, worked out by hand in f64.

#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor, Var};
use candle_nn::Optimizer as _;
use trainer::optimizer::{Algorithm, Optimizer, Settings};

/// Parameters after each of `steps` steps on the loss `sum(c * p)`, whose gradient is `c` in the first step and `-c` and so
/// on in turn.
fn descend(settings: Settings, steps: usize) -> Vec<Vec<f32>> {
    let parameter = Var::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap();
    let mut optimizer = Optimizer::new(vec![parameter.clone()], settings).unwrap();
    let mut path = Vec::new();
    for step in 0..steps {
        let sign = if step % 2 == 0 { 1.0_f32 } else { -0.5 };
        let slope = Tensor::new(&[0.5 * sign, 3.0 * sign], &Device::Cpu).unwrap();
        let loss = (parameter.as_tensor() * slope).unwrap().sum_all().unwrap();
        optimizer.backward_step(&loss).unwrap();
        path.push(parameter.to_vec1().unwrap());
    }
    path
}

/// Decay takes its share of a matrix before the step, whatever the gradient, and nothing of a vector; each parameter has
/// its own rate.
#[test]
fn weight_decay_is_decoupled_and_spares_vectors() {
    let matrix = Var::new(&[[2.0_f32]], &Device::Cpu).unwrap();
    let vector = Var::new(&[2.0_f32], &Device::Cpu).unwrap();
    let settings = Settings { algorithm: Algorithm::Sgd, learning_rate: 0.5, momentum: 0.0, weight_decay: 0.1 };
    let mut optimizer = Optimizer::new(vec![matrix.clone(), vector.clone()], settings).unwrap();
    optimizer.factors = vec![1.0, 0.5];
    let loss = (matrix.sum_all().unwrap() + vector.sum_all().unwrap()).unwrap();
    optimizer.backward_step(&loss).unwrap();
    assert_eq!(matrix.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [2.0 * (1.0 - 0.05) - 0.5]);
    assert_eq!(vector.to_vec1::<f32>().unwrap(), [2.0 - 0.25]);
}

fn check(algorithm: Algorithm, momentum: f64, rule: impl Fn(usize, f64, &mut [f64; 2]) -> f64) {
    let path = descend(Settings { algorithm, learning_rate: 0.1, momentum, weight_decay: 0.0 }, 5);
    for (i, (start, slope)) in [(1.0, 0.5), (-2.0, 3.0)].into_iter().enumerate() {
        let (mut p, mut memory) = (start, [0.0; 2]);
        for (step, found) in path.iter().enumerate() {
            let gradient = if step % 2 == 0 { slope } else { -0.5 * slope };
            p -= rule(step + 1, gradient, &mut memory);
            assert!((f64::from(found[i]) - p).abs() < 1e-5, "{algorithm:?}, step {}: {} {p}", step + 1, found[i]);
        }
    }
}

#[test]
fn adam() {
    check(Algorithm::Adam, 0.0, |step, g, [m, v]| {
        *m = 0.9 * *m + 0.1 * g;
        *v = 0.999 * *v + 0.001 * g * g;
        let (m, v) = (*m / (1.0 - 0.9_f64.powi(step as i32)), *v / (1.0 - 0.999_f64.powi(step as i32)));
        0.1 * m / (v.sqrt() + 1e-7)
    });
}

#[test]
fn rms_prop() {
    check(Algorithm::RmsProp, 0.0, |_, g, [v, _]| {
        *v = 0.9 * *v + 0.1 * g * g;
        0.1 * g / (*v + 1e-7).sqrt()
    });
}

#[test]
fn sgd() {
    for momentum in [0.0, 0.9] {
        check(Algorithm::Sgd, momentum, |_, g, [velocity, _]| {
            *velocity = momentum * *velocity + 0.1 * g;
            *velocity
        });
    }
}
