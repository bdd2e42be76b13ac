//! A [`Spec`] as training operations, and the way back through them.
//!
//! The convolutions of a network with depthwise convolutions or residual blocks train with batch norm in place of a bias,
//! since such networks hardly train without. The model file knows nothing of it: what batch norm does to a picture at
//! inference is a factor and an offset for each channel, which [`Network::weights`] folds into weights and bias.

mod names;
mod tape;

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use husky::spec::{Activation, Op, Parameters, Spec, Step, Window};
use husky_ops::{BatchNorm, Conv2d, Dense, DepthwiseConv2d, GlobalAveragePool2d, LogSumExp, Pointwise, Statistics};
use rand::RngExt;

use crate::random::{self, Stream};
use names::{Names, is_normed, layers};
use tape::Pass;

/// A network whose parameters can be trained. The inference twin is [`husky::engine::Network`].
pub struct Network {
    steps: Vec<Step>,
    frozen: Frozen,
    /// In name order, which is the order of everything that is kept about them.
    parameters: BTreeMap<String, Var>,
    buffers: BTreeMap<String, Var>,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// What training leaves as it is, in a network that was trained before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// How many of the first layers with weights.
    pub layers: usize,
    /// Batch norm's moving statistics, by which it norms in training, too. A small data set's batches know them worse than
    /// the large one of before.
    pub statistics: bool,
}

/// How much of the moving statistics is kept at each step; Keras' default.
const MOMENTUM: f64 = 0.99;

/// What the dropout of one batch is keyed by.
#[derive(Clone, Copy, Debug)]
pub struct DropoutKey {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// Number, within the epoch, of the batch's first sample.
    pub first_sample: u64,
}

/// What a batch says about the parameters.
pub struct Gradients {
    /// Of the last layer that has weights, `[batch, outputs]`: logits of labels or, where that is so, of kinds.
    pub outputs: Tensor,
    /// The mean over the batch.
    pub loss: Tensor,
    /// The loss' gradient by each parameter, and by the input if that is a [`Var`].
    pub gradients: GradStore,
}

impl Network {
    /// Fresh tensors for all that a network of `spec` has, Keras' way: weights from Glorot's uniform distribution, biases
    /// zero, batch norm that changes nothing.
    ///
    /// # Errors
    /// The spec is wrong.
    pub fn fresh(spec: &Spec, seed: u64) -> anyhow::Result<Tensors> {
        let mut tensors = Tensors::new();
        for (i, (p, names)) in layers(&spec.steps()?).into_iter().enumerate() {
            let weights = glorot_uniform(&p, seed, i as u64);
            tensors.insert(p.weight_name(), Tensor::from_vec(weights, p.shape.clone(), &Device::Cpu)?);
            for (name, value) in names.vectors() {
                tensors.insert(name, Tensor::full(value, p.bias_len(), &Device::Cpu)?);
            }
        }
        Ok(tensors)
    }

    /// A network with the given tensors.
    ///
    /// # Errors
    /// A tensor that the spec asks for is missing or has another shape, or more layers are frozen than there are.
    pub fn new(spec: &Spec, mut tensors: Tensors, frozen: Frozen) -> Result<Self> {
        let steps = spec.steps().map_err(candle_core::Error::wrap)?;
        let (mut parameters, mut buffers) = (BTreeMap::new(), BTreeMap::new());
        let layers = layers(&steps);
        if frozen.layers >= layers.len() {
            bail!("only the first {} layers can be frozen: the last one must learn", layers.len() - 1)
        }
        for (i, (p, names)) in layers.into_iter().enumerate() {
            let vectors = names.vectors().into_iter().map(|(name, _)| (name, vec![p.bias_len()]));
            for (name, shape) in std::iter::once((p.weight_name(), p.shape.clone())).chain(vectors) {
                let var = match tensors.remove(&name) {
                    Some(tensor) if tensor.dims() == shape => Var::from_tensor(&tensor)?,
                    Some(tensor) => bail!("{name} has shape {:?} instead of {shape:?}", tensor.dims()),
                    None => bail!("{name} is missing"),
                };
                let trained = i >= frozen.layers && !names.is_statistic(&name);
                if trained { &mut parameters } else { &mut buffers }.insert(name, var);
            }
        }
        Ok(Self { steps, frozen, parameters, buffers })
    }

