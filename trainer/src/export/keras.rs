//! Keras: a model's layers in its terms, which TensorFlow.js shares, and the .h5 file that versions 2 and 3 read.
//!
//! Sources: `keras/src/legacy/saving/legacy_h5_format.py` for the file's groups and attributes, `keras/src/models/functional.py`
//! for the configuration.

use anyhow::{Result, bail};
use hdf5_pure::{AttrValue, FileBuilder};
use husky::spec::{Activation, Layer, Padding, Step};
use husky::{Spec, Weights};
use serde_json::{Value, json};

/// A layer.
pub struct KerasLayer {
    class: &'static str,
    /// Its name.
    pub name: String,
    config: Value,
    /// The layers that it is applied to, by name.
    inputs: Vec<String>,
    /// Its weights: name, shape and values.
    pub weights: Vec<(&'static str, Vec<usize>, Vec<f32>)>,
}

/// All layers, from pixels in 0 to 255 to probabilities; of two labels, that of the first.
///
/// # Errors
/// The colours are normalised each in its own way, which Keras' `Rescaling` does not do everywhere.
pub fn layers(spec: &Spec, weights: &Weights) -> Result<Vec<KerasLayer>> {
    let husky::spec::Input { size, mean, scale, .. } = spec.input;
    if mean != [mean[0]; 3] || scale != [scale[0]; 3] {
        bail!("the colours are normalised each in its own way, which this format can't say: take onnx");
    }
    let mut builder = Builder { weights, steps: spec.steps()?, layers: Vec::new(), parameters: 0 };
    let shape = json!({"batch_input_shape": [null, size, size, 3]});
    builder.layers.push(KerasLayer {
        class: "InputLayer",
        name: "pixels".to_owned(),
        config: named(shape, "pixels"),
        inputs: vec![],
        weights: vec![],
    });
    builder.add("Rescaling", json!({"scale": scale[0], "offset": -mean[0] * scale[0]}));
    builder.layers_of(&spec.architecture.0);
    if let Some(last) = builder.layers.last_mut() {
        let function = if spec.labels.len() == 2 { "sigmoid" } else { "softmax" };
        last.config["activation"] = function.into();
        // Which the temperature is a part of.
        last.weights.iter_mut().flat_map(|(.., values)| values).for_each(|value| *value /= spec.temperature);
    }
    Ok(builder.layers)
}

struct Builder<'a> {
    weights: &'a Weights,
    steps: Vec<Step>,
    layers: Vec<KerasLayer>,
    /// Layers with weights so far.
    parameters: usize,
}

