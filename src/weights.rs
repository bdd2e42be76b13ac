//! The model file: structure and weights in one safetensors file, bytes to bytes.
//!
//! Its metadata has one key, `husky`, with the JSON `{"format":2,"blake3":"…","spec":{…}}`. The tensors are those that
//! the [`Spec`] asks for, `NAME.weight` and `NAME.bias`, little-endian, all f32 or all f16; or the weights are 8-bit
//! integers, each to be multiplied with its output channel's `NAME.scale`, and scales and biases are f32. Tensors of one
//! type lie in the order of their names, larger types first, without gaps, and the header lists them in this order. The checksum covers the spec's JSON and the
//! data after the header. [`write()`] gives equal models equal files.
//!
//! ```
//! use husky::weights::{self, Precision};
//!
//! let file = std::fs::read("models/tiny.safetensors")?;
//! let (spec, tensors) = weights::read(&file)?;
//! assert_eq!(weights::precision(&file)?, Precision::I8);
//! let single = weights::write(&spec, &tensors, Precision::F32)?;
//! assert!(single.len() > 3 * file.len());
//! assert!(weights::read(&single)? == (spec, tensors));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file;
mod precision;

use std::collections::{BTreeMap, HashMap};

use husky_engine::Values;
use safetensors::tensor::TensorView;

use file::{File, KEY, before_spec, checksum, order, split_header};
pub use precision::Precision;
use precision::{encode, quantize};

use crate::{
    Error, Result, Spec,
    error::printable,
    json,
    spec::{Parameters, Step},
};

/// The longest model file that is accepted, in bytes.
pub const MAX_FILE: usize = 256 << 20;
/// The longest header that is accepted, in bytes.
pub const MAX_HEADER: usize = 1 << 20;
/// The version of the format.
pub const FORMAT: u32 = 2;

/// Trained values by tensor name, in the order of the layers; shapes are the spec's. Complete and finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights(Vec<(String, Vec<f32>)>);

impl Weights {
    /// Takes `tensors`, `NAME.weight` and `NAME.bias` of each [`Parameters`] of the spec.
    ///
    /// # Errors
    /// Those of [`Spec::steps`]; [`Error::ModelTensorMissing`], [`Error::ModelTensorUnknown`],
    /// [`Error::ModelTensorLength`] and [`Error::ModelTensorValue`].
    pub fn new(spec: &Spec, mut tensors: BTreeMap<String, Vec<f32>>) -> Result<Self> {
        let mut weights = Vec::new();
        for p in spec.steps()?.iter().flat_map(Step::parameters) {
            for (name, expected) in [(p.weight_name(), p.count() - p.bias_len()), (p.bias_name(), p.bias_len())] {
                let Some(values) = tensors.remove(&name) else { return Err(Error::ModelTensorMissing(name)) };
                if values.len() != expected {
                    return Err(Error::ModelTensorLength { tensor: name, expected, found: values.len() });
                }
                let values = Values::from(values);
                check_finite(&name, &values)?;
                weights.push((name, values.into_singles()));
            }
        }
        match tensors.into_keys().next() {
            Some(name) => Err(Error::ModelTensorUnknown(printable(name))),
            None => Ok(Self(weights)),
        }
    }

    /// The values of a tensor, row-major.
    ///
    /// # Panics
    /// If the spec that these weights were made for has no such tensor.
    pub fn get(&self, name: &str) -> &[f32] {
        &self.0.iter().find(|(other, _)| other == name).expect("weights fit their spec").1
    }
}

/// Reads a model file's bytes. Everything in them is checked before it is used, and nothing in them is executed.
///
/// # Errors
/// The `Model…` variants of [`Error`], one for each way to be wrong.
pub fn read(bytes: &[u8]) -> Result<(Spec, Weights)> {
    let (spec, tensors) = stored(bytes)?;
    Ok((spec, Weights(tensors.into_iter().map(|(name, values)| (name, values.into_singles())).collect())))
}

/// As [`read`], with values as the file has them.
///
/// # Errors
/// As [`read`].
pub(crate) fn stored(bytes: &[u8]) -> Result<(Spec, Vec<(String, Values)>)> {
    let file = File::parse(bytes)?;
    let spec: Spec = json::read(&file.spec).map_err(|why| Error::ModelSpec(printable(why)))?;
    let steps = spec.steps()?;
    let parameters: Vec<&Parameters> = steps.iter().flat_map(Step::parameters).collect();
    let expected: Vec<_> = parameters.iter().flat_map(|p| file.precision.tensors(p)).collect();
    file.check_tensors(&expected)?;
    let mut tensors = Vec::new();
    for p in parameters {
        for (name, values) in file.values(p) {
            check_finite(&name, &values)?;
            tensors.push((name, values));
        }
    }
    Ok((spec, tensors))
}

/// The checksum that a model file states, in hexadecimal: of a file that [`read`] accepts it is the true one, and as the
/// spec says all that the header may hold, two files of one digest are one model.
///
/// # Errors
/// As [`read`], but for those that come of the checksum, the spec and the values.
pub fn digest(bytes: &[u8]) -> Result<String> {
    File::digest(bytes)
}

/// How the weights of a model file lie in it.
///
/// # Errors
/// As [`read`], but for those that come of the spec and the values.
pub fn precision(bytes: &[u8]) -> Result<Precision> {
    Ok(File::parse(bytes)?.precision)
}

/// A model file's bytes: the same for the same model.
///
/// # Errors
/// Those of [`Spec::steps`]; [`Error::ModelHalfRange`] for a value that no f16 holds; [`Error::ModelTooLarge`] and
/// [`Error::ModelHeaderLength`] for a file that [`read`] would not accept.
///
/// # Panics
/// If `weights` were made for another spec.
pub fn write(spec: &Spec, weights: &Weights, precision: Precision) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for p in spec.steps()?.iter().flat_map(Step::parameters) {
        let weight = weights.get(&p.weight_name());
        let mut values = BTreeMap::from([(p.bias_name(), weights.get(&p.bias_name()).to_vec())]);
        if precision == Precision::I8 {
            let (integers, scales) = quantize(weight, p.bias_len());
            values.extend([(p.weight_name(), integers), (p.scale_name(), scales)]);
        } else {
            values.insert(p.weight_name(), weight.to_vec());
        }
        for tensor in precision.tensors(p) {
            let data = encode(&tensor, &values[&tensor.name])?;
            tensors.push((tensor, data));
        }
    }
    tensors.sort_by(|(a, _), (b, _)| order((a.dtype, &a.name), (b.dtype, &b.name)));
    let spec = serde_json::to_string(spec).expect("a spec is plain data");
    let blake3 = checksum(&spec, tensors.iter().map(|(_, data)| &data[..]));
    let husky = before_spec(&blake3) + &spec + "}";
    let views = tensors.iter().map(|(tensor, data)| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), data).expect("the values fill their shape");
        (&tensor.name, view)
    });
    // safetensors has the same order, and pads the header to 8 bytes.
    let bytes = safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), husky)])))
        .expect("the header is valid by construction");
    split_header(&bytes)?;
    Ok(bytes)
}

fn check_finite(tensor: &str, values: &Values) -> Result<()> {
    match values.first_not_finite() {
        Some((index, value)) => Err(Error::ModelTensorValue { tensor: tensor.to_owned(), index, value }),
        None => Ok(()),
    }
}
