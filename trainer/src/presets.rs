//! The architectures and inputs that have a name.

use clap::ValueEnum;
use husky::Spec;
use husky::spec::{Activation, Architecture, Input, Layer, Padding, Provenance, Resize};
use serde::{Deserialize, Serialize};

/// A network with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The article's convolutional network: three convolutions with max pool and dropout, two dense layers
    Classic,
    /// The article's first model: logistic regression on the pixels
    Logistic,
    /// Two small convolutions on 32x32 pixels: trains in seconds, to try a data set or a recipe out
    Tiny,
}

impl Preset {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Logistic => "logistic",
            Self::Tiny => "tiny",
        }
    }

    /// The layers for this many labels: two labels share one output, more have one each.
    pub fn architecture(self, labels: usize) -> Architecture {
        let outputs = if labels == 2 { 1 } else { labels as u32 };
        let output = Layer::Dense { units: outputs, activation: Activation::Linear };
        let block = |filters, percent| {
            let conv =
                Layer::Conv2d { filters, kernel: 3, stride: 1, padding: Padding::Valid, activation: Activation::Relu };
            [conv, Layer::MaxPool2d, Layer::Dropout { percent }]
        };
        Architecture(match self {
            Self::Classic => {
                let blocks = [32, 64, 128].into_iter().flat_map(|filters| block(filters, 40));
                let dense = Layer::Dense { units: 128, activation: Activation::Relu };
                blocks.chain([Layer::Flatten, dense, output]).collect()
            }
            Self::Logistic => vec![Layer::Flatten, output],
            Self::Tiny => {
                let blocks = [8, 16].into_iter().flat_map(|filters| block(filters, 10));
                blocks.chain([Layer::Flatten, output]).collect()
            }
        })
    }

    /// An untrained model for these labels: nothing calibrated, and no word yet of where it comes from.
    pub fn spec(self, labels: Vec<String>) -> Spec {
        Spec {
            name: self.name().into(),
            input: self.input(),
            architecture: self.architecture(labels.len()),
            labels,
            temperature: 1.0,
            threshold: 0.5,
            provenance: Provenance::default(),
        }
    }

    /// What the network is fed: pixels scaled to `0..=1`; 128x128 of them as in the article.
    pub fn input(self) -> Input {
        let size = match self {
            Self::Classic | Self::Logistic => 128,
            Self::Tiny => 32,
        };
        Input { size, mean: [0.0; 3], scale: [1.0 / 255.0; 3], resize: Resize::StretchTriangle }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parameters(preset: Preset, labels: usize) -> usize {
        let steps = preset.architecture(labels).steps(preset.input().size).unwrap();
        steps.iter().flat_map(husky::spec::Step::parameters).map(|p| p.count()).sum()
    }

    /// The counts are those of Keras' `model.summary()` in the article's notebook.
    #[test]
    fn parameters_are_the_articles() {
        assert_eq!(parameters(Preset::Classic, 2), 3_304_769);
        assert_eq!(parameters(Preset::Logistic, 2), 128 * 128 * 3 + 1);
    }

    #[test]
    fn more_labels_have_an_output_each() {
        assert_eq!(parameters(Preset::Classic, 5), 3_304_769 + 4 * 129);
        assert_eq!(parameters(Preset::Logistic, 3), 3 * (128 * 128 * 3 + 1));
    }

    #[test]
    fn the_name_is_the_same_everywhere() {
        for preset in Preset::value_variants() {
            assert_eq!(preset.to_possible_value().unwrap().get_name(), preset.name());
            assert_eq!(serde_json::to_value(preset).unwrap(), preset.name());
        }
    }
}
