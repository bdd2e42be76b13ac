//! A model in candle, the way its users write one: stock operations, pictures `[batch, channels, height, width]`.

use candle_core::{Device, Error, Result, Tensor};
use husky::{
    Spec, Weights,
    spec::{Op, Parameters},
};

/// A network with its weights.
pub struct Network {
    layers: Vec<Layer>,
    size: usize,
}

enum Layer {
    Conv { weight: Tensor, bias: Tensor, relu: bool, pool: bool },
    Dense { weight: Tensor, bias: Tensor, relu: bool },
    Flatten,
}

impl Network {
    /// Builds the network of `spec`.
    ///
    /// # Errors
    /// The spec is wrong, or candle's.
    pub fn new(spec: &Spec, weights: &Weights) -> Result<Self> {
        let mut layers = Vec::new();
        for step in spec.steps().map_err(Error::wrap)? {
            match step.op {
                Op::Conv2d { parameters, relu, pool, .. } => {
                    let (weight, bias) = load(&parameters, weights)?;
                    // [kernel, kernel, in, out] becomes [out, in, kernel, kernel].
                    let weight = weight.permute((3, 2, 0, 1))?.contiguous()?;
                    layers.push(Layer::Conv { weight, bias: bias.reshape((1, (), 1, 1))?, relu, pool });
                }
                Op::Dense { parameters, relu } => {
                    let (weight, bias) = load(&parameters, weights)?;
                    layers.push(Layer::Dense { weight, bias, relu });
                }
                Op::Flatten => layers.push(Layer::Flatten),
                Op::Dropout { .. } => {}
            }
        }
        Ok(Self { layers, size: spec.input.size as usize })
    }

    /// The network's input from normalised values, `[size, size, 3]`.
    ///
    /// # Errors
    /// `values` has another length.
    pub fn input(&self, values: &[f32]) -> Result<Tensor> {
        tensor(values, &[1, self.size, self.size, 3])?.permute((0, 3, 1, 2))?.contiguous()
    }

    /// The first logit.
    ///
    /// # Errors
    /// Candle's.
    pub fn logit(&self, input: &Tensor) -> Result<f32> {
        let mut x = input.clone();
        for layer in &self.layers {
            x = match layer {
                Layer::Conv { weight, bias, relu, pool } => {
                    let x = x.conv2d(weight, 0, 1, 1, 1)?.broadcast_add(bias)?;
                    let x = if *relu { x.relu()? } else { x };
                    if *pool { x.max_pool2d(2)? } else { x }
                }
                Layer::Dense { weight, bias, relu } => {
                    let x = x.matmul(weight)?.broadcast_add(bias)?;
                    if *relu { x.relu()? } else { x }
                }
                Layer::Flatten => x.permute((0, 2, 3, 1))?.flatten_from(1)?,
            };
        }
        x.flatten_all()?.get(0)?.to_scalar()
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
