//! What the benchmark's page calls.

use candle_core::Tensor;
use wasm_bindgen::prelude::*;

use crate::{candle::Network, kernels, peak};

/// A model in candle.
#[wasm_bindgen]
pub struct Candle {
    network: Network,
    input: Option<Tensor>,
}

#[wasm_bindgen]
impl Candle {
    /// Loads a model file's bytes, for stock operations or with the fused one.
    ///
    /// # Errors
    /// The file is wrong.
    pub fn load(bytes: &[u8], fused: bool) -> Result<Candle, JsError> {
        let (spec, weights) = husky::weights::read(bytes)?;
        Ok(Self { network: Network::new(&spec, &weights, fused)?, input: None })
    }

    /// Takes normalised values, `[size, size, 3]`.
    ///
    /// # Errors
    /// They have another length.
    pub fn prepare(&mut self, values: &[f32]) -> Result<(), JsError> {
        self.input = Some(self.network.input(values)?);
        Ok(())
    }

    /// The first logit of the prepared input.
    ///
    /// # Errors
    /// Nothing was prepared, or candle's.
    pub fn logit(&self) -> Result<f32, JsError> {
        let input = self.input.as_ref().ok_or_else(|| JsError::new("no input was prepared"))?;
        Ok(self.network.logit(input)?)
    }
}

/// Runs the machine's peak loop for about so many floating-point operations.
#[wasm_bindgen(js_name = peakLoop)]
pub fn peak_loop(operations: f64) -> f32 {
    peak::multiply_add(operations)
}

#[wasm_bindgen]
extern "C" {
    /// The browser's clock in milliseconds.
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

/// What [`kernels::measure`] says of all kernels, one after the other.
///
/// # Errors
/// None, but for a bug.
#[wasm_bindgen]
pub fn kernels() -> Result<Vec<f64>, JsError> {
    Ok(kernels::measure(&kernels::all()?, now).into_flattened())
}
