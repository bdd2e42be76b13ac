//! EfficientNet-Lite0 with weights from a seed.

use anyhow::Result;
use bench::random;
use husky::weights::{self, Precision};
use trainer::presets::Preset;

/// A model file for pictures of `size` pixels a side.
///
/// # Errors
/// None, but for a bug.
pub fn model(size: u32) -> Result<Vec<u8>> {
    let (spec, weights) = random::network("lite0", size, Preset::Lite0.architecture(2).0)?;
    Ok(weights::write(&spec, &weights, Precision::F16)?)
}
