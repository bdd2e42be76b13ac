//! How values lie in a file.

use half::f16;
use husky_engine::Values;
use safetensors::Dtype;

use crate::{Error, Result, spec::Parameters};

/// How weights lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Weights as 8-bit integers with a scale for each output channel; the scales and biases as 32-bit floats.
    I8,
}

/// A tensor as a file has to have it.
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
}

impl Precision {
    /// What a layer's weights and bias are in a file.
    pub(super) fn tensors(self, p: &Parameters) -> Vec<Tensor> {
        let channels = [p.bias_len()];
        let tensor = |name, dtype, shape: &[usize]| Tensor { name, dtype, shape: shape.to_vec() };
        let (weight, bias) = match self {
            Self::F32 => (Dtype::F32, Dtype::F32),
            Self::F16 => (Dtype::F16, Dtype::F16),
            Self::I8 => (Dtype::I8, Dtype::F32),
        };
        let mut tensors = vec![tensor(p.weight_name(), weight, &p.shape), tensor(p.bias_name(), bias, &channels)];
        if self == Self::I8 {
            tensors.push(tensor(p.scale_name(), Dtype::F32, &channels));
        }
        tensors
    }

    /// The one whose tensors seem to be of these types; of no tensors, none.
    pub(super) fn of(dtypes: impl Iterator<Item = Dtype>) -> Option<Self> {
        let mut precision = None;
        for dtype in dtypes {
            precision = match (dtype, precision) {
                (Dtype::I8, _) => Some(Self::I8),
                (Dtype::F16, None | Some(Self::F32)) => Some(Self::F16),
                (_, None) => Some(Self::F32),
                (_, known) => known,
            };
        }
        precision
    }
}

/// The values of a tensor's bytes.
pub(super) fn decode(dtype: Dtype, bytes: &[u8]) -> Values {
    match dtype {
        Dtype::F16 => Values::from_halves(bytes),
        _ => Values::Singles(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
    }
}

/// The bytes of a tensor's values.
pub(super) fn encode(tensor: &Tensor, values: &[f32]) -> Result<Vec<u8>> {
    match tensor.dtype {
        Dtype::F16 => {
            let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
            if let Some(i) = halves.iter().position(|h| !h.is_finite()) {
                return Err(Error::ModelHalfRange { tensor: tensor.name.clone(), value: values[i] });
            }
            Ok(halves.into_iter().flat_map(f16::to_le_bytes).collect())
        }
        Dtype::I8 => Ok(values.iter().map(|&v| (v as i8).cast_unsigned()).collect()),
        _ => Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    }
}

/// Integers of at most 127, and the scale of each channel that makes the weights of them again. Channels are the last
/// dimension.
pub(super) fn quantize(weights: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let mut scales = vec![0.0_f32; channels];
    for weights in weights.chunks_exact(channels) {
        scales.iter_mut().zip(weights).for_each(|(scale, weight)| *scale = scale.max(weight.abs() / 127.0));
    }
    let integer = |(i, weight): (usize, &f32)| {
        let scale = scales[i % channels];
        if scale == 0.0 { 0.0 } else { (weight / scale).round() }
    };
    let integers = weights.iter().enumerate().map(integer).collect();
    (integers, scales)
}