impl Builder<'_> {
    fn layers_of(&mut self, layers: &[Layer]) {
        for layer in layers {
            match layer {
                Layer::Conv2d { filters, kernel, stride, padding, activation } => {
                    let mut config = window(*kernel, *stride, *padding);
                    config["filters"] = (*filters).into();
                    self.trained("Conv2D", config, "kernel", *activation);
                }
                Layer::DepthwiseConv2d { kernel, stride, padding, activation } => {
                    let mut config = window(*kernel, *stride, *padding);
                    config["depth_multiplier"] = 1.into();
                    self.trained("DepthwiseConv2D", config, "depthwise_kernel", *activation);
                }
                Layer::Dense { units, activation } => {
                    self.trained("Dense", json!({"units": units}), "kernel", *activation);
                }
                Layer::Residual { layers } => {
                    let before = self.last();
                    self.layers_of(layers);
                    self.add("Add", json!({}));
                    if let Some(add) = self.layers.last_mut() {
                        add.inputs.insert(0, before);
                    }
                }
                Layer::GlobalAveragePool2d => {
                    self.add("GlobalAveragePooling2D", json!({"data_format": "channels_last"}))
                }
                Layer::MaxPool2d => {
                    let config = json!({"pool_size": [2, 2], "strides": [2, 2], "padding": "valid",
                        "data_format": "channels_last"});
                    self.add("MaxPooling2D", config);
                }
                Layer::Dropout { percent } => self.add("Dropout", json!({"rate": f64::from(*percent) / 100.0})),
                Layer::Flatten => self.add("Flatten", json!({"data_format": "channels_last"})),
                Layer::LogSumExp { groups } => self.log_sum_exp(groups.iter().map(|&count| count as usize).collect()),
            }
        }
    }

    /// By pairs, since neither Keras nor TensorFlow.js has a layer for it: `ln(e^x + e^y)` is `x + softplus(y - x)`. A value that is
    /// left over gets the softplus of a number so small that it is 0.
    fn log_sum_exp(&mut self, mut groups: Vec<usize>) {
        const NOTHING: f32 = -1e4;
        while groups.iter().any(|&count| count > 1) {
            let halves: Vec<usize> = groups.iter().map(|count| count.div_ceil(2)).collect();
            let shape @ [inputs, outputs] = [groups.iter().sum(), halves.iter().sum::<usize>()];
            let [mut firsts, mut differences] = [(); 2].map(|()| vec![0.0; inputs * outputs]);
            let mut bias = vec![NOTHING; outputs];
            let (mut input, mut output) = (0, 0);
            for count in groups {
                for first in (input..input + count).step_by(2) {
                    firsts[first * outputs + output] = 1.0;
                    if first + 1 < input + count {
                        differences[first * outputs + output] = -1.0;
                        differences[(first + 1) * outputs + output] = 1.0;
                        bias[output] = 0.0;
                    }
                    output += 1;
                }
                input += count;
            }
            let before = self.last();
            self.fixed(&before, "softplus", shape, differences, bias);
            let softplus = self.last();
            self.fixed(&before, "linear", shape, firsts, vec![0.0; outputs]);
            self.add("Add", json!({}));
            if let Some(add) = self.layers.last_mut() {
                add.inputs.insert(0, softplus);
            }
            groups = halves;
        }
        // Of two labels, the first's less the second's; of more, each as it is.
        let (labels, before) = (groups.len(), self.last());
        let outputs = if labels == 2 { 1 } else { labels };
        let value = |i: usize| match (i / outputs, i % outputs) {
            (1, 0) if labels == 2 => -1.0,
            (input, output) => f32::from(u8::from(input == output)),
        };
        let kernel = (0..labels * outputs).map(value).collect();
        self.fixed(&before, "linear", [labels, outputs], kernel, vec![0.0; outputs]);
    }

    /// Adds a dense layer behind `input` that was never trained.
    fn fixed(&mut self, input: &str, activation: &str, shape: [usize; 2], kernel: Vec<f32>, bias: Vec<f32>) {
        self.add("Dense", json!({"units": shape[1], "activation": activation, "use_bias": true}));
        if let Some(dense) = self.layers.last_mut() {
            dense.inputs = vec![input.to_owned()];
            dense.weights = vec![("kernel", shape.to_vec(), kernel), ("bias", vec![shape[1]], bias)];
        }
    }

    /// Adds a layer under the name of its weights in the model file.
    fn trained(&mut self, class: &'static str, mut config: Value, kernel: &'static str, activation: Activation) {
        config["activation"] = if activation == Activation::Relu { "relu" } else { "linear" }.into();
        config["use_bias"] = true.into();
        let parameters: Vec<_> = self.steps.iter().flat_map(Step::parameters).collect();
        let p = parameters[self.parameters];
        self.parameters += 1;
        let mut shape = p.shape.clone();
        if class == "DepthwiseConv2D" {
            shape.push(1);
        }
        let weights = vec![
            (kernel, shape, self.weights.get(&p.weight_name()).to_vec()),
            ("bias", vec![p.bias_len()], self.weights.get(&p.bias_name()).to_vec()),
        ];
        let (name, inputs) = (p.layer.clone(), vec![self.last()]);
        self.layers.push(KerasLayer { class, config: named(config, &name), name, inputs, weights });
        if activation == Activation::Relu6 {
            self.add("ReLU", json!({"max_value": 6.0}));
        }
    }

    fn add(&mut self, class: &'static str, config: Value) {
        let name = format!("{}_{}", class.to_lowercase(), self.layers.len());
        let inputs = vec![self.last()];
        self.layers.push(KerasLayer { class, config: named(config, &name), name, inputs, weights: vec![] });
    }

    fn last(&self) -> String {
        self.layers.last().map(|layer| layer.name.clone()).unwrap_or_default()
    }
}

