use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};

use super::{dispatch, dtype, tensor, values, with_values};

/// Mean cross-entropy of a batch, from logits, against the probability `t` that each label should have.
///
/// Logits `[batch, 1]` are binary: the logit speaks for label 0, and the loss is `max(z, 0) - z t[0] + ln(1 + exp(-|z|))`,
/// which neither overflows nor loses its digits. Logits `[batch, n]` are categorical: the loss is
/// `ln(sum(exp(z))) - sum(z t)`, computed around the largest logit.
pub struct CrossEntropy {
    targets: Vec<Vec<f64>>,
    /// What is added to each logit; nothing adds nothing.
    offsets: Vec<f64>,
}

/// The targets of true labels: probability 1 for each, 0 for the others.
pub fn one_hot(labels: &[usize], count: usize) -> Vec<Vec<f64>> {
    labels.iter().map(|&label| (0..count).map(|i| f64::from(u8::from(i == label))).collect()).collect()
}

impl CrossEntropy {
    /// The loss against a row of targets for each sample: one probability for each label, which sum to 1.
    pub fn new(targets: Vec<Vec<f64>>) -> Self {
        Self { targets, offsets: Vec::new() }
    }

    /// The loss of logits to which `offsets` are added, one for each (Menon et al. 2021): so a network that is trained on
    /// labels in other shares than they have in the world still answers with the world's.
    #[must_use]
    pub fn with_offsets(self, offsets: Vec<f64>) -> Self {
        Self { offsets, ..self }
    }

    /// The batch's loss and, sample by sample, its derivative by the logits.
    fn evaluate<T: WithDType>(&self, logits: &[T], outputs: usize) -> (f64, Vec<f64>) {
        let count = self.targets.len() as f64;
        let mut loss = 0.0;
        let mut gradient = Vec::with_capacity(logits.len());
        for (logits, targets) in logits.chunks(outputs).zip(&self.targets) {
            let mut logits: Vec<f64> = logits.iter().map(|z| z.to_f64()).collect();
            logits.iter_mut().zip(&self.offsets).for_each(|(z, offset)| *z += offset);
            if let &[z] = &logits[..] {
                loss += z.max(0.0) - z * targets[0] + (-z.abs()).exp().ln_1p();
                // Not through max(), which would hide a NaN.
                loss = if z.is_nan() { z } else { loss };
                gradient.push((1.0 / (1.0 + (-z).exp()) - targets[0]) / count);
            } else {
                let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let exponentials: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
                let sum: f64 = exponentials.iter().sum();
                let agreement: f64 = logits.iter().zip(targets).map(|(z, t)| z * t).sum();
                loss += sum.ln() + largest - agreement;
                gradient.extend(exponentials.iter().zip(targets).map(|(e, t)| (e / sum - t) / count));
            }
        }
        (loss / count, gradient)
    }

    fn check(&self, logits: &[usize]) -> Result<usize> {
        match logits {
            &[batch, outputs] if batch == self.targets.len() && batch * outputs > 0 => {
                match self.targets.iter().find(|targets| targets.len() != outputs.max(2)) {
                    Some(targets) => bail!("targets of {} labels can't meet {logits:?}", targets.len()),
                    None => Ok(outputs),
                }
            }
            _ => {
                bail!("cross-entropy wants a row of logits for each of {} samples, not {logits:?}", self.targets.len())
            }
        }
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let outputs = self.check(layout.dims())?;
        let storage = dispatch!(dtype(logits), forward(self, logits, layout, outputs))?;
        Ok((storage, Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let outputs = self.check(logits.dims())?;
        dispatch!(logits.dtype(), backward(self, logits, gradient, outputs)).map(Some)
    }
}

fn forward<T: WithDType>(
    op: &CrossEntropy,
    logits: &CpuStorage,
    layout: &Layout,
    outputs: usize,
) -> Result<CpuStorage> {
    let (loss, _) = op.evaluate(values::<T>(logits, layout)?, outputs);
    Ok(T::to_cpu_storage_owned(vec![T::from_f64(loss)]))
}

fn backward<T: WithDType>(op: &CrossEntropy, logits: &Tensor, gradient: &Tensor, outputs: usize) -> Result<Tensor> {
    let upstream = gradient.to_scalar::<T>()?.to_f64();
    with_values([logits], |[values]: [&[T]; 1]| {
        let (_, gradient) = op.evaluate(values, outputs);
        tensor(gradient.into_iter().map(|g| T::from_f64(g * upstream)).collect(), logits.dims())
    })
}
