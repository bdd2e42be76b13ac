//! TensorFlow.js' layers format: `model.json`, and the weights in one file beside it
//! (<https://github.com/tensorflow/tfjs/blob/master/tfjs-converter/README.md>).

use serde_json::{Value, json};

use super::keras::{KerasLayer, VERSION, topology};
use crate::files::little_endian;

/// Name of the file with the weights.
pub const WEIGHTS: &str = "group1-shard1of1.bin";

/// `model.json`, and the weights.
pub fn files(layers: &[KerasLayer]) -> [Vec<u8>; 2] {
    let weights = || layers.iter().flat_map(|layer| layer.weights.iter().map(move |weight| (&layer.name, weight)));
    let entries: Vec<Value> = weights()
        .map(|(layer, (what, shape, _))| json!({"name": format!("{layer}/{what}"), "shape": shape, "dtype": "float32"}))
        .collect();
    let model = json!({
        "format": "layers-model",
        "generatedBy": concat!("husky ", env!("CARGO_PKG_VERSION")),
        "convertedBy": null,
        "modelTopology": {
            "keras_version": VERSION,
            "backend": "tensorflow",
            "model_config": topology(layers),
        },
        "weightsManifest": [{"paths": [WEIGHTS], "weights": entries}],
    });
    let values = weights().flat_map(|(_, (.., values))| little_endian(values)).collect();
    [model.to_string().into_bytes(), values]
}
