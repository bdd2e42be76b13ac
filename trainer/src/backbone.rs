//! Weights of a network that was trained before, on other photos: transfer learning.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device};
use husky::spec::{Parameters, Step};
use husky::weights::MAX_FILE;
use husky::{Error, Spec, Weights, weights};

use crate::files;
use crate::network::{Network, Tensors};
use crate::presets::Preset;

/// The tensors of all layers but the last of `preset`'s network of `spec` from `path`: a model file of the same network, or a
/// safetensors file with timm's names: `[out, in, kernel, kernel]`, and `weight`, `bias`, `running_mean` and `running_var` of
/// each batch norm.
///
/// # Errors
/// One sentence that names the file: it can't be read, is of another kind, or lacks tensors, which it lists.
pub fn load(path: &Path, preset: Preset, spec: &Spec) -> Result<Tensors> {
    let bytes = files::read_file(path, MAX_FILE, Error::ModelTooLarge).with_context(|| path.display().to_string())?;
    // Whoever states a checksum as ours do is a model, and has to be a whole one.
    if weights::digest(&bytes).is_ok() {
        let (model, weights) = weights::read(&bytes).with_context(|| path.display().to_string())?;
        return from_model(&model, &weights, spec).with_context(|| path.display().to_string());
    }
    let names = preset.timm_names();
    ensure!(
        !names.is_empty(),
        "--backbone: the preset {} has no weights to begin with; lite0, lite1, lite1-short and tiny have",
        preset.name()
    );
    let file = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
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

/// What a model has of a network, but for its last layer, which may be of other labels or kinds.
fn from_model(model: &Spec, weights: &Weights, spec: &Spec) -> Result<Tensors> {
    let layers = |spec: &Spec| -> Result<Vec<Parameters>> {
        let steps = spec.steps()?;
        let layers: Vec<&Parameters> = steps.iter().flat_map(Step::parameters).collect();
        Ok(layers[..layers.len() - 1].iter().map(|&layer| layer.clone()).collect())
    };
    let layers = [layers(model)?, layers(spec)?];
    ensure!(layers[0] == layers[1], "is a model of another network than {}", spec.name);
    let network = Network::from_weights(model, weights)?;
    let tensors = network.parameters().iter().chain(network.buffers());
    let tensors = tensors.map(|(name, tensor)| (name.clone(), tensor.as_detached_tensor()));
    let is_kept =
        |name: &str| layers[0].iter().any(|p| name.strip_prefix(&p.layer).is_some_and(|n| n.starts_with('.')));
    Ok(tensors.filter(|(name, _)| is_kept(name)).collect())
}
