//! A model as data: architecture, labels, preprocessing and calibration. The model file carries it; the engine
//! (inference) and the trainer's candle graph are both built from it.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Everything about a model but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The preset's name, such as `classic`.
    pub name: String,
    /// What the network is fed.
    pub input: Input,
    /// The network, first layer first.
    pub architecture: Architecture,
    /// At least two, all different. Of two, the first is the positive one: the thing that is looked for.
    pub labels: Vec<String>,
    /// The logits are divided by it before the sigmoid or softmax. 1 changes nothing.
    pub temperature: f32,
    /// Of two labels, the first is answered where its probability is at least this. Unused with more.
    pub threshold: f32,
    /// Where the model comes from.
    pub provenance: Provenance,
}

/// What the network is fed: `[size, size, 3]` values, `(pixel - mean) * scale` of a photo stretched to a square by the
/// crate's one [resize](crate::resize).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Width and height in pixels.
    pub size: u32,
    /// Subtracted from each pixel (0..=255), per channel red, green, blue.
    pub mean: [f32; 3],
    /// What the difference is multiplied with, per channel.
    pub scale: [f32; 3],
    /// How the photo becomes `size` by `size`.
    pub resize: Resize,
}

/// How a photo of any shape becomes the network's square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Both sides are stretched to the square, through an antialiased triangle filter.
    StretchTriangle,
}

/// Where a model comes from; shown to people, never computed with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The version of the crate that trained it.
    pub version: String,
    /// The day it was released, `YYYY-MM-DD`, where the training was told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The training's seed.
    pub seed: u64,
    /// The epoch whose weights these are, from 1.
    pub epoch: u32,
    /// SHA-256 of the list of the training and validation photos (path and SHA-256 of each).
    pub data: String,
    /// How many photos it was trained on, label by label.
    pub training_photos: Vec<usize>,
    /// How many photos its epoch, temperature and threshold were picked on, label by label.
    pub validation_photos: Vec<usize>,
}

/// A list of layers, first to last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Architecture(pub Vec<Layer>);

/// One layer, in Keras' terms. Pictures are `[height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// A square convolution, stride 1, no padding. Weights `[kernel, kernel, in, filters]`, bias `[filters]`.
    Conv2d {
        /// Output channels.
        filters: u32,
        /// Side of the window.
        kernel: u32,
        /// What follows the sum.
        activation: Activation,
    },
    /// The maximum of each 2x2 window, stride 2; an odd last row or column is dropped. Follows a convolution.
    MaxPool2d,
    /// While training, each value is dropped with probability `percent / 100` and the rest scaled up to keep the mean.
    Dropout {
        /// 0 to 99.
        percent: u8,
    },
    /// A picture becomes a vector, in memory order (row, column, channel).
    Flatten,
    /// A matrix product. Weights `[in, units]`, bias `[units]`.
    Dense {
        /// Length of the output.
        units: u32,
        /// What follows the sum.
        activation: Activation,
    },
}

/// A function of each value of a layer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The value itself.
    Linear,
    /// `max(0, value)`.
    Relu,
}

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
        /// Side of the window.
        kernel: usize,
        /// Whether a ReLU follows.
        relu: bool,
        /// Whether a 2x2 max pool follows.
        pool: bool,
    },
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
        /// Whether a ReLU follows.
        relu: bool,
    },
}

/// The trained tensors of a layer: `NAME.weight` with `shape` and `NAME.bias` with its last dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The layer's name, Keras' way: `conv2d_1`, `dense_2`.
    pub layer: String,
    /// Shape of the weights.
    pub shape: Vec<usize>,
}

impl Spec {
    /// The most labels a model may have.
    pub const MAX_LABELS: usize = 10_000;
    /// The longest label or other text, in characters.
    pub const MAX_NAME: usize = 100;

