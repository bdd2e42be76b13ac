//! A model as data: architecture, labels, preprocessing and calibration. The model file carries it; the engine
//! (inference) and the trainer's candle graph are both built from it.

use std::collections::BTreeSet;

use serde::Serialize;

mod read;
mod steps;

pub use husky_engine::{Activation, Op, Padding, Parameters, Shape, Step, Window};

use crate::{Error, Result};

/// Everything about a model but its weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// Of two labels, the answer is unsure where the first's probability lies between these; nowhere, if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsure: Option<[f32; 2]>,
    /// Where the model comes from.
    pub provenance: Provenance,
}

/// What the network is fed: `[size, size, 3]` values, `(pixel - mean) * scale` of a photo stretched to a square by the
/// crate's one [resize](crate::resize).
#[derive(Clone, Debug, PartialEq, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Both sides are stretched to the square, through an antialiased triangle filter.
    StretchTriangle,
}

/// Where a model comes from; shown to people, never computed with.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Provenance {
    /// The version of the crate that trained it.
    pub version: String,
    /// The day it was released, `YYYY-MM-DD`, where the training was told one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The training's seed.
    pub seed: u64,
    /// The epoch whose weights these are, from 1; 0 is a backbone with a fitted last layer.
    pub epoch: u32,
    /// SHA-256 of the list of the training and validation photos (path and SHA-256 of each).
    pub data: String,
    /// How many photos it was trained on, label by label.
    pub training_photos: Vec<usize>,
    /// How many photos its epoch, temperature and threshold were picked on, label by label.
    pub validation_photos: Vec<usize>,
}

/// A list of layers, first to last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Architecture(pub Vec<Layer>);

/// One layer, in Keras' terms. Pictures are `[height, width, channels]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Layer {
    /// A square convolution. Weights `[kernel, kernel, in, filters]`, bias `[filters]`.
    Conv2d {
        /// Output channels.
        filters: u32,
        /// Side of the window.
        kernel: u32,
        /// Pixels from one window to the next.
        #[serde(skip_serializing_if = "is_one")]
        stride: u32,
        /// Whether windows reach beyond the picture.
        #[serde(skip_serializing_if = "is_valid")]
        padding: Padding,
        /// What follows the sum.
        activation: Activation,
    },
    /// A square convolution of each channel by itself. Weights `[kernel, kernel, channels]`, bias `[channels]`.
    DepthwiseConv2d {
        /// Side of the window: 3 or 5.
        kernel: u32,
        /// Pixels from one window to the next: 1 or 2.
        #[serde(skip_serializing_if = "is_one")]
        stride: u32,
        /// Whether windows reach beyond the picture.
        #[serde(skip_serializing_if = "is_valid")]
        padding: Padding,
        /// What follows the sum.
        activation: Activation,
    },
    /// The picture plus what `layers` make of it, which has the same shape.
    Residual {
        /// The layers, first to last.
        layers: Vec<Layer>,
    },
    /// The mean of each channel: a picture becomes a vector.
    GlobalAveragePool2d,
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
    /// Of each group of a dense layer's values, the logarithm of their summed exponentials: what a label is given that is made of several
    /// kinds, such as breeds. Of two groups, the first's less the second's.
    LogSumExp {
        /// How many values are in each, in their order.
        groups: Vec<u32>,
    },
}

fn is_valid(padding: &Padding) -> bool {
    *padding == Padding::Valid
}

