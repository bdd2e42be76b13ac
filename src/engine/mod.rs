//! The fast forward pass.

use crate::{Result, Spec, Weights};

/// A network ready to run.
pub struct Network {}

impl Network {
    /// Packs checked weights for the kernels.
    pub fn new(_spec: &Spec, _weights: &Weights) -> Result<Self> {
        todo!()
    }

    /// The logits of `input`, `[size, size, 3]` normalised values.
    pub fn forward(&self, _input: &[f32]) -> Vec<f32> {
        todo!()
    }
}