fn window(kernel: u32, stride: u32, padding: Padding) -> Value {
    json!({
        "kernel_size": [kernel, kernel],
        "strides": [stride, stride],
        "padding": if padding == Padding::Same { "same" } else { "valid" },
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
    })
}

fn named(mut config: Value, name: &str) -> Value {
    config["name"] = name.into();
    config["trainable"] = true.into();
    config["dtype"] = "float32".into();
    config
}

/// The configuration of the model that the layers make up: Sequential, as the article's, where each follows the one before.
pub fn topology(layers: &[KerasLayer]) -> Value {
    let [first, .., last] = layers else { return Value::Null };
    if layers.iter().all(|layer| layer.inputs.len() < 2) {
        let layer = |KerasLayer { class, config, .. }: &KerasLayer| json!({"class_name": class, "config": config});
        let layers: Vec<Value> = layers.iter().map(layer).collect();
        return json!({"class_name": "Sequential", "config": {"name": "husky", "layers": layers}});
    }
    let node = |name: &String| json!([name, 0, 0, {}]);
    let layers: Vec<Value> = layers
        .iter()
        .map(|KerasLayer { class, name, config, inputs, .. }| {
            let nodes =
                if inputs.is_empty() { json!([]) } else { json!([inputs.iter().map(node).collect::<Vec<_>>()]) };
            json!({"class_name": class, "name": name, "config": config, "inbound_nodes": nodes})
        })
        .collect();
    json!({
        "class_name": "Functional",
        "config": {
            "name": "husky",
            "trainable": true,
            "layers": layers,
            "input_layers": [[first.name, 0, 0]],
            "output_layers": [[last.name, 0, 0]],
        },
    })
}

/// The version whose way of writing this is.
pub const VERSION: &str = "2.15.0";

/// The attribute that names the label which a single output is the probability of. Keras has none for it, and means class 1 as
/// a rule.
pub const OUTPUT: &str = "husky_output";

/// The file.
///
/// # Errors
/// None in practice: it is written in memory.
pub fn file(layers: &[KerasLayer], labels: &[String]) -> Result<Vec<u8>> {
    let text = |text: &str| AttrValue::VarLenString(text.to_owned());
    let mut file = FileBuilder::new();
    file.set_attr("keras_version", text(VERSION));
    file.set_attr("backend", text("tensorflow"));
    file.set_attr("model_config", text(&topology(layers).to_string()));
    if let [first, _] = labels {
        file.set_attr(OUTPUT, text(first));
    }
    let mut all = file.create_group("model_weights");
    all.set_attr("keras_version", text(VERSION));
    all.set_attr("backend", text("tensorflow"));
    let names = layers.iter().map(|layer| layer.name.clone()).collect();
    all.set_attr("layer_names", AttrValue::VarLenStringArray(names));
    for KerasLayer { name, weights, .. } in layers {
        let mut group = all.create_group(name);
        if !weights.is_empty() {
            let names = weights.iter().map(|(what, ..)| format!("{name}/{what}:0")).collect();
            group.set_attr("weight_names", AttrValue::VarLenStringArray(names));
            let mut inner = group.create_group(name);
            for (what, shape, values) in weights {
                let shape: Vec<u64> = shape.iter().map(|&length| length as u64).collect();
                inner.create_dataset(&format!("{what}:0")).with_f32_data(values).with_shape(&shape);
            }
            group.add_group(inner.finish());
        }
        all.add_group(group.finish());
    }
    file.add_group(all.finish());
    Ok(file.finish()?)
}
