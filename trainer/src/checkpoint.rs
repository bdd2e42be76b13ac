//! A run's state on disk, whole at any moment: parameters, optimizer and the place in the training.
//!
//! One safetensors file: a tensor for each parameter and, as `NAME/0`, `NAME/1`, for what the optimizer remembers about it;
//! one for each buffer; `average/NAME` for each of both in the moving average, where there is one; the [`State`] as JSON in the metadata.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use candle_core::{Device, Tensor, Var};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::files::{little_endian, write_atomically};
use crate::network::Network;
use crate::optimizer::Optimizer;

/// The place in the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The recipe, and the SHA-256 of the list of photos: what must not change between the parts of a run.
    pub config: Config,
    /// See `config`.
    pub photos_sha256: String,
    /// The epoch at work, from 1.
    pub epoch: u32,
    /// Steps of it that are done.
    pub step: u32,
    /// Sum of the losses of these steps.
    pub loss_sum: f64,
    /// Photos of these steps that were answered right.
    pub correct: u64,
    /// The epochs that are done.
    pub history: Vec<Epoch>,
}

/// The figures of one epoch: a line of metrics.csv.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1; 0 is the backbone with a fitted last layer.
    pub epoch: u32,
    /// Mean training loss, with dropout and augmentation, while the weights were moving.
    pub loss: f64,
    /// Share of training photos answered right, measured likewise.
    pub accuracy: f64,
    /// Mean loss of the validation photos after the epoch.
    pub validation_loss: f64,
    /// Share of them answered right, at probability 0.5.
    pub validation_accuracy: f64,
    /// Area under the ROC curve on them; none with more than two labels.
    pub validation_roc_auc: Option<f64>,
}

impl Epoch {
    /// The fields' names, in order.
    pub const COLUMNS: [&str; 6] =
        ["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "validation_roc_auc"];

    /// That with the smallest validation loss; the first of equals.
    pub fn best(history: &[Self]) -> Option<&Self> {
        history.iter().min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss))
    }
}

impl State {
    /// The start of a run.
    pub fn new(config: Config, photos_sha256: String) -> Self {
        Self { config, photos_sha256, epoch: 1, step: 0, loss_sum: 0.0, correct: 0, history: Vec::new() }
    }

    /// The epoch with the smallest validation loss.
    pub fn best(&self) -> Option<&Epoch> {
        Epoch::best(&self.history)
    }
}

/// The metadata's one key.
const KEY: &str = "husky-checkpoint";

#[derive(Serialize, Deserialize)]
struct Metadata {
    version: String,
    optimizer_steps: u64,
    state: State,
}

/// Puts the run's state at `path`, whole or not at all.
///
/// # Errors
/// One sentence that names the file, also where a parameter is no number any more; the old checkpoint is kept.
pub fn save(
    path: &Path,
    state: &State,
    network: &Network,
    average: Option<&Network>,
    optimizer: &Optimizer,
) -> Result<()> {
    let finite = |name: &str, var: &Var| {
        let values = var.flatten_all()?.to_vec1::<f32>()?;
        ensure!(
            values.iter().all(|value| value.is_finite()),
            "{}: {name} is no number any more, so the state before is kept: try a smaller --learning-rate",
            path.display()
        );
        Ok(little_endian(&values))
    };
    let mut tensors = Vec::new();
    for (name, buffer) in network.buffers() {
        tensors.push((name.clone(), finite(name, buffer)?, buffer.dims()));
    }
    for (name, var) in average.iter().flat_map(|average| all(average)) {
        tensors.push((format!("average/{name}"), finite(name, var)?, var.dims()));
    }
    for ((name, parameter), slots) in network.parameters().iter().zip(&optimizer.slots) {
        tensors.push((name.clone(), finite(name, parameter)?, parameter.dims()));
        for (i, slot) in slots.iter().enumerate() {
            tensors.push((format!("{name}/{i}"), little_endian(slot), parameter.dims()));
        }
    }
    let views =
        tensors.iter().map(|(name, bytes, shape)| Ok((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)));
    let views: Vec<_> = views.collect::<Result<_, safetensors::SafeTensorError>>()?;
    let version = env!("CARGO_PKG_VERSION").into();
    let metadata = Metadata { version, optimizer_steps: optimizer.steps, state: state.clone() };
    let metadata = HashMap::from([(KEY.into(), serde_json::to_string(&metadata)?)]);
    write_atomically(path, &safetensors::serialize(views, Some(metadata))?)
}

/// Brings network and optimizer to where [`save`] left them.
///
/// # Errors
/// One sentence that names the file, where it is broken or of another network or version.
pub fn load(path: &Path, network: &Network, average: Option<&Network>, optimizer: &mut Optimizer) -> Result<State> {
    let file = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    restore(&file, network, average, optimizer)
        .with_context(|| format!("{}: is damaged or of another run, so it can't go on: train anew", path.display()))
}

fn restore(file: &[u8], network: &Network, average: Option<&Network>, optimizer: &mut Optimizer) -> Result<State> {
    let (_, header) = SafeTensors::read_metadata(file)?;
    let metadata = header.metadata().as_ref().and_then(|m| m.get(KEY)).context("it has no training state")?;
    let metadata: Metadata = serde_json::from_str(metadata)?;
    let version = env!("CARGO_PKG_VERSION");
    ensure!(metadata.version == version, "version {} wrote it, and this is {version}", metadata.version);
    let tensors = SafeTensors::deserialize(file)?;
    let values = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
        let tensor = tensors.tensor(name).map_err(|_| anyhow!("{name} is missing"))?;
        ensure!(tensor.dtype() == Dtype::F32 && tensor.shape() == shape, "{name} has another shape or type");
        Ok(tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    };
    let mut restored = Vec::new();
    let own = all(network).map(|(name, var)| (name.clone(), var));
    let averages = average.into_iter().flat_map(all).map(|(name, var)| (format!("average/{name}"), var));
    for (name, var) in own.chain(averages) {
        restored.push((var, Tensor::from_vec(values(&name, var.dims())?, var.dims(), &Device::Cpu)?));
    }
    for ((name, parameter), slots) in network.parameters().iter().zip(&mut optimizer.slots) {
        for (i, slot) in slots.iter_mut().enumerate() {
            *slot = values(&format!("{name}/{i}"), parameter.dims())?;
        }
    }
    for (var, tensor) in restored {
        var.set(&tensor)?;
    }
    optimizer.steps = metadata.optimizer_steps;
    Ok(metadata.state)
}

/// Parameters and buffers.
fn all(network: &Network) -> impl Iterator<Item = (&String, &Var)> {
    network.parameters().iter().chain(network.buffers())
}
