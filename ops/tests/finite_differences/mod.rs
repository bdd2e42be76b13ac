//! Gradients held against finite differences; the trainer's tests of whole networks use it, too.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use rand::{RngExt, SeedableRng};

/// Values in ±1, the same for one seed.
pub fn random(seed: u64, shape: &[usize]) -> Var {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Holds `gradients`, by each of `inputs`, against central differences of `f`.
pub fn compare(inputs: &[&Var], gradients: &GradStore, f: impl Fn() -> Result<Tensor>) {
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
