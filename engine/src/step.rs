//! A network as the engine gets it: layers whose shapes and names are worked out.

use serde::Serialize;

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
    /// Of each group of values, the logarithm of their summed exponentials; of two groups, the first's less the second's.
    LogSumExp {
        /// How many values are in each, in their order.
        groups: Vec<usize>,
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

/// A function of each value of a layer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The value itself.
    Linear,
    /// `max(0, value)`.
    Relu,
    /// `min(6, max(0, value))`.
    Relu6,
}

/// Whether a convolution's windows reach beyond the picture, where there are zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// No: each window lies within the picture.
    #[default]
    Valid,
    /// Yes: there are `ceil(length / stride)` windows along a side.
    Same,
}

impl Window {
    /// Windows down and across a picture.
    ///
    /// # Errors
    /// The reason why there are none.
    pub fn outputs(self, height: usize, width: usize) -> Result<(usize, usize), &'static str> {
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
    /// The trained tensors of this operation itself.
    pub fn parameters(&self) -> Option<&Parameters> {
        match self {
            Self::Conv2d { parameters, .. }
            | Self::DepthwiseConv2d { parameters, .. }
            | Self::Dense { parameters, .. } => Some(parameters),
            Self::Residual { .. }
            | Self::GlobalAveragePool2d
            | Self::Dropout { .. }
            | Self::Flatten
            | Self::LogSumExp { .. } => None,
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
