//! A [`Spec`] as a candle graph, for training.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var, bail};
use husky::spec::{Op, Parameters, Shape, Spec, Step};
use rand::RngExt;

use crate::ops::{Conv2d, Dense, Dropout, DropoutKey};
use crate::random::{self, Stream};

/// A network whose parameters can be trained. The inference twin is [`husky::engine::Network`].
pub struct Network {
    steps: Vec<Step>,
    /// In name order, which is the order of everything that is kept about them.
    parameters: BTreeMap<String, Var>,
}

impl Network {
    /// A network with fresh parameters, Keras' way: weights from Glorot's uniform distribution, biases zero.
    pub fn new(spec: &Spec, seed: u64) -> anyhow::Result<Self> {
        let steps = spec.steps()?;
        let mut tensors = BTreeMap::new();
        for (i, p) in steps.iter().flat_map(Step::parameters).enumerate() {
            tensors.insert(
                p.weight_name(),
                Tensor::from_vec(glorot_uniform(p, seed, i as u64), p.shape.clone(), &Device::Cpu)?,
            );
            tensors.insert(p.bias_name(), Tensor::zeros(p.bias_len(), candle_core::DType::F32, &Device::Cpu)?);
        }
        Ok(Self::from_tensors(spec, tensors)?)
    }

    /// A network with the given parameters, by name.
    ///
    /// # Errors
    /// A tensor that the spec asks for is missing or has another shape.
    pub fn from_tensors(spec: &Spec, mut tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let steps = spec.steps().map_err(candle_core::Error::wrap)?;
        let mut parameters = BTreeMap::new();
        for p in steps.iter().flat_map(Step::parameters) {
            for (name, shape) in [(p.weight_name(), &p.shape[..]), (p.bias_name(), &[p.bias_len()])] {
                match tensors.remove(&name) {
                    Some(tensor) if tensor.dims() == shape => {
                        parameters.insert(name, Var::from_tensor(&tensor)?);
                    }
                    Some(tensor) => bail!("{name} has shape {:?} instead of {shape:?}", tensor.dims()),
                    None => bail!("{name} is missing"),
                }
            }
        }
        Ok(Self { steps, parameters })
    }

    /// Name and values of each parameter, in name order.
    pub fn parameters(&self) -> &BTreeMap<String, Var> {
        &self.parameters
    }

    /// Logits `[batch, outputs]` of `input` `[batch, size, size, 3]`, with dropout where a key is given: the training pass,
    /// which keeps what the gradients need.
    pub fn forward(&self, input: &Tensor, dropout: Option<DropoutKey>) -> Result<Tensor> {
        let mut x = input.clone();
        let mut dropouts = 0;
        let mut steps = self.steps.iter().peekable();
        while let Some(step) = steps.next() {
            let mut next_dropout = |rate: f32| {
                let layer = dropouts;
                dropouts += 1;
                dropout.map(|key| Dropout::new(rate, layer, key))
            };
            x = match &step.op {
                Op::Conv2d { parameters, window, activation, pool } => {
                    let (weight, bias) = self.tensors(parameters, dropout.is_some());
                    // A dropout that follows is fused: it costs a pass over the memory less each way.
                    let dropout = match steps.next_if(|next| matches!(next.op, Op::Dropout { .. })) {
                        Some(Step { op: Op::Dropout { rate }, .. }) => next_dropout(*rate),
                        _ => None,
                    };
                    x.apply_op3(&weight, &bias, Conv2d::new(*window, *activation, *pool, dropout))?
                }
                Op::Dense { parameters, activation } => {
                    let (weight, bias) = self.tensors(parameters, dropout.is_some());
                    x.apply_op3(&weight, &bias, Dense::new(*activation))?
                }
                Op::DepthwiseConv2d { .. } | Op::Residual { .. } | Op::GlobalAveragePool2d => {
                    bail!("this layer can't be trained yet")
                }
                Op::Flatten => x.flatten_from(1)?,
                Op::Dropout { rate } => match next_dropout(*rate) {
                    None => x,
                    Some(op) => x.apply_op1(op)?,
                },
            };
            debug_assert_eq!(x.dims()[1..], dimensions(step.output));
        }
        Ok(x)
    }

    fn tensors(&self, parameters: &Parameters, training: bool) -> (Tensor, Tensor) {
        let tensor = |name: &str| {
            let var = &self.parameters[name];
            if training { var.as_tensor().clone() } else { var.as_detached_tensor() }
        };
        (tensor(&parameters.weight_name()), tensor(&parameters.bias_name()))
    }

    /// The parameters as the model file takes them.
    pub fn weights(&self, spec: &Spec) -> anyhow::Result<husky::Weights> {
        let values = self.parameters.iter().map(|(name, var)| Ok((name.clone(), var.flatten_all()?.to_vec1()?)));
        Ok(husky::Weights::new(spec, values.collect::<Result<_>>()?)?)
    }
}

fn dimensions(shape: Shape) -> Vec<usize> {
    match shape {
        Shape::Image { height, width, channels } => vec![height, width, channels],
        Shape::Vector(length) => vec![length],
    }
}

/// Uniform in `±sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010, Keras' default).
fn glorot_uniform(parameters: &Parameters, seed: u64, index: u64) -> Vec<f32> {
    let [window @ .., fan_in, fan_out] = &parameters.shape[..] else { return Vec::new() };
    let window: usize = window.iter().product();
    let limit = (6.0 / (window * (fan_in + fan_out)) as f32).sqrt();
    let mut rng = random::rng(seed, Stream::Initialization, 0, index);
    (0..parameters.shape.iter().product()).map(|_| rng.random_range(-limit..limit)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::presets::Preset;

    #[test]
    fn fresh_parameters_are_kerass() {
        let spec = Preset::Classic.spec(vec!["yes".into(), "no".into()]);
        let values = |seed: u64, name: &str| -> Vec<f32> {
            Network::new(&spec, seed).unwrap().parameters()[name].flatten_all().unwrap().to_vec1().unwrap()
        };
        // Fans in and out of conv2d_2: 3 * 3 * 32 and 3 * 3 * 64. Uniform in +-limit has a variance of limit^2 / 3.
        let weights = values(1, "conv2d_2.weight");
        let limit = (6.0 / (9.0 * (32.0 + 64.0)) as f32).sqrt();
        let largest = weights.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
        assert!(largest <= limit && largest > 0.99 * limit, "{largest} and {limit}");
        let variance = weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32;
        assert!((variance / (limit * limit / 3.0) - 1.0).abs() < 0.05, "{variance}");
        assert!(values(1, "conv2d_2.bias").iter().all(|&b| b == 0.0));
        assert!(weights == values(1, "conv2d_2.weight") && weights != values(2, "conv2d_2.weight"));
    }
}
