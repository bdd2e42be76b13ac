//! Keras' configuration of a Sequential model as ours.

use anyhow::{Context, Result, bail, ensure};
use husky::spec::{Activation, Architecture, Input, Layer, Padding, Resize};
use serde_json::Value;

/// The network, and what it is fed.
///
/// # Errors
/// The model is not Sequential, or has a layer that is not read, which is named.
pub fn read(model: &Value) -> Result<(Architecture, Input)> {
    let class = model["class_name"].as_str().unwrap_or_default();
    ensure!(class == "Sequential", "is a model of class {class:?}; only Sequential ones are read");
    let layers = model["config"]["layers"].as_array().context("its configuration has no layers")?;
    let mut network = Network { layers: Vec::new(), size: None, mean: 0.0, scale: 1.0 / 255.0, ends: false };
    for layer in layers {
        let (class, config) = (layer["class_name"].as_str().unwrap_or_default(), &layer["config"]);
        let name = config["name"].as_str().unwrap_or(class);
        network.add(class, config).with_context(|| format!("its layer {name} ({class})"))?;
    }
    let size = network.size.context("its configuration does not say how large its input is")?;
    let input = Input { size, mean: [network.mean; 3], scale: [network.scale; 3], resize: Resize::StretchTriangle };
    Ok((Architecture(network.layers), input))
}

/// A network in the making.
struct Network {
    layers: Vec<Layer>,
    size: Option<u32>,
    mean: f32,
    scale: f32,
    /// Whether probabilities are what the last layer gives.
    ends: bool,
}

impl Network {
    fn add(&mut self, class: &str, config: &Value) -> Result<()> {
        ensure!(!self.ends, "follows a sigmoid or softmax, which only ends a network");
        // Of the first layer: Keras 3 and 2.
        if let Some(shape) = ["batch_shape", "batch_input_shape"].iter().find_map(|key| config.get(key)) {
            let sides = [1, 2, 3].map(|i| shape[i].as_u64());
            match sides {
                [Some(height), Some(width), Some(3)] if height == width => self.size = Some(u32::try_from(height)?),
                _ => bail!("has the input {shape} where [null, size, size, 3] is read"),
            }
        }
        let is = |key: &str, wanted: &Value| config.get(key).is_none_or(|value| value == wanted);
        ensure!(is("data_format", &"channels_last".into()), "has its channels first");
        ensure!(is("groups", &1.into()), "has groups");
        match class {
            "InputLayer" => {}
            "Rescaling" => {
                ensure!(self.layers.is_empty(), "does not stand first");
                let value = |key: &str| config[key].as_f64().with_context(|| format!("has a {key} that is no number"));
                let (scale, offset) = (value("scale")?, value("offset")?);
                ensure!(scale != 0.0, "makes all values the same");
                // pixel * scale + offset
                self.scale = scale as f32;
                self.mean = (-offset / scale) as f32;
            }
            "Conv2D" => {
                let (kernel, stride, padding) = window(config)?;
                let filters = number(config, "filters")?;
                self.layers.push(Layer::Conv2d { filters, kernel, stride, padding, activation: Activation::Linear });
            }
            "DepthwiseConv2D" => {
                ensure!(is("depth_multiplier", &1.into()), "makes several channels of each");
                let (kernel, stride, padding) = window(config)?;
                self.layers.push(Layer::DepthwiseConv2d { kernel, stride, padding, activation: Activation::Linear });
            }
            "MaxPooling2D" => {
                ensure!(pair(config, "pool_size")? == 2 && pair(config, "strides")? == 2, "is no pool of 2x2");
                ensure!(is("padding", &"valid".into()), "has padding");
                self.layers.push(Layer::MaxPool2d);
            }
            "GlobalAveragePooling2D" => self.layers.push(Layer::GlobalAveragePool2d),
            "Flatten" => self.layers.push(Layer::Flatten),
            "Dropout" => {
                let rate = config["rate"].as_f64().context("has no rate")?;
                self.layers.push(Layer::Dropout { percent: (rate * 100.0).round() as u8 });
            }
            "Dense" => {
                let units = number(config, "units")?;
                self.layers.push(Layer::Dense { units, activation: Activation::Linear });
            }
            "Activation" => {}
            "ReLU" => {
                let zero = |key: &str| config[key].as_f64().unwrap_or_default() == 0.0;
                ensure!(zero("negative_slope") && zero("threshold"), "is not zero below zero");
                return match &config["max_value"] {
                    Value::Null => self.activate(Activation::Relu),
                    limit if limit.as_f64() == Some(6.0) => self.activate(Activation::Relu6),
                    limit => bail!("is cut off at {limit}"),
                };
            }
            _ => bail!("is of a kind that is not read"),
        }
        match config.get("activation") {
            None => Ok(()),
            Some(Value::String(function)) => self.apply(function),
            Some(other) => bail!("has the activation {other}, which is not read"),
        }
    }

    /// What follows the last layer, by its name in Keras.
    fn apply(&mut self, function: &str) -> Result<()> {
        match function {
            "linear" => Ok(()),
            "relu" => self.activate(Activation::Relu),
            "relu6" => self.activate(Activation::Relu6),
            "sigmoid" | "softmax" => {
                let units = match self.layers.last() {
                    Some(&Layer::Dense { units, activation: Activation::Linear }) => units,
                    _ => bail!("has a {function} that follows no dense layer"),
                };
                ensure!(
                    (function == "sigmoid") == (units == 1),
                    "has a {function} of {units} outputs, which is not read"
                );
                self.ends = true;
                Ok(())
            }
            _ => bail!("has the activation {function}, which is not read"),
        }
    }

    /// Puts `wanted` behind the last layer, which must do nothing with its sums yet.
    fn activate(&mut self, wanted: Activation) -> Result<()> {
        match self.layers.last_mut() {
            Some(
                Layer::Conv2d { activation, .. }
                | Layer::DepthwiseConv2d { activation, .. }
                | Layer::Dense { activation, .. },
            ) if *activation == Activation::Linear => {
                *activation = wanted;
                Ok(())
            }
            _ => bail!("is an activation that follows no convolution or dense layer"),
        }
    }
}

/// Kernel, stride and padding of a convolution.
fn window(config: &Value) -> Result<(u32, u32, Padding)> {
    ensure!(config.get("dilation_rate").is_none() || pair(config, "dilation_rate")? == 1, "is dilated");
    let padding = match config["padding"].as_str() {
        Some("valid") => Padding::Valid,
        Some("same") => Padding::Same,
        _ => bail!("has the padding {}, which is not read", config["padding"]),
    };
    Ok((pair(config, "kernel_size")?, pair(config, "strides")?, padding))
}

fn number(config: &Value, key: &str) -> Result<u32> {
    let number = config[key].as_u64().and_then(|number| u32::try_from(number).ok());
    number.with_context(|| format!("has no number of {key}"))
}

/// What a value is in both directions.
fn pair(config: &Value, key: &str) -> Result<u32> {
    match [&config[key][0], &config[key][1]].map(Value::as_u64) {
        [Some(a), Some(b)] if a == b => Ok(u32::try_from(a)?),
        _ => bail!("has the {key} {}, which is not read", config[key]),
    }
}