fn is_one(value: &u32) -> bool {
    *value == 1
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
        if let Some([low, high]) = self.unsure
            && !((0.0..=self.threshold).contains(&low) && (self.threshold..=1.0).contains(&high))
        {
            return Err(Error::ModelUnsure(low, high));
        }
        let steps = self.architecture.steps(self.input.size)?;
        let outputs = if self.labels.len() == 2 { 1 } else { self.labels.len() };
        let is_linear = match &steps[..] {
            [.., dense, Step { op: Op::LogSumExp { .. }, .. }] | [.., dense] => {
                matches!(dense.op, Op::Dense { activation: Activation::Linear, .. })
            }
            [] => false,
        };
        match steps.last() {
            Some(last) if is_linear && last.output == Shape::Vector(outputs) => Ok(steps),
            _ => Err(Error::ModelOutput { labels: self.labels.len(), outputs }),
        }
    }

    fn check_labels(&self) -> Result<()> {
        if !(2..=Self::MAX_LABELS).contains(&self.labels.len()) {
            return Err(Error::ModelLabelCount(self.labels.len()));
        }
        let mut seen = BTreeSet::new();
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
        husky_engine::normalize(rgb, self.mean, self.scale)
    }

    /// `(pixel - mean) * scale` of one pixel, red, green, blue in `0.0..=255.0`.
    pub fn normalize_pixel(&self, pixel: [f32; 3]) -> [f32; 3] {
        husky_engine::normalize_pixel(pixel, self.mean, self.scale)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use crate::json;

    /// The article's network.
    pub(crate) fn classic() -> Spec {
        let block = |filters| [layer(filters, 3), Layer::MaxPool2d, Layer::Dropout { percent: 40 }];
        let mut layers: Vec<_> = [32, 64, 128].into_iter().flat_map(block).collect();
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
            unsure: None,
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
        let counts: Vec<_> = steps.iter().flat_map(Step::parameters).map(Parameters::count).collect();
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
        let names: Vec<_> = steps.iter().flat_map(Step::parameters).map(Parameters::weight_name).collect();
        let expected = ["conv2d_1", "conv2d_2", "conv2d_3", "dense_1", "dense_2"].map(|name| format!("{name}.weight"));
        assert_eq!(names, expected);
    }

    #[test]
    fn a_spec_is_the_same_after_json() {
        let mut spec = classic();
        let (padding, activation) = (Padding::Same, Activation::Relu6);
        let layers = vec![Layer::DepthwiseConv2d { kernel: 5, stride: 2, padding, activation }];
        spec.architecture.0.extend([
            Layer::Conv2d { filters: 1, kernel: 2, stride: 3, padding, activation: Activation::Linear },
            Layer::Residual { layers },
            Layer::GlobalAveragePool2d,
            Layer::LogSumExp { groups: vec![1, 2] },
        ]);
        spec.unsure = Some([0.125, 0.75]);
        spec.input.mean = [103.939, 1e-7, -0.1];
        spec.provenance = Provenance { date: Some("2026-11-22".to_owned()), seed: u64::MAX, ..spec.provenance };
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(json::read::<Spec>(&json).unwrap(), spec);
    }

    #[test]
    fn input_is_mean_then_scale_channel_by_channel() {
        let input =
            Input { size: 1, mean: [1.0, 2.0, 3.0], scale: [10.0, 100.0, 0.5], resize: Resize::StretchTriangle };
        assert_eq!(input.normalize(&[11, 12, 13, 1, 2, 3]), [100.0, 1000.0, 5.0, 0.0, 0.0, 0.0]);
    }

    fn layer(filters: u32, kernel: u32) -> Layer {
        Layer::Conv2d { filters, kernel, stride: 1, padding: Padding::Valid, activation: Activation::Relu }
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
        // Many weights: with one unit more, a vector of 16.
        assert_eq!(cost(64, &[Layer::Flatten, dense(5456)]), Ok(()));
        assert_eq!(cost(64, &[Layer::Flatten, dense(5457)]), Err(Error::ModelCost { index: 1 }));
    }

    #[test]
    fn any_numbers_give_an_answer() {
        let extremes = [0, 1, 2, 3, 1024, 65_536, u32::MAX - 1, u32::MAX];
        for filters in extremes {
            for kernel in extremes {
                for units in extremes {
                    let dense = Layer::Dense { units, activation: Activation::Linear };
                    let layers = [layer(filters, kernel), layer(filters, 1), Layer::Flatten, dense.clone(), dense];
                    for size in [1, 2, 1024] {
                        let _ = Architecture(layers.to_vec()).steps(size);
                    }
                }
            }
        }
    }
}
