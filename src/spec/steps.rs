//! An architecture worked out for an input size: shapes, names and costs of all layers.

use super::{Activation, Architecture, Layer, Padding};
use crate::{Error, Result};

/// The shape of what flows between layers, for one photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `[height, width, channels]`.
    Image {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Values a pixel.
        channels: usize,
    },
    /// `[length]`.
    Vector(usize),
}

/// A layer with its place worked out: what engine and trainer are built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is computed.
    pub op: Op,
    /// Shape of what comes in.
    pub input: Shape,
    /// Shape of what goes out.
    pub output: Shape,
}

/// What a [`Step`] computes. A max pool is fused into its convolution.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution, bias, activation and, with `pool`, the 2x2 maximum.
    Conv2d {
        /// Shapes and names of weights and bias.
        parameters: Parameters,
        /// Where its window stands.
        window: Window,
        /// What follows the sum.
        activation: Activation,
        /// Whether a 2x2 max pool follows.
        pool: bool,
    },
    /// A convolution of each channel by itself, bias, activation.
    DepthwiseConv2d {
        /// Shapes and names of weights and bias.
        parameters: Parameters,
        /// Where its window stands.
        window: Window,
        /// What follows the sum.
        activation: Activation,
    },
    /// The input plus what the steps make of it.
    Residual {
        /// The steps, first to last.
        steps: Vec<Step>,
    },
    /// The mean of each channel.
    GlobalAveragePool2d,
    /// Dropout; nothing at inference.
    Dropout {
        /// Probability of a value to be dropped.
        rate: f32,
    },
    /// A new shape for the same values.
    Flatten,
    /// Matrix product, bias, activation.
    Dense {
        /// Shapes and names of weights and bias.
        parameters: Parameters,
        /// What follows the sum.
        activation: Activation,
    },
}

/// The square window of a convolution, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its side.
    pub kernel: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Whether windows reach beyond the picture.
    pub padding: Padding,
}

/// The trained tensors of a layer: `NAME.weight` with `shape` and `NAME.bias` with its last dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The layer's name, Keras' way: `conv2d_1`, `dense_2`.
    pub layer: String,
    /// Shape of the weights.
    pub shape: Vec<usize>,
}

impl Architecture {
    /// The most layers a model may have.
    pub const MAX_LAYERS: usize = 256;
    /// The most trained values.
    pub const MAX_PARAMETERS: usize = 64 << 20;
    /// The most values that may flow between two layers, with the margin that padding adds.
    pub const MAX_ACTIVATIONS: usize = 64 << 20;
    /// The most multiplications for one photo: about two seconds in a browser.
    pub const MAX_MULTIPLICATIONS: u64 = 40_000_000_000;

    /// Shapes and names of all layers, with each max pool fused into its convolution.
    ///
    /// # Errors
    /// [`Error::ModelLayerCount`], [`Error::ModelLayer`] and [`Error::ModelCost`]. They count layers from 0, a residual
    /// block before the layers in it.
    pub fn steps(&self, size: u32) -> Result<Vec<Step>> {
        let layers = count(&self.0);
        if !(1..=Self::MAX_LAYERS).contains(&layers) {
            return Err(Error::ModelLayerCount(layers));
        }
        let size = size as usize;
        Tally::default().steps(&self.0, Shape::Image { height: size, width: size, channels: 3 })
    }
}

/// Layers, with those inside of residual blocks.
fn count(layers: &[Layer]) -> usize {
    layers.iter().map(|layer| if let Layer::Residual { layers } = layer { 1 + count(layers) } else { 1 }).sum()
}

/// What has been counted on the way through the layers.
#[derive(Default)]
struct Tally {
    layers: usize,
    conv2d: usize,
    depthwise_conv2d: usize,
    dense: usize,
    parameters: usize,
    multiplications: u64,
}

