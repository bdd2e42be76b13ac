//! A spec from its JSON, the inverse of what is derived to write it. What is unknown is refused.

use super::{Activation, Architecture, Input, Layer, Padding, Provenance, Resize, Spec};
use crate::json::{FromJson, Json, Object};

type Result<T> = std::result::Result<T, String>;

/// The fields of an object, all of them, as `make` takes them.
fn object<T>(json: Json, make: impl FnOnce(&mut Object) -> Result<T>) -> Result<T> {
    let mut fields = Object::from_json(json)?;
    let made = make(&mut fields)?;
    fields.end().map(|()| made)
}

/// The one of `values` that the text names.
fn choice<T: Copy>(json: Json, values: &[(&str, T)]) -> Result<T> {
    let name = String::from_json(json)?;
    let known = values.iter().find(|(known, _)| *known == name);
    known.map(|&(_, value)| value).ok_or_else(|| format!(" is `{name}`, which is unknown"))
}

impl FromJson for Spec {
    fn from_json(json: Json) -> Result<Self> {
        object(json, |spec| {
            Ok(Self {
                name: spec.field("name")?,
                input: spec.field("input")?,
                architecture: Architecture(spec.field("architecture")?),
                labels: spec.field("labels")?,
                temperature: spec.field("temperature")?,
                threshold: spec.field("threshold")?,
                unsure: spec.take("unsure")?,
                provenance: spec.field("provenance")?,
            })
        })
    }
}

impl FromJson for Input {
    fn from_json(json: Json) -> Result<Self> {
        object(json, |input| {
            Ok(Self {
                size: input.field("size")?,
                mean: input.field("mean")?,
                scale: input.field("scale")?,
                resize: input.field("resize")?,
            })
        })
    }
}

impl FromJson for Provenance {
    fn from_json(json: Json) -> Result<Self> {
        object(json, |provenance| {
            Ok(Self {
                version: provenance.field("version")?,
                date: provenance.take("date")?,
                seed: provenance.field("seed")?,
                epoch: provenance.field("epoch")?,
                data: provenance.field("data")?,
                training_photos: provenance.field("training_photos")?,
                validation_photos: provenance.field("validation_photos")?,
            })
        })
    }
}

impl FromJson for Layer {
    fn from_json(json: Json) -> Result<Self> {
        object(json, |layer| {
            let name: String = layer.field("type")?;
            Ok(match &name[..] {
                "conv2d" => Self::Conv2d {
                    filters: layer.field("filters")?,
                    kernel: layer.field("kernel")?,
                    stride: layer.take("stride")?.unwrap_or(1),
                    padding: layer.take("padding")?.unwrap_or_default(),
                    activation: layer.field("activation")?,
                },
                "depthwise_conv2d" => Self::DepthwiseConv2d {
                    kernel: layer.field("kernel")?,
                    stride: layer.take("stride")?.unwrap_or(1),
                    padding: layer.take("padding")?.unwrap_or_default(),
                    activation: layer.field("activation")?,
                },
                "residual" => Self::Residual { layers: layer.field("layers")? },
                "global_average_pool2d" => Self::GlobalAveragePool2d,
                "max_pool2d" => Self::MaxPool2d,
                "dropout" => Self::Dropout { percent: layer.field("percent")? },
                "flatten" => Self::Flatten,
                "dense" => Self::Dense { units: layer.field("units")?, activation: layer.field("activation")? },
                "log_sum_exp" => Self::LogSumExp { groups: layer.field("groups")? },
                _ => return Err(format!(".type is `{name}`, which is unknown")),
            })
        })
    }
}

impl FromJson for Activation {
    fn from_json(json: Json) -> Result<Self> {
        choice(json, &[("linear", Self::Linear), ("relu", Self::Relu), ("relu6", Self::Relu6)])
    }
}

impl FromJson for Padding {
    fn from_json(json: Json) -> Result<Self> {
        choice(json, &[("valid", Self::Valid), ("same", Self::Same)])
    }
}

impl FromJson for Resize {
    fn from_json(json: Json) -> Result<Self> {
        choice(json, &[("stretch_triangle", Self::StretchTriangle)])
    }
}