    /// A network that computes what a model file says: [`Network::weights`] undone. Its batch norm adds the bias and changes
    /// nothing else.
    ///
    /// # Errors
    /// The spec is wrong.
    pub fn from_weights(spec: &Spec, weights: &husky::Weights) -> Result<Self> {
        let steps = spec.steps().map_err(candle_core::Error::wrap)?;
        let mut tensors = Tensors::new();
        for (p, names) in layers(&steps) {
            let vector = |values: &[f32]| Tensor::from_slice(values, values.len(), &Device::Cpu);
            tensors.insert(p.weight_name(), vector(weights.get(&p.weight_name()))?.reshape(&p.shape[..])?);
            let bias = vector(weights.get(&p.bias_name()))?;
            match names {
                Names::Bias(name) => {
                    tensors.insert(name, bias);
                }
                Names::BatchNorm { gamma, beta, mean, variance } => {
                    let unit = (bias.ones_like()? - BatchNorm::EPSILON)?;
                    tensors.extend([
                        (gamma, bias.ones_like()?),
                        (mean, bias.zeros_like()?),
                        (variance, unit),
                        (beta, bias),
                    ]);
                }
            }
        }
        Self::new(spec, tensors, Frozen { layers: 0, statistics: true })
    }

    /// Name and values of each parameter, in name order.
    pub fn parameters(&self) -> &BTreeMap<String, Var> {
        &self.parameters
    }

    /// Name and values of what has no gradient: the moving mean and variance before each batch norm, and all of a frozen
    /// layer.
    pub fn buffers(&self) -> &BTreeMap<String, Var> {
        &self.buffers
    }

    /// Weight and bias of the last layer that has any.
    pub fn last_layer(&self) -> Option<[&Var; 2]> {
        let last = self.steps[self.last()].parameters().pop()?;
        Some([self.parameters.get(&last.weight_name())?, self.parameters.get(&last.bias_name())?])
    }

    /// The place of each parameter's layer among those with weights, from 0, in the order of [`Network::parameters`].
    pub fn depths(&self) -> Vec<usize> {
        let layers: Vec<&str> = self.steps.iter().flat_map(Step::parameters).map(|p| &p.layer[..]).collect();
        let layer =
            |name: &str| layers.iter().position(|layer| name.strip_prefix(layer).is_some_and(|n| n.starts_with('.')));
        self.parameters.keys().map(|name| layer(name).unwrap_or_default()).collect()
    }

    /// A copy that goes its own way.
    ///
    /// # Errors
    /// candle's.
    pub fn twin(&self) -> Result<Self> {
        let copy = |vars: &BTreeMap<String, Var>| {
            vars.iter().map(|(name, var)| Ok((name.clone(), Var::from_tensor(&var.copy()?)?))).collect::<Result<_>>()
        };
        let (steps, frozen) = (self.steps.clone(), self.frozen);
        Ok(Self { steps, frozen, parameters: copy(&self.parameters)?, buffers: copy(&self.buffers)? })
    }

    /// Moves each value a part of the way, `1 - kept`, towards that of `other`, a network of the same spec.
    ///
    /// # Errors
    /// The other has another spec.
    pub fn follow(&self, other: &Self, kept: f64) -> Result<()> {
        for (own, others) in [(&self.parameters, &other.parameters), (&self.buffers, &other.buffers)] {
            for (var, other) in own.values().zip(others.values()) {
                let moved = (var.as_detached_tensor().affine(kept, 0.0)?
                    + other.as_detached_tensor().affine(1.0 - kept, 0.0)?)?;
                var.set(&moved)?;
            }
        }
        Ok(())
    }

