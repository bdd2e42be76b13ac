//! Weights of a network that was trained before, on other photos: transfer learning.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device};
use husky::Spec;
use husky::spec::Step;

use crate::network::Tensors;
use crate::presets::Preset;

/// The tensors of the convolutions and batch norms of `preset`'s network of `spec` from `path`, a safetensors file with
/// timm's names: `[out, in, kernel, kernel]`, and `weight`, `bias`, `running_mean` and `running_var` of each batch norm.
///
/// # Errors
/// One sentence that names the file: it can't be read, is of another kind, or lacks tensors, which it lists.
pub fn load(path: &Path, preset: Preset, spec: &Spec) -> Result<Tensors> {
    let names = preset.timm_names();
    ensure!(
        !names.is_empty(),
        "--backbone: the preset {} has no weights to begin with; lite0, lite1, lite1-short and tiny have",
        preset.name()
    );
    let file = candle_core::safetensors::load(path, &Device::Cpu)
        .with_context(|| format!("{}: is no safetensors file with weights", path.display()))?;
    let wanted = |[conv, norm]: &[String; 2]| {
        let norms = ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{norm}.{part}"));
        [vec![format!("{conv}.weight")], norms.to_vec()].concat()
    };
    let missing: Vec<String> = names.iter().flat_map(wanted).filter(|name| !file.contains_key(name)).collect();
    if let [first, ..] = &missing[..] {
        anyhow::bail!(
            "{}: is not the backbone of {}: {} of {} tensors are missing, such as {first}",
            path.display(),
            preset.name(),
            missing.len(),
            5 * names.len()
        );
    }
    let steps = spec.steps()?;
    let mut tensors = Tensors::new();
    for (parameters, names) in steps.iter().flat_map(Step::parameters).zip(&names) {
        let own = ["weight", "gamma", "beta", "moving_mean", "moving_variance"];
        for (own, name) in own.into_iter().zip(wanted(names)) {
            let tensor = file[&name].to_dtype(DType::F32)?;
            let tensor = match (tensor.rank(), parameters.shape.len()) {
                // [channels, 1, kernel, kernel] becomes [kernel, kernel, channels].
                (4, 3) => tensor.squeeze(1)?.permute((1, 2, 0))?,
                (4, _) => tensor.permute((2, 3, 1, 0))?,
                _ => tensor,
            };
            let shape = if own == "weight" { parameters.shape.clone() } else { vec![parameters.bias_len()] };
            ensure!(
                tensor.dims() == shape,
                "{}: is not the backbone of {}: {name} has another shape",
                path.display(),
                preset.name()
            );
            tensors.insert(format!("{}.{own}", parameters.layer), tensor.contiguous()?);
        }
    }
    Ok(tensors)
}
