use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};
use rand::Rng;
use rayon::prelude::*;

use super::{dispatch, dtype, tensor, values, with_values};
use crate::random::{self, Stream};

/// Values that one task scales.
const CHUNK: usize = 1 << 16;

/// Dropout: each value is zero with probability `rate`, else divided by `1 - rate`, so that the mean stays.
///
/// What is dropped depends on the keys alone, not on the batch or the thread a sample lands in.
///
/// One value is good for one call: it keeps what was dropped for the way back.
pub struct Dropout {
    rate: f64,
    layer: u8,
    key: DropoutKey,
    kept: OnceLock<Vec<bool>>,
}

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

impl Dropout {
    /// The operation for the network's dropout layer number `layer`; `rate` is in `0..1`.
    pub fn new(rate: f32, layer: u8, key: DropoutKey) -> Self {
        Self { rate: rate.into(), layer, key, kept: OnceLock::new() }
    }

    /// Draws which values of each sample are kept.
    fn draw(&self, kept: &mut [bool], samples: usize) {
        // 16 random bits a value: the rate is met to 1 in 65,536.
        let dropped = (self.rate * 65_536.0).round() as u32;
        let DropoutKey { seed, epoch, first_sample } = self.key;
        let len = kept.len() / samples.max(1);
        kept.par_chunks_mut(len.max(1)).enumerate().for_each(|(i, kept)| {
            let mut rng = random::rng(seed, Stream::Dropout(self.layer), epoch, first_sample + i as u64);
            let mut bits = [0_u8; 512];
            for kept in kept.chunks_mut(256) {
                rng.fill_bytes(&mut bits);
                for (kept, bits) in kept.iter_mut().zip(bits.as_chunks().0) {
                    *kept = u32::from(u16::from_le_bytes(*bits)) >= dropped;
                }
            }
        });
    }

    /// `input` with the dropped values zero and the others scaled: forward and backward alike.
    fn apply<T: WithDType>(&self, input: &[T], kept: &[bool]) -> Vec<T> {
        let mut output = vec![T::zero(); input.len()];
        let chunks = output.par_chunks_mut(CHUNK).zip(input.par_chunks(CHUNK)).zip(kept.par_chunks(CHUNK));
        chunks.for_each(|((output, input), kept)| {
            // Multiplied by 0 or the scale, not left out: so the compiler vectorises.
            let scale = T::from_f64(1.0 / (1.0 - self.rate));
            for ((output, &input), &kept) in output.iter_mut().zip(input).zip(kept) {
                *output = input * if kept { scale } else { T::zero() };
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
        let mut kept = vec![false; layout.shape().elem_count()];
        self.draw(&mut kept, samples);
        let storage = dispatch!(dtype(x), forward(self, x, layout, &kept))?;
        if self.kept.set(kept).is_err() {
            bail!("a Dropout serves one call")
        }
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let Some(kept) = self.kept.get() else { bail!("dropout's backward comes after its forward") };
        dispatch!(gradient.dtype(), backward(self, gradient, kept)).map(Some)
    }
}

fn forward<T: WithDType>(op: &Dropout, x: &CpuStorage, layout: &Layout, kept: &[bool]) -> Result<CpuStorage> {
    Ok(T::to_cpu_storage_owned(op.apply(values::<T>(x, layout)?, kept)))
}

fn backward<T: WithDType>(op: &Dropout, gradient: &Tensor, kept: &[bool]) -> Result<Tensor> {
    with_values([&gradient.contiguous()?], |[values]| tensor(op.apply::<T>(values, kept), gradient.dims()))
}