    /// Logits `[batch, outputs]` of `input` `[batch, size, size, 3]`.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        self.run(&self.steps, input.clone(), &mut Pass::new(None))
    }

    /// What the last layer is fed for `input` `[batch, size, size, 3]`: `[batch, features]`.
    pub fn features(&self, input: &Tensor) -> Result<Tensor> {
        self.run(&self.steps[..self.last()], input.clone(), &mut Pass::new(None))
    }

    /// The logits `[batch, labels]`, of two labels one, that come of the last layer's outputs.
    pub fn logits(&self, outputs: &Tensor) -> Result<Tensor> {
        match self.steps.get(self.last() + 1).map(|step| &step.op) {
            Some(Op::LogSumExp { groups }) => outputs.apply_op1(LogSumExp { groups: groups.clone() }),
            _ => Ok(outputs.clone()),
        }
    }

    /// The place of the last step with weights: the last one, or that before the one that takes kinds together.
    fn last(&self) -> usize {
        self.steps.iter().rposition(|step| !step.parameters().is_empty()).unwrap_or_default()
    }

    /// The training pass over a batch, there and back: with dropout, normed by the batch, whose statistics move the
    /// network's. `loss` is of the last layer's outputs. An input that is a [`Var`] gets its gradient, too.
    pub fn gradients(
        &self,
        input: &Tensor,
        loss: impl FnOnce(&Tensor) -> Result<Tensor>,
        dropout: DropoutKey,
    ) -> Result<Gradients> {
        let mut pass = Pass::new(Some(dropout));
        let outputs = self.run(&self.steps[..=self.last()], input.clone(), &mut pass)?;
        // candle's own tape is for the loss alone.
        let leaf = Var::from_tensor(&outputs)?;
        let loss = loss(&leaf)?;
        let mut gradients = loss.backward()?;
        let Some(gradient) = gradients.remove(&leaf) else { bail!("the loss has no gradient") };
        gradients.insert(&outputs, gradient);
        while let Some(node) = pass.tape.pop() {
            for (tensor, gradient) in node.backward(&mut gradients)? {
                let Some(gradient) = gradient else { continue };
                let sum = match gradients.remove(&tensor) {
                    Some(other) => (other + gradient)?,
                    None => gradient,
                };
                gradients.insert(&tensor, sum);
            }
        }
        Ok(Gradients { outputs, loss, gradients })
    }

    fn run(&self, steps: &[Step], mut x: Tensor, pass: &mut Pass) -> Result<Tensor> {
        let mut steps = steps.iter().peekable();
        while let Some(step) = steps.next() {
            x = match &step.op {
                Op::Conv2d { parameters, window, activation, pool } => match Names::of(parameters, self.is_normed()) {
                    Names::Bias(bias) => {
                        // A dropout that follows is fused: it costs a pass over the memory less each way.
                        let dropout = match steps.next_if(|next| matches!(next.op, Op::Dropout { .. })) {
                            Some(Step { op: Op::Dropout { rate }, .. }) => pass.dropout(*rate),
                            _ => None,
                        };
                        let (weight, bias) = (self.tensor(&parameters.weight_name()), self.tensor(&bias));
                        pass.three(Conv2d::new(*window, *activation, *pool, dropout), x, weight, bias)?
                    }
                    Names::BatchNorm { .. } if *pool => bail!("a max pool after batch norm can't be trained"),
                    names @ Names::BatchNorm { .. } => {
                        let weight = self.tensor(&parameters.weight_name());
                        let sums = if let Window { kernel: 1, stride: 1, .. } = window {
                            pass.two(Pointwise, x, weight)?
                        } else {
                            let bias = Tensor::zeros(parameters.bias_len(), x.dtype(), &Device::Cpu)?;
                            pass.three(Conv2d::new(*window, Activation::Linear, false, None), x, weight, bias)?
                        };
                        self.norm(sums, &names, *activation, pass)?
                    }
                },
                Op::DepthwiseConv2d { parameters, window, activation } => {
                    let sums = pass.two(DepthwiseConv2d(*window), x, self.tensor(&parameters.weight_name()))?;
                    self.norm(sums, &Names::of(parameters, true), *activation, pass)?
                }
                Op::Residual { steps } => {
                    let y = self.run(steps, x.clone(), pass)?;
                    pass.add(x, y)?
                }
                Op::GlobalAveragePool2d => pass.one(GlobalAveragePool2d, x)?,
                Op::Dense { parameters, activation } => {
                    let weight = self.tensor(&parameters.weight_name());
                    pass.three(Dense::new(*activation), x, weight, self.tensor(&parameters.bias_name()))?
                }
                Op::LogSumExp { groups } => pass.one(LogSumExp { groups: groups.clone() }, x)?,
                Op::Flatten => pass.flatten(x)?,
                Op::Dropout { rate } => match pass.dropout(*rate) {
                    None => x,
                    Some(op) => pass.one(op, x)?,
                },
            };
        }
        Ok(x)
    }

    /// Batch norm and activation; in training the moving statistics follow the batch's.
    fn norm(&self, sums: Tensor, names: &Names, activation: Activation, pass: &mut Pass) -> Result<Tensor> {
        let Names::BatchNorm { gamma, beta, mean, variance } = names else { bail!("the layer has no batch norm") };
        let (gamma, beta) = (self.tensor(gamma), self.tensor(beta));
        let moving = [mean, variance].map(|name| &self.buffers[name]);
        let values = |var: &Var| var.to_dtype(DType::F64)?.to_vec1();
        let old = Statistics { mean: values(moving[0])?, variance: values(moving[1])? };
        if !pass.is_training() || self.frozen.statistics || !gamma.track_op() {
            return pass.three(BatchNorm::by(activation, old), sums, gamma, beta);
        }
        let (op, statistics) = BatchNorm::of_batch(activation);
        let y = pass.three(op, sums, gamma, beta)?;
        let Some(Statistics { mean, variance }) = statistics.get() else { bail!("batch norm found no statistics") };
        for ((var, old), new) in moving.into_iter().zip([old.mean, old.variance]).zip([mean, variance]) {
            let moved =
                old.iter().zip(new).map(|(old, new)| MOMENTUM * old + (1.0 - MOMENTUM) * new).collect::<Vec<f64>>();
            var.set(&Tensor::from_vec(moved, new.len(), &Device::Cpu)?.to_dtype(var.dtype())?)?;
        }
        Ok(y)
    }

    fn is_normed(&self) -> bool {
        is_normed(&self.steps)
    }

    /// A buffer is no place for a gradient.
    fn tensor(&self, name: &str) -> Tensor {
        match self.parameters.get(name) {
            Some(parameter) => parameter.as_tensor().clone(),
            None => self.buffers[name].as_detached_tensor(),
        }
    }

    /// Weights and biases as the model file takes them, batch norm folded into them.
    pub fn weights(&self, spec: &Spec) -> anyhow::Result<husky::Weights> {
        let values = |name: &str| self.tensor(name).flatten_all()?.to_vec1::<f32>();
        let mut tensors = BTreeMap::new();
        for (p, names) in layers(&self.steps) {
            let mut weight = values(&p.weight_name())?;
            let bias = match names {
                Names::Bias(bias) => values(&bias)?,
                Names::BatchNorm { gamma, beta, mean, variance } => {
                    let (gamma, beta) = (values(&gamma)?, values(&beta)?);
                    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
                    let statistics = Statistics { mean: wide(values(&mean)?), variance: wide(values(&variance)?) };
                    let factors: Vec<f64> = statistics
                        .inverse_deviations()
                        .zip(gamma)
                        .map(|(inverse, gamma)| inverse * f64::from(gamma))
                        .collect();
                    for weight in weight.chunks_mut(factors.len()) {
                        weight.iter_mut().zip(&factors).for_each(|(w, factor)| *w = (f64::from(*w) * factor) as f32);
                    }
                    let offsets = statistics.mean.iter().zip(&factors).map(|(mean, factor)| mean * factor);
                    beta.iter().zip(offsets).map(|(&beta, offset)| (f64::from(beta) - offset) as f32).collect()
                }
            };
            tensors.insert(p.weight_name(), weight);
            tensors.insert(p.bias_name(), bias);
        }
        Ok(husky::Weights::new(spec, tensors)?)
    }
}

