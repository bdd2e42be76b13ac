use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};
use rand::Rng;
use rayon::prelude::*;

use super::{dispatch, dtype, tensor, tensor_values, values};
use crate::random::{self, Stream};

/// Dropout: each value is zero with probability `rate`, else divided by `1 - rate`, so that the mean stays.
///
/// What is dropped depends on the keys alone, not on the batch or the thread a sample lands in. `samples` are the samples'
/// numbers within the epoch.
pub struct Dropout {
    /// Probability of a value to be dropped, in `0..1`.
    pub rate: f32,
    /// The run's seed.
    pub seed: u64,
    /// Which dropout layer of the network, from 0.
    pub layer: u8,
    /// The epoch.
    pub epoch: u64,
    /// Number, within the epoch, of the batch's first sample.
    pub first_sample: u64,
}

impl Dropout {
    /// `input` with the dropped values zero: forward and backward alike.
    fn apply<T: WithDType>(&self, input: &[T], samples: usize) -> Vec<T> {
        let mut output = vec![T::zero(); input.len()];
        let len = input.len() / samples.max(1);
        // 16 random bits a value: the rate is met to 1 in 65,536.
        let dropped = (f64::from(self.rate) * 65_536.0).round() as u32;
        let scale = T::from_f64(1.0 / (1.0 - f64::from(self.rate)));
        let images = output.par_chunks_mut(len.max(1)).zip(input.par_chunks(len.max(1))).enumerate();
        images.for_each(|(i, (output, input))| {
            let sample = self.first_sample + i as u64;
            let mut rng = random::rng(self.seed, Stream::Dropout(self.layer), self.epoch, sample);
            let mut bits = [0_u8; 512];
            for (output, input) in output.chunks_mut(256).zip(input.chunks(256)) {
                rng.fill_bytes(&mut bits);
                for ((output, &input), bits) in output.iter_mut().zip(input).zip(bits.as_chunks().0) {
                    let keep = u32::from(u16::from_le_bytes(*bits)) >= dropped;
                    *output = if keep { input * scale } else { T::zero() };
                }
            }
        });
        output
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some(&samples) = layout.dims().first() else { bail!("dropout wants a batch") };
        let storage = dispatch!(dtype(x), forward(self, x, layout, samples))?;
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        dispatch!(gradient.dtype(), backward(self, gradient)).map(Some)
    }
}

fn forward<T: WithDType>(op: &Dropout, x: &CpuStorage, layout: &Layout, samples: usize) -> Result<CpuStorage> {
    Ok(T::to_cpu_storage_owned(op.apply(values::<T>(x, layout)?, samples)))
}

fn backward<T: WithDType>(op: &Dropout, gradient: &Tensor) -> Result<Tensor> {
    let gradient = gradient.contiguous()?;
    let (storage, layout) = gradient.storage_and_layout();
    tensor(op.apply(tensor_values::<T>(&storage, layout)?, gradient.dims()[0]), gradient.dims())
}
