//! The architectures and inputs that have a name, and the recipes that go with them.

mod efficientnet_lite;

use clap::ValueEnum;
use efficientnet_lite::{LITE0, LITE1, LITE1_SHORT, TINY, layers, timm_names};
use husky::Spec;
use husky::spec::{Activation, Architecture, Input, Layer, Padding, Provenance, Resize};
use serde::{Deserialize, Serialize};

use crate::config::knobs;

/// A network with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The article's convolutional network: three convolutions with max pool and dropout, two dense layers
    Classic,
    /// The article's first model: logistic regression on the pixels
    Logistic,
    /// EfficientNet-Lite0, from weights that were trained on ImageNet
    Lite0,
    /// EfficientNet-Lite1, likewise: a quarter larger, half as much work again
    Lite1,
    /// Lite1 without its last two convolutions, which have a fifth of its weights and serve ImageNet's thousand labels
    Lite1Short,
    /// The first two thirds of EfficientNet-Lite0 on 128x128 pixels, for a model that loads at once
    Tiny,
    /// A residual network for weights of its own, with half as much work again as the article's and a third of its weights
    Compact,
    /// Two small convolutions on 32x32 pixels: trains in seconds, to try a data set or a recipe out
    Quick,
}

impl Preset {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Logistic => "logistic",
            Self::Lite0 => "lite0",
            Self::Lite1 => "lite1",
            Self::Lite1Short => "lite1-short",
            Self::Tiny => "tiny",
            Self::Compact => "compact",
            Self::Quick => "quick",
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
            Self::Lite0 => [layers(LITE0), vec![Layer::Dropout { percent: 20 }, output]].concat(),
            Self::Lite1 => [layers(LITE1), vec![Layer::Dropout { percent: 20 }, output]].concat(),
            Self::Lite1Short => [layers(LITE1_SHORT), vec![Layer::Dropout { percent: 20 }, output]].concat(),
            Self::Tiny => [layers(TINY), vec![Layer::Dropout { percent: 20 }, output]].concat(),
            Self::Compact => [residual_layers(), vec![Layer::Dropout { percent: 20 }, output]].concat(),
            Self::Quick => {
                let blocks = [8, 16].into_iter().flat_map(|filters| block(filters, 10));
                blocks.chain([Layer::Flatten, output]).collect()
            }
        })
    }

    /// What timm's files of weights call each convolution, in order, and the batch norm behind it; nothing where there are
    /// none for this network.
    pub fn timm_names(self) -> Vec<[String; 2]> {
        match self {
            Self::Lite0 => timm_names(LITE0),
            Self::Lite1 => timm_names(LITE1),
            Self::Lite1Short => timm_names(LITE1_SHORT),
            Self::Tiny => timm_names(TINY),
            Self::Classic | Self::Logistic | Self::Compact | Self::Quick => Vec::new(),
        }
    }

    /// The knobs that differ from the article's, and their values, as in a run's `config.toml`.
    pub fn recipe(self) -> Vec<(String, String)> {
        let text = match self {
            Self::Lite0 | Self::Lite1 | Self::Lite1Short => include_str!("../recipes/lite.toml"),
            Self::Tiny => include_str!("../recipes/tiny.toml"),
            Self::Compact => include_str!("../recipes/compact.toml"),
            Self::Classic | Self::Logistic | Self::Quick => "",
        };
        let recipe: toml::Table = text.parse().unwrap_or_default();
        let word = |value: toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        knobs(recipe).into_iter().map(|(knob, value)| (knob, word(value))).collect()
    }

    /// `command`, which has the knobs as arguments, with the recipe as what holds where nothing is said.
    pub fn set_defaults(self, command: clap::Command) -> clap::Command {
        let set = |command: clap::Command, (knob, value): (String, String)| {
            command.mut_arg(knob, |arg| arg.default_value(value))
        };
        self.recipe().into_iter().fold(command, set)
    }

    /// An untrained model for these labels: nothing calibrated, and no word yet of where it comes from. `size` is the side
    /// of its input, where it is not the preset's own.
    pub fn spec(self, labels: Vec<String>, size: Option<u32>) -> Spec {
        let input = self.input();
        Spec {
            name: self.name().into(),
            input: Input { size: size.unwrap_or(input.size), ..input },
            architecture: self.architecture(labels.len()),
            labels,
            temperature: 1.0,
            threshold: 0.5,
            unsure: None,
            provenance: Provenance::default(),
        }
    }

    /// What the network is fed: pixels scaled to `0..=1`, 128x128 of them as in the article; or as the backbone was.
    pub fn input(self) -> Input {
        let (size, mean, scale) = match self {
            Self::Classic | Self::Logistic => (128, 0.0, 1.0 / 255.0),
            Self::Quick => (32, 0.0, 1.0 / 255.0),
            Self::Lite0 => (224, 127.0, 1.0 / 128.0),
            Self::Lite1 | Self::Lite1Short => (240, 127.0, 1.0 / 128.0),
            Self::Tiny | Self::Compact => (128, 127.0, 1.0 / 128.0),
        };
        Input { size, mean: [mean; 3], scale: [scale; 3], resize: Resize::StretchTriangle }
    }
}