/// Uniform in `±sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010, Keras' default).
fn glorot_uniform(parameters: &Parameters, seed: u64, index: u64) -> Vec<f32> {
    let (window, fan_in, fan_out) = match parameters.shape[..] {
        // Depthwise: Keras counts all channels in, and one out.
        [height, width, channels] => (height * width, channels, 1),
        [ref window @ .., fan_in, fan_out] => (window.iter().product(), fan_in, fan_out),
        _ => unreachable!("weights have two dimensions at least"),
    };
    let limit = (6.0 / (window * (fan_in + fan_out)) as f32).sqrt();
    let mut rng = random::rng(seed, Stream::Initialization, 0, index);
    (0..parameters.shape.iter().product()).map(|_| rng.random_range(-limit..limit)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::presets::Preset;

    #[test]
    fn fresh_parameters_are_kerass() {
        let spec = Preset::Classic.spec(vec!["yes".into(), "no".into()], None);
        let values = |seed: u64, name: &str| -> Vec<f32> {
            Network::fresh(&spec, seed).unwrap()[name].flatten_all().unwrap().to_vec1().unwrap()
        };
        // Fans in and out of conv2d_2: 3 * 3 * 32 and 3 * 3 * 64. Uniform in +-limit has a variance of limit^2 / 3.
        let weights = values(1, "conv2d_2.weight");
        let limit = (6.0 / (9.0 * (32.0 + 64.0)) as f32).sqrt();
        let largest = weights.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
        assert!(largest <= limit && largest > 0.99 * limit, "{largest} and {limit}");
        let variance = weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32;
        assert!((variance / (limit * limit / 3.0) - 1.0).abs() < 0.05, "{variance}");
        assert!(values(1, "conv2d_2.bias").iter().all(|&b| b == 0.0));
        assert!(weights == values(1, "conv2d_2.weight") && weights != values(2, "conv2d_2.weight"));
    }
}
