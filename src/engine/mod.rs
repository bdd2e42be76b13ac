//! The forward pass: the few operations that the architectures need, fused, without allocation but for the pictures
//! between layers. Written in plain arrays of eight so that the compiler makes SIMD of it on every target.

mod conv;
mod dense;

use conv::Conv;
use dense::Dense;

use crate::{
    Result, Spec, Weights,
    spec::{Op, Shape},
};

/// Values that are computed side by side.
const LANES: usize = 8;

/// A network ready to run.
pub struct Network {
    layers: Vec<Layer>,
}

enum Layer {
    Conv(Conv),
    Dense(Dense),
}

impl Network {
    /// Packs the weights for the kernels.
    ///
    /// # Errors
    /// As [`Spec::steps`].
    ///
    /// # Panics
    /// If `weights` were made for another spec.
    pub fn new(spec: &Spec, weights: &Weights) -> Result<Self> {
        let mut layers = Vec::new();
        for step in spec.steps()? {
            match (step.op, step.input) {
                (Op::Conv2d { parameters, relu, pool, .. }, Shape::Image { height, width, .. }) => {
                    layers.push(Layer::Conv(Conv::new(height, width, &parameters, weights, relu, pool)));
                }
                (Op::Dense { parameters, relu }, _) => {
                    layers.push(Layer::Dense(Dense::new(&parameters, weights, relu)));
                }
                // Nothing happens to a value when nothing is trained, or when only its shape is said anew.
                (Op::Conv2d { .. } | Op::Dropout { .. } | Op::Flatten, _) => {}
            }
        }
        Ok(Self { layers })
    }

    /// The logits of `input`, `[size, size, 3]` normalised values: one a label, or a single one for two labels.
    ///
    /// # Panics
    /// If `input` has another length.
    pub fn forward(&self, input: &[f32]) -> Vec<f32> {
        self.layers.iter().fold(input.to_vec(), |values, layer| match layer {
            Layer::Conv(conv) => conv.forward(&values),
            Layer::Dense(dense) => dense.forward(&values),
        })
    }
}
