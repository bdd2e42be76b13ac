//! The first step of transfer learning: the last layer alone, on what the backbone makes of the photos.

use anyhow::{Result, bail};
use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::Optimizer as _;
use husky_ops::{CrossEntropy, one_hot};

use crate::dataset::Split;
use crate::kinds::Kinds;
use crate::loader::Loader;
use crate::network::Network;
use crate::optimizer::{Algorithm, Optimizer, Settings};
use crate::progress::Progress;

/// Steps over all photos at once; by then the gradient is a thousandth of what it was.
const STEPS: usize = 1000;
/// The weight of half the squared weights in the loss, which keeps the layer from learning photos by heart: features are
/// about as many as photos. By five-fold cross-validation of the training photos, 0.001 to 0.003 are best under the features of
/// `lite1-short` (ROC AUC 0.991; 0.9905 at 0.005), and from 0.003 to 0.01 nothing changes under those of `lite1` (0.992).
const RIDGE: f64 = 0.003;
const MOMENTUM: f64 = 0.98;

/// How well the layer fits the photos that it was fitted to.
pub struct Fit {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Logits of each photo, and its label.
    pub logits: Vec<Vec<f32>>,
    /// See `logits`.
    pub labels: Vec<usize>,
}

/// Fits the network's last layer to the photos of `split`, as they are, by logistic regression on its input. That is
/// computed once, so this takes about as long as half an epoch. With `kinds` it learns these, and not only the labels.
///
/// # Errors
/// The photos can't be read.
pub fn fit(network: &Network, split: &Split, loader: &Loader, kinds: Option<&Kinds>) -> Result<Fit> {
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    let progress = Progress::new("fitting the last layer", split.len());
    for batch in loader.in_order(split)? {
        let batch = batch?;
        features.push(network.features(&batch.tensor()?)?);
        batch.labels.iter().for_each(|_| progress.step());
        labels.extend(batch.labels);
    }
    drop(progress);
    let Some([weight, bias]) = network.last_layer() else { bail!("the network has no last layer to fit") };
    let features = Tensor::cat(&features, 0)?;
    let layer = match kinds {
        Some(kinds) => regression(&features, &kinds.of, kinds.count())?,
        None => regression(&features, &labels, split.labels())?,
    };
    weight.set(&layer.weight)?;
    bias.set(&layer.bias)?;
    let logits = network.logits(&layer.logits)?;
    let loss = logits.apply_op1_no_bwd(&CrossEntropy::new(one_hot(&labels, split.labels())))?;
    Ok(Fit { loss: loss.to_scalar::<f32>()?.into(), logits: logits.to_vec2()?, labels })
}

/// A last layer.
pub struct Layer {
    /// `[features, outputs]`
    pub weight: Tensor,
    /// `[outputs]`
    pub bias: Tensor,
    /// Its outputs for the photos that it was fitted to, `[photos, outputs]`.
    pub logits: Tensor,
}

/// The logistic regression of `labels`, of `count`, on `features` `[photos, features]`: with one output for two labels, else
/// with one for each.
///
/// # Errors
/// candle's.
pub fn regression(features: &Tensor, labels: &[usize], count: usize) -> Result<Layer> {
    let outputs = if count == 2 { 1 } else { count };
    // Centred features are learnt faster; the bias then takes up the difference.
    let mean = features.mean_keepdim(0)?;
    let centered = features.broadcast_sub(&mean)?;
    let start = Var::zeros((features.dim(1)?, outputs), DType::F32, &Device::Cpu)?;
    let offset = Var::zeros(outputs, DType::F32, &Device::Cpu)?;
    // The curvature of the loss is at most half of the features' mean square length, with two labels a quarter.
    let square = centered.sqr()?.sum(1)?.mean(0)?.to_scalar::<f32>()?;
    let settings = Settings {
        algorithm: Algorithm::Sgd,
        learning_rate: 4.0 / f64::from(square).max(1.0),
        momentum: MOMENTUM,
        // Decoupled decay acts at once, and the gradient again and again: so the two meet where the loss has its minimum.
        weight_decay: RIDGE / (1.0 - MOMENTUM),
    };
    let targets = one_hot(labels, count);
    let logits = || centered.matmul(&start)?.broadcast_add(&offset);
    let loss = |logits: &Tensor| logits.apply_op1(CrossEntropy::new(targets.clone()));
    let mut optimizer = Optimizer::new(vec![start.clone(), offset.clone()], settings)?;
    for _ in 0..STEPS {
        optimizer.backward_step(&loss(&logits()?)?)?;
    }
    let shift = mean.matmul(&start)?.squeeze(D::Minus2)?;
    Ok(Layer { weight: start.as_tensor().clone(), bias: (offset.as_tensor() - shift)?, logits: logits()? })
}