    /// Checks everything that is wrong on its own, without the weights, and works out the network's steps.
    ///
    /// # Errors
    /// The `Model…` variants of [`Error`] that are about the spec, one for each way to be wrong.
    pub fn steps(&self) -> Result<Vec<Step>> {
        self.check_labels()?;
        self.check_texts()?;
        self.input.check()?;
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::ModelTemperature(self.temperature));
        }
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(Error::ModelThreshold(self.threshold));
        }
        let steps = self.architecture.steps(self.input.size)?;
        let outputs = if self.labels.len() == 2 { 1 } else { self.labels.len() };
        match steps.last() {
            Some(Step { op: Op::Dense { relu: false, .. }, output: Shape::Vector(n), .. }) if *n == outputs => {
                Ok(steps)
            }
            _ => Err(Error::ModelOutput { labels: self.labels.len(), outputs }),
        }
    }

    fn check_labels(&self) -> Result<()> {
        if !(2..=Self::MAX_LABELS).contains(&self.labels.len()) {
            return Err(Error::ModelLabelCount(self.labels.len()));
        }
        let mut seen = HashSet::new();
        for (i, label) in self.labels.iter().enumerate() {
            let printable = !label.trim().is_empty() && !label.chars().any(char::is_control);
            if !printable || label.chars().count() > Self::MAX_NAME {
                return Err(Error::ModelLabel { index: i });
            }
            if !seen.insert(label) {
                return Err(Error::ModelLabelTwice(label.clone()));
            }
        }
        Ok(())
    }

    /// What is shown to people must not fill the screen, nor command the terminal.
    fn check_texts(&self) -> Result<()> {
        let Provenance { version, date, data, .. } = &self.provenance;
        let date = date.as_deref().unwrap_or_default();
        for (what, text) in
            [("name for itself", &self.name[..]), ("version", version), ("date", date), ("data's hash", data)]
        {
            if text.chars().count() > Self::MAX_NAME || text.chars().any(char::is_control) {
                return Err(Error::ModelText(what));
            }
        }
        Ok(())
    }
}

impl Input {
    /// The largest side of the network's input.
    pub const MAX_SIZE: u32 = 1024;

    /// `(pixel - mean) * scale` of `rgb`, `[size, size, 3]`.
    pub fn normalize(&self, rgb: &[u8]) -> Vec<f32> {
        rgb.as_chunks().0.iter().flat_map(|pixel: &[u8; 3]| self.normalize_pixel(pixel.map(f32::from))).collect()
    }

    /// `(pixel - mean) * scale` of one pixel, red, green, blue in `0.0..=255.0`.
    pub fn normalize_pixel(&self, [r, g, b]: [f32; 3]) -> [f32; 3] {
        let channel = |value: f32, c: usize| (value - self.mean[c]) * self.scale[c];
        [channel(r, 0), channel(g, 1), channel(b, 2)]
    }

    fn check(&self) -> Result<()> {
        if !(1..=Self::MAX_SIZE).contains(&self.size) {
            return Err(Error::ModelInputSize(self.size));
        }
        if !self.mean.iter().chain(&self.scale).all(|x| x.is_finite()) || self.scale.contains(&0.0) {
            return Err(Error::ModelNormalization);
        }
        Ok(())
    }
}

impl Architecture {
    /// The most layers a model may have.
    pub const MAX_LAYERS: usize = 256;
    /// The most trained values.
    pub const MAX_PARAMETERS: usize = 64 << 20;
    /// The most values that may flow between two layers.
    pub const MAX_ACTIVATIONS: usize = 64 << 20;
    /// The most multiplications for one photo: about two seconds in a browser.
    pub const MAX_MULTIPLICATIONS: u64 = 40_000_000_000;

