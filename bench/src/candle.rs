//! A model in candle, the way its users write one: stock operations, pictures `[batch, channels, height, width]`; or with
//! an operation of their own where convolution, ReLU and pool follow each other.

use candle_core::{Device, Error, Result, Tensor};
use husky::{
    Spec, Weights,
    spec::{Activation, Op, Padding, Parameters, Shape, Step, Window},
};

use crate::fused::{self, ConvReluPool};

/// A network with its weights.
pub struct Network {
    layers: Vec<Layer>,
    size: usize,
}

enum Layer {
    Conv { weight: Tensor, bias: Tensor, groups: usize, stride: usize, padding: [[usize; 2]; 2] },
    ConvReluPool { weight: Tensor, bias: Tensor },
    Dense { weight: Tensor, bias: Tensor },
    Relu,
    Relu6,
    MaxPool,
    Residual(Vec<Self>),
    Mean,
    Flatten,
    LogSumExp(Vec<usize>),
}

impl Network {
    /// Builds the network of `spec`, of stock operations or with the fused one where it fits.
    ///
    /// # Errors
    /// The spec is wrong, or candle's.
    pub fn new(spec: &Spec, weights: &Weights, fused: bool) -> Result<Self> {
        let steps = spec.steps().map_err(Error::wrap)?;
        Ok(Self { layers: layers(&steps, weights, fused)?, size: spec.input.size as usize })
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
        forward(&self.layers, input)?.flatten_all()?.get(0)?.to_scalar()
    }
}

fn layers(steps: &[Step], weights: &Weights, fused: bool) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    for step in steps {
        match &step.op {
            Op::Conv2d {
                parameters,
                window: Window { stride: 1, padding: Padding::Valid, .. },
                activation: Activation::Relu,
                pool: true,
            } if fused => {
                let (_, bias) = load(parameters, weights)?;
                let shape = parameters.shape[..].try_into().map_err(Error::wrap)?;
                let weight = fused::pack(weights.get(&parameters.weight_name()), shape)?;
                layers.push(Layer::ConvReluPool { weight, bias });
            }
            Op::Conv2d { parameters, window, activation, pool } => {
                let (weight, bias) = load(parameters, weights)?;
                // [kernel, kernel, in, out] becomes [out, in, kernel, kernel].
                let weight = weight.permute((3, 2, 0, 1))?.contiguous()?;
                layers.push(conv(weight, &bias, 1, *window, step.input)?);
                layers.extend(activated(*activation));
                layers.extend(pool.then_some(Layer::MaxPool));
            }
            Op::DepthwiseConv2d { parameters, window, activation } => {
                let (weight, bias) = load(parameters, weights)?;
                // [kernel, kernel, channels] becomes [channels, 1, kernel, kernel].
                let weight = weight.permute((2, 0, 1))?.unsqueeze(1)?.contiguous()?;
                let channels = parameters.bias_len();
                layers.push(conv(weight, &bias, channels, *window, step.input)?);
                layers.extend(activated(*activation));
            }
            Op::Residual { steps } => layers.push(Layer::Residual(self::layers(steps, weights, fused)?)),
            Op::GlobalAveragePool2d => layers.push(Layer::Mean),
            Op::Dense { parameters, activation } => {
                let (weight, bias) = load(parameters, weights)?;
                layers.push(Layer::Dense { weight, bias });
                layers.extend(activated(*activation));
            }
            Op::Flatten => layers.push(Layer::Flatten),
            Op::LogSumExp { groups } => layers.push(Layer::LogSumExp(groups.clone())),
            Op::Dropout { .. } => {}
        }
    }
    Ok(layers)
}

fn conv(weight: Tensor, bias: &Tensor, groups: usize, window: Window, input: Shape) -> Result<Layer> {
    let Shape::Image { height, width, .. } = input else { candle_core::bail!("a convolution reads a picture") };
    let padding = [window.margins(height), window.margins(width)];
    Ok(Layer::Conv { weight, bias: bias.reshape((1, (), 1, 1))?, groups, stride: window.stride, padding })
}

fn activated(activation: Activation) -> Option<Layer> {
    match activation {
        Activation::Linear => None,
        Activation::Relu => Some(Layer::Relu),
        Activation::Relu6 => Some(Layer::Relu6),
    }
}

fn forward(layers: &[Layer], input: &Tensor) -> Result<Tensor> {
    let mut x = input.clone();
    for layer in layers {
        x = match layer {
            Layer::Conv { weight, bias, groups, stride, padding: [rows, columns] } => {
                // candle pads alike on all sides, and where that serves it is faster.
                let alike = rows[0] == rows[1] && rows == columns;
                let (x, padding) = if alike {
                    (x, rows[0])
                } else {
                    (x.pad_with_zeros(2, rows[0], rows[1])?.pad_with_zeros(3, columns[0], columns[1])?, 0)
                };
                x.conv2d(weight, padding, *stride, 1, *groups)?.broadcast_add(bias)?
            }
            // Only the first picture is really moved; between two such layers the two permutations undo each other.
            Layer::ConvReluPool { weight, bias } => {
                let x = x.permute((0, 2, 3, 1))?.contiguous()?;
                x.apply_op3_no_bwd(weight, bias, &ConvReluPool)?.permute((0, 3, 1, 2))?
            }
            Layer::Dense { weight, bias } => x.matmul(weight)?.broadcast_add(bias)?,
            Layer::Relu => x.relu()?,
            Layer::Relu6 => x.clamp(0_f32, 6_f32)?,
            Layer::MaxPool => x.max_pool2d(2)?,
            Layer::Residual(layers) => (forward(layers, &x)? + x)?,
            Layer::Mean => x.mean((2, 3))?,
            Layer::Flatten => x.permute((0, 2, 3, 1))?.flatten_from(1)?,
            Layer::LogSumExp(groups) => {
                let mut start = 0;
                let mut sums = Vec::new();
                for &count in groups {
                    sums.push(x.narrow(1, start, count)?.log_sum_exp(1)?.unsqueeze(1)?);
                    start += count;
                }
                if let [first, second] = &sums[..] { (first - second)? } else { Tensor::cat(&sums, 1)? }
            }
        };
    }
    Ok(x)
}

fn load(parameters: &Parameters, weights: &Weights) -> Result<(Tensor, Tensor)> {
    let weight = tensor(weights.get(&parameters.weight_name()), &parameters.shape)?;
    let bias = tensor(weights.get(&parameters.bias_name()), &[parameters.bias_len()])?;
    Ok((weight, bias))
}

fn tensor(values: &[f32], shape: &[usize]) -> Result<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu)
}
