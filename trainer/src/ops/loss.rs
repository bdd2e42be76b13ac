use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};

use super::{dispatch, dtype, tensor, values, with_values};

/// Mean cross-entropy of a batch, from logits.
///
/// Logits `[batch, 1]` are binary: the logit speaks for label 0, and the loss is `max(z, 0) - z t + ln(1 + exp(-|z|))` with
/// `t = 1` for label 0, which neither overflows nor loses its digits. Logits `[batch, n]` are categorical: the loss is
/// `ln(sum(exp(z))) - z[label]`, computed around the largest logit.
pub struct CrossEntropy {
    labels: Vec<usize>,
}

impl CrossEntropy {
    /// The loss against the true labels, one a sample.
    pub fn new(labels: Vec<usize>) -> Self {
        Self { labels }
    }

    /// The batch's loss and, sample by sample, its derivative by the logits.
    fn evaluate<T: WithDType>(&self, logits: &[T], outputs: usize) -> (f64, Vec<f64>) {
        let count = self.labels.len() as f64;
        let mut loss = 0.0;
        let mut gradient = Vec::with_capacity(logits.len());
        for (logits, &label) in logits.chunks(outputs).zip(&self.labels) {
            if let [logit] = logits {
                let z = logit.to_f64();
                let target = if label == 0 { 1.0 } else { 0.0 };
                loss += z.max(0.0) - z * target + (-z.abs()).exp().ln_1p();
                // Not through max(), which would hide a NaN.
                loss = if z.is_nan() { z } else { loss };
                gradient.push((1.0 / (1.0 + (-z).exp()) - target) / count);
            } else {
                let largest = logits.iter().map(|z| z.to_f64()).fold(f64::NEG_INFINITY, f64::max);
                let exponentials: Vec<f64> = logits.iter().map(|z| (z.to_f64() - largest).exp()).collect();
                let sum: f64 = exponentials.iter().sum();
                loss += sum.ln() + largest - logits[label].to_f64();
                let share = |(i, e): (usize, f64)| (e / sum - f64::from(u8::from(i == label))) / count;
                gradient.extend(exponentials.into_iter().enumerate().map(share));
            }
        }
        (loss / count, gradient)
    }

    fn check(&self, logits: &[usize]) -> Result<usize> {
        match logits {
            &[batch, outputs] if batch == self.labels.len() && batch * outputs > 0 => {
                match self.labels.iter().find(|&&label| label >= outputs.max(2)) {
                    Some(label) => bail!("label {label} has no logit in {logits:?}"),
                    None => Ok(outputs),
                }
            }
            _ => bail!("cross-entropy wants a row of logits for each of {} labels, not {logits:?}", self.labels.len()),
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