impl Tally {
    fn steps(&mut self, layers: &[Layer], input: Shape) -> Result<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        let mut shape = input;
        for layer in layers {
            let index = self.layers;
            self.layers += 1;
            let wrong = |reason| Error::ModelLayer { index, reason };
            if *layer == Layer::MaxPool2d {
                shape = fuse_pool(steps.last_mut(), shape).map_err(wrong)?;
                continue;
            }
            let input = shape;
            let op = if let Layer::Residual { layers } = layer {
                let steps = self.steps(layers, input)?;
                if steps.iter().all(|step| step.parameters().is_empty()) {
                    return Err(wrong("has no trained layer in it"));
                }
                if steps.last().is_none_or(|last| last.output != input) {
                    return Err(wrong("adds what has different shapes"));
                }
                Op::Residual { steps }
            } else {
                let (op, output) = self.step(layer, input).map_err(wrong)?;
                shape = output;
                op
            };
            self.add_cost(&op, input, shape).ok_or(Error::ModelCost { index })?;
            steps.push(Step { op, input, output: shape });
        }
        Ok(steps)
    }

    /// One layer's operation and output; the error is the reason why it can't stand there.
    fn step(&mut self, layer: &Layer, input: Shape) -> std::result::Result<(Op, Shape), &'static str> {
        let named = |name: &str, count: &mut usize, shape: &[usize]| {
            *count += 1;
            Parameters { layer: format!("{name}_{count}"), shape: shape.to_vec() }
        };
        Ok(match (layer, input) {
            (
                &Layer::Conv2d { filters, kernel, stride, padding, activation },
                Shape::Image { height, width, channels },
            ) => {
                let window = Window { kernel: kernel as usize, stride: stride as usize, padding };
                let (height, width) = window.outputs(height, width)?;
                let filters = filters as usize;
                if filters == 0 {
                    return Err("has no filters");
                }
                let shape = [window.kernel, window.kernel, channels, filters];
                let parameters = named("conv2d", &mut self.conv2d, &shape);
                (
                    Op::Conv2d { parameters, window, activation, pool: false },
                    Shape::Image { height, width, channels: filters },
                )
            }
            (
                &Layer::DepthwiseConv2d { kernel, stride, padding, activation },
                Shape::Image { height, width, channels },
            ) => {
                if !matches!((kernel, stride), (3 | 5, 1 | 2)) {
                    return Err("has a window other than 3x3 or 5x5, or a stride other than 1 or 2");
                }
                let window = Window { kernel: kernel as usize, stride: stride as usize, padding };
                let (height, width) = window.outputs(height, width)?;
                let shape = [window.kernel, window.kernel, channels];
                let parameters = named("depthwise_conv2d", &mut self.depthwise_conv2d, &shape);
                (Op::DepthwiseConv2d { parameters, window, activation }, Shape::Image { height, width, channels })
            }
            (Layer::GlobalAveragePool2d, Shape::Image { channels, .. }) => {
                (Op::GlobalAveragePool2d, Shape::Vector(channels))
            }
            (&Layer::Dropout { percent }, _) => {
                if percent > 99 {
                    return Err("drops everything");
                }
                (Op::Dropout { rate: f32::from(percent) / 100.0 }, input)
            }
            (Layer::Flatten, Shape::Image { .. }) => (Op::Flatten, Shape::Vector(input.len())),
            (&Layer::Dense { units, activation }, Shape::Vector(length)) => {
                if units == 0 {
                    return Err("has no units");
                }
                let units = units as usize;
                let parameters = named("dense", &mut self.dense, &[length, units]);
                (Op::Dense { parameters, activation }, Shape::Vector(units))
            }
            (Layer::Dense { .. }, Shape::Image { .. }) => {
                return Err("needs a flatten or a global average pool before it");
            }
            (_, Shape::Vector(_)) => return Err("needs a picture, and a vector reaches it"),
            (Layer::MaxPool2d | Layer::Residual { .. }, _) => unreachable!("`steps` takes these itself"),
        })
    }

    /// Nothing where the limits are passed.
    fn add_cost(&mut self, op: &Op, input: Shape, output: Shape) -> Option<()> {
        if let Some(p) = op.parameters() {
            let weights = p.shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
            let positions =
                if let Shape::Image { height, width, .. } = output { height.checked_mul(width)? } else { 1 };
            self.parameters = self.parameters.checked_add(weights)?.checked_add(p.bias_len())?;
            let work = (weights as u64).checked_mul(positions as u64)?;
            self.multiplications = self.multiplications.checked_add(work)?;
        }
        let padded = match (op, input) {
            (
                Op::Conv2d { window, .. } | Op::DepthwiseConv2d { window, .. },
                Shape::Image { height, width, channels },
            ) => {
                let side = |length: usize| length.checked_add(window.margins(length).iter().sum());
                Shape::Image { height: side(height)?, width: side(width)?, channels }
            }
            _ => input,
        };
        let within = self.parameters <= Architecture::MAX_PARAMETERS
            && padded.checked_len()?.max(output.checked_len()?) <= Architecture::MAX_ACTIVATIONS
            && self.multiplications <= Architecture::MAX_MULTIPLICATIONS;
        within.then_some(())
    }
}

