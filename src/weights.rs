//! The model file: reading (with every check) and writing, bytes to bytes.

use std::collections::BTreeMap;

use crate::{Result, Spec};

/// Trained values by tensor name; shapes are the spec's.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights(BTreeMap<String, Vec<f32>>);

/// How weights lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
}

impl Weights {
    /// Checks `tensors` against the spec.
    pub fn new(_spec: &Spec, _tensors: BTreeMap<String, Vec<f32>>) -> Result<Self> {
        todo!()
    }

    /// The values of a tensor that the spec names.
    pub fn get(&self, name: &str) -> &[f32] {
        &self.0[name]
    }
}

/// Reads a model file's bytes and checks everything in them.
pub fn read(_bytes: &[u8]) -> Result<(Spec, Weights)> {
    todo!()
}

/// A model file's bytes: the same for the same model.
pub fn write(_spec: &Spec, _weights: &Weights, _precision: Precision) -> Result<Vec<u8>> {
    todo!()
}