    /// Shapes and names of all layers, with each max pool fused into its convolution.
    ///
    /// # Errors
    /// [`Error::ModelLayerCount`], [`Error::ModelLayer`] and [`Error::ModelCost`].
    pub fn steps(&self, size: u32) -> Result<Vec<Step>> {
        if !(1..=Self::MAX_LAYERS).contains(&self.0.len()) {
            return Err(Error::ModelLayerCount(self.0.len()));
        }
        let size = size as usize;
        let mut shape = Shape::Image { height: size, width: size, channels: 3 };
        let mut steps: Vec<Step> = Vec::new();
        let (mut convolutions, mut dense) = (0, 0);
        let (mut parameters, mut multiplications) = (0_usize, 0_u64);
        for (index, layer) in self.0.iter().enumerate() {
            let wrong = |reason: &'static str| Error::ModelLayer { index, reason };
            let input = shape;
            let op = match (*layer, input) {
                (Layer::Conv2d { filters, kernel, activation }, Shape::Image { height, width, channels }) => {
                    let (filters, kernel) = (filters as usize, kernel as usize);
                    if filters == 0 {
                        return Err(wrong("has no filters"));
                    }
                    if kernel == 0 {
                        return Err(wrong("has no window"));
                    }
                    if kernel > height.min(width) {
                        return Err(wrong("has a window larger than the picture that reaches it"));
                    }
                    convolutions += 1;
                    shape = Shape::Image { height: height + 1 - kernel, width: width + 1 - kernel, channels: filters };
                    let parameters = Parameters {
                        layer: format!("conv2d_{convolutions}"),
                        shape: vec![kernel, kernel, channels, filters],
                    };
                    Op::Conv2d { parameters, kernel, relu: activation == Activation::Relu, pool: false }
                }
                (Layer::MaxPool2d, Shape::Image { height, width, channels }) => {
                    let Some(Step { op: Op::Conv2d { pool, .. }, output, .. }) = steps.last_mut() else {
                        return Err(wrong("does not follow a convolution"));
                    };
                    if std::mem::replace(pool, true) {
                        return Err(wrong("follows another max pool"));
                    }
                    if height.min(width) < 2 {
                        return Err(wrong("has a window larger than the picture that reaches it"));
                    }
                    shape = Shape::Image { height: height / 2, width: width / 2, channels };
                    *output = shape;
                    continue;
                }
                (Layer::Dropout { percent }, _) => {
                    if percent > 99 {
                        return Err(wrong("drops everything"));
                    }
                    Op::Dropout { rate: f32::from(percent) / 100.0 }
                }
                (Layer::Flatten, Shape::Image { .. }) => {
                    shape = Shape::Vector(input.len());
                    Op::Flatten
                }
                (Layer::Dense { units, activation }, Shape::Vector(length)) => {
                    if units == 0 {
                        return Err(wrong("has no units"));
                    }
                    dense += 1;
                    shape = Shape::Vector(units as usize);
                    let parameters =
                        Parameters { layer: format!("dense_{dense}"), shape: vec![length, units as usize] };
                    Op::Dense { parameters, relu: activation == Activation::Relu }
                }
                (Layer::Dense { .. }, Shape::Image { .. }) => return Err(wrong("needs a flatten before it")),
                (_, Shape::Vector(_)) => return Err(wrong("needs a picture, and a vector reaches it")),
            };
            if let Some(p) = op.parameters() {
                // The cap on activations keeps `units` and `filters` far from overflow.
                let weights = p.shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
                let positions = if let Shape::Image { height, width, .. } = shape { height * width } else { 1 };
                let work = weights.and_then(|n| (n as u64).checked_mul(positions as u64));
                parameters = parameters.saturating_add(weights.unwrap_or(usize::MAX)).saturating_add(p.bias_len());
                multiplications = multiplications.saturating_add(work.unwrap_or(u64::MAX));
            }
            let activations = shape.checked_len().unwrap_or(usize::MAX);
            if parameters > Self::MAX_PARAMETERS
                || activations > Self::MAX_ACTIVATIONS
                || multiplications > Self::MAX_MULTIPLICATIONS
            {
                return Err(Error::ModelCost { index });
            }
            steps.push(Step { op, input, output: shape });
        }
        Ok(steps)
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

impl Op {
    /// The trained tensors of this step, if it has any.
    pub fn parameters(&self) -> Option<&Parameters> {
        match self {
            Self::Conv2d { parameters, .. } | Self::Dense { parameters, .. } => Some(parameters),
            Self::Dropout { .. } | Self::Flatten => None,
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

    /// Number of output channels or units, the bias' length.
    pub fn bias_len(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    /// Number of trained values, weights and bias.
    pub fn count(&self) -> usize {
        self.shape.iter().product::<usize>() + self.bias_len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// The article's network.
    pub(crate) fn classic() -> Spec {
        let conv = |filters| Layer::Conv2d { filters, kernel: 3, activation: Activation::Relu };
        let dropout = Layer::Dropout { percent: 40 };
        let mut layers: Vec<_> = [32, 64, 128].into_iter().flat_map(|f| [conv(f), Layer::MaxPool2d, dropout]).collect();
        layers.push(Layer::Flatten);
        layers.push(Layer::Dense { units: 128, activation: Activation::Relu });
        layers.push(Layer::Dense { units: 1, activation: Activation::Linear });
        Spec {
            name: "classic".to_owned(),
            input: Input { size: 128, mean: [0.0; 3], scale: [1.0 / 255.0; 3], resize: Resize::StretchTriangle },
            architecture: Architecture(layers),
            labels: vec!["husky".to_owned(), "nothusky".to_owned()],
            temperature: 1.0,
            threshold: 0.5,
            provenance: Provenance::default(),
        }
    }

    #[test]
    fn classic_is_keras_summary() {
        let steps = classic().steps().unwrap();
        let image = |side, channels| Shape::Image { height: side, width: side, channels };
        let outputs: Vec<_> = steps.iter().map(|step| step.output).collect();
        // Each max pool is fused into the convolution before it: 126 becomes 63, 61 becomes 30, 28 becomes 14.
        let expected = [image(63, 32), image(63, 32), image(30, 64), image(30, 64), image(14, 128), image(14, 128)];
        assert_eq!(outputs[..6], expected);
        assert_eq!(outputs[6..], [Shape::Vector(25_088), Shape::Vector(128), Shape::Vector(1)]);
        let counts: Vec<_> = steps.iter().filter_map(|step| step.op.parameters()).map(Parameters::count).collect();
        assert_eq!(counts, [896, 18_496, 73_856, 3_211_392, 129]);
        assert_eq!(counts.iter().sum::<usize>(), 3_304_769);
    }

    #[test]
    fn the_last_layer_gives_one_value_a_label_or_one_for_two() {
        let output = |labels: usize, layers: usize| {
            let architecture = Architecture(classic().architecture.0[..layers].to_vec());
            let labels = (0..labels).map(|i| i.to_string()).collect();
            Spec { architecture, labels, ..classic() }.steps().map(|_| ())
        };
        assert_eq!(output(2, 12), Ok(()));
        assert_eq!(output(3, 12), Err(Error::ModelOutput { labels: 3, outputs: 3 }));
        for layers in 1..12 {
            assert_eq!(output(2, layers), Err(Error::ModelOutput { labels: 2, outputs: 1 }), "{layers} layers");
        }
    }

    #[test]
    fn layers_are_named_as_keras_names_them() {
        let steps = classic().steps().unwrap();
        let names: Vec<_> = steps.iter().filter_map(|s| s.op.parameters()).map(Parameters::weight_name).collect();
        let expected = ["conv2d_1", "conv2d_2", "conv2d_3", "dense_1", "dense_2"].map(|name| format!("{name}.weight"));
        assert_eq!(names, expected);
    }

    #[test]
    fn a_spec_is_the_same_after_json() {
        let json = serde_json::to_string(&classic()).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), classic());
    }

    #[test]
    fn input_is_mean_then_scale_channel_by_channel() {
        let input =
            Input { size: 1, mean: [1.0, 2.0, 3.0], scale: [10.0, 100.0, 0.5], resize: Resize::StretchTriangle };
        assert_eq!(input.normalize(&[11, 12, 13, 1, 2, 3]), [100.0, 1000.0, 5.0, 0.0, 0.0, 0.0]);
    }

    fn layer(filters: u32, kernel: u32) -> Layer {
        Layer::Conv2d { filters, kernel, activation: Activation::Relu }
    }

    /// `tests/hostile_models.rs` has each way to be wrong; here are the limits themselves.
    #[test]
    fn what_costs_too_much_is_refused_and_what_does_not_is_not() {
        let cost = |size: u32, layers: &[Layer]| Architecture(layers.to_vec()).steps(size).map(|_| ());
        let dense = |units| Layer::Dense { units, activation: Activation::Linear };
        // Little memory, much work: 15 and 42 thousand million multiplications.
        assert_eq!(cost(128, &[layer(512, 33)]), Ok(()));
        assert_eq!(cost(256, &[layer(256, 33)]), Err(Error::ModelCost { index: 0 }));
        // Much between two layers.
        assert_eq!(cost(1024, &[layer(64, 1)]), Ok(()));
        assert_eq!(cost(1024, &[layer(65, 1)]), Err(Error::ModelCost { index: 0 }));
        // Many weights.
        assert_eq!(cost(64, &[Layer::Flatten, dense(5460)]), Ok(()));
        assert_eq!(cost(64, &[Layer::Flatten, dense(5461)]), Err(Error::ModelCost { index: 1 }));
    }

    #[test]
    fn any_numbers_give_an_answer() {
        let extremes = [0, 1, 2, 3, 1024, 65_536, u32::MAX - 1, u32::MAX];
        for filters in extremes {
            for kernel in extremes {
                for units in extremes {
                    let dense = Layer::Dense { units, activation: Activation::Linear };
                    let layers = [layer(filters, kernel), layer(filters, 1), Layer::Flatten, dense, dense];
                    for size in [1, 2, 1024] {
                        let _ = Architecture(layers.to_vec()).steps(size);
                    }
                }
            }
        }
    }
}