/// Lets the convolution before a max pool do its work; the error is the reason why it can't.
fn fuse_pool(before: Option<&mut Step>, shape: Shape) -> std::result::Result<Shape, &'static str> {
    let Shape::Image { height, width, channels } = shape else {
        return Err("needs a picture, and a vector reaches it");
    };
    let Some(Step { op: Op::Conv2d { pool, .. }, output, .. }) = before else {
        return Err("does not follow a convolution");
    };
    if std::mem::replace(pool, true) {
        return Err("follows another max pool");
    }
    if height.min(width) < 2 {
        return Err("has a window larger than the picture that reaches it");
    }
    *output = Shape::Image { height: height / 2, width: width / 2, channels };
    Ok(*output)
}

impl Window {
    /// Windows down and across a picture.
    ///
    /// # Errors
    /// The reason why there are none.
    pub fn outputs(self, height: usize, width: usize) -> std::result::Result<(usize, usize), &'static str> {
        if self.kernel == 0 {
            return Err("has no window");
        }
        if self.stride == 0 {
            return Err("has a window that does not move");
        }
        if self.padding == Padding::Valid && self.kernel > height.min(width) {
            return Err("has a window larger than the picture that reaches it");
        }
        Ok((self.output(height), self.output(width)))
    }

    /// Windows along a side of `length` pixels.
    fn output(self, length: usize) -> usize {
        match self.padding {
            Padding::Valid => (length - self.kernel) / self.stride + 1,
            Padding::Same => length.div_ceil(self.stride),
        }
    }

    /// The zeros before and after a side of `length` pixels. As in TensorFlow, the odd one comes after.
    pub fn margins(self, length: usize) -> [usize; 2] {
        match self.padding {
            Padding::Valid => [0, 0],
            Padding::Same => {
                let reach = (self.output(length) - 1) * self.stride + self.kernel;
                let total = reach.saturating_sub(length);
                [total / 2, total - total / 2]
            }
        }
    }
}

impl Shape {
    /// The number of values.
    #[expect(clippy::len_without_is_empty, reason = "the spec lets no empty shape through")]
    pub fn len(self) -> usize {
        match self {
            Self::Image { height, width, channels } => height * width * channels,
            Self::Vector(length) => length,
        }
    }

    fn checked_len(self) -> Option<usize> {
        match self {
            Self::Image { height, width, channels } => height.checked_mul(width)?.checked_mul(channels),
            Self::Vector(length) => Some(length),
        }
    }
}

impl Step {
    /// The trained tensors of this step and of those in it, in the order of the layers.
    pub fn parameters(&self) -> Vec<&Parameters> {
        match &self.op {
            Op::Residual { steps } => steps.iter().flat_map(Self::parameters).collect(),
            op => op.parameters().into_iter().collect(),
        }
    }
}

impl Op {
    fn parameters(&self) -> Option<&Parameters> {
        match self {
            Self::Conv2d { parameters, .. }
            | Self::DepthwiseConv2d { parameters, .. }
            | Self::Dense { parameters, .. } => Some(parameters),
            Self::Residual { .. } | Self::GlobalAveragePool2d | Self::Dropout { .. } | Self::Flatten => None,
        }
    }
}

impl Parameters {
    /// Name of the weights' tensor.
    pub fn weight_name(&self) -> String {
        format!("{}.weight", self.layer)
    }

    /// Name of the bias' tensor.
    pub fn bias_name(&self) -> String {
        format!("{}.bias", self.layer)
    }

    /// Name of the tensor of scales that 8-bit weights come with.
    pub fn scale_name(&self) -> String {
        format!("{}.scale", self.layer)
    }

    /// Number of output channels or units, the bias' length.
    pub fn bias_len(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    /// Number of trained values, weights and bias.
    pub fn count(&self) -> usize {
        self.shape.iter().product::<usize>() + self.bias_len()
    }
}