/// Lets the last layer of `architecture` tell so many kinds of each label apart, and take those of a label together.
pub fn with_kinds(architecture: &mut Architecture, kinds: &[usize]) {
    if let Some(Layer::Dense { units, .. }) = architecture.0.last_mut() {
        *units = kinds.iter().sum::<usize>() as u32;
        let groups = kinds.iter().map(|&count| count as u32).collect();
        architecture.0.push(Layer::LogSumExp { groups });
    }
}

/// A small ResNet (He et al. 2016): each stage halves the picture and then adds to it what two convolutions see.
fn residual_layers() -> Vec<Layer> {
    let conv =
        |filters, stride, activation| Layer::Conv2d { filters, kernel: 3, stride, padding: Padding::Same, activation };
    let stage = |(filters, blocks)| {
        let block = vec![conv(filters, 1, Activation::Relu), conv(filters, 1, Activation::Linear)];
        std::iter::once(conv(filters, 2, Activation::Relu))
            .chain(std::iter::repeat_n(Layer::Residual { layers: block }, blocks))
    };
    let stages = [(24, 1), (48, 1), (96, 2), (144, 1)].into_iter().flat_map(stage);
    stages.chain([Layer::GlobalAveragePool2d]).collect()
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
    fn lite0_is_efficientnet_lite0() {
        let convolutions = Preset::Lite0.architecture(2).steps(224).unwrap();
        let convolutions: Vec<_> = convolutions.iter().flat_map(husky::spec::Step::parameters).collect();
        assert_eq!(convolutions.len(), Preset::Lite0.timm_names().len() + 1);
        // timm's 4,652,008, less the 1,281,000 of its head of 1,000 labels and, folded, a factor for each of 21,008 channels.
        assert_eq!(parameters(Preset::Lite0, 2), 4_652_008 - 1_281_000 - 21_008 + 1281);
    }

    #[test]
    fn lite1_short_is_lite1_without_its_end() {
        let end = 1152 * 320 + 320 + 320 * 1280 + 1280 + 1280 + 1;
        assert_eq!(parameters(Preset::Lite1Short, 2), parameters(Preset::Lite1, 2) - end + 1152 + 1);
        let names = Preset::Lite1.timm_names();
        assert_eq!(Preset::Lite1Short.timm_names(), names[..names.len() - 2]);
    }

    #[test]
    fn small_networks_are_small() {
        assert!(parameters(Preset::Compact, 2) <= 1_000_000);
        assert!(parameters(Preset::Tiny, 2) <= 800_000);
    }

    #[test]
    fn the_name_is_the_same_everywhere() {
        for preset in Preset::value_variants() {
            assert_eq!(preset.to_possible_value().unwrap().get_name(), preset.name());
            assert_eq!(serde_json::to_value(preset).unwrap(), preset.name());
        }
    }
}
