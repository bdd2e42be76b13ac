use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::simd::Real;
use super::{dispatch, dtype, keyed, tensor, values, with_values};

/// Dropout: each value is zero with probability `rate`, else divided by `1 - rate`, so that the mean stays.
///
/// What is dropped depends on the key alone, not on the batch or the thread a sample lands in.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    rate: f64,
    key: [u64; 4],
}

impl Dropout {
    /// The operation; `rate` is in `0..1`. `key` is that of the batch's first sample: the last number counts the samples.
    pub fn new(rate: f32, key: [u64; 4]) -> Self {
        Self { rate: rate.into(), key }
    }

    /// What the kept values are multiplied with.
    pub(super) fn scale(&self) -> f64 {
        1.0 / (1.0 - self.rate)
    }

    /// The factors of sample `index` of the batch, first value first.
    pub(super) fn factors(&self, index: usize) -> Factors {
        let [run, layer, epoch, first] = self.key;
        let rng = keyed([run, layer, epoch, first + index as u64]);
        // 16 random bits a value: the rate is met to 1 in 65,536.
        Factors { rng, dropped: (self.rate * 65_536.0).round() as u32, scale: self.scale() }
    }
}

/// Draws what the values of one sample are multiplied with: 0 or the scale.
pub(super) struct Factors {
    rng: ChaCha8Rng,
    dropped: u32,
    scale: f64,
}

impl Factors {
    /// The factors of the next values.
    pub(super) fn fill<T: Real>(&mut self, factors: &mut [T]) {
        let (zero, scale) = (T::zero(), T::from_f64(self.scale));
        let mut bits = [0_u8; 512];
        for factors in factors.chunks_mut(bits.len() / 2) {
            self.rng.fill_bytes(&mut bits);
            for (factor, bits) in factors.iter_mut().zip(bits.as_chunks().0) {
                *factor = if u32::from(u16::from_le_bytes(*bits)) >= self.dropped { scale } else { zero };
            }
        }
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let storage = dispatch!(dtype(x), forward(self, x, layout))?;
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        dispatch!(gradient.dtype(), backward(self, gradient)).map(Some)
    }
}

fn forward<T: Real>(op: &Dropout, x: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    Ok(T::to_cpu_storage_owned(multiply(op, values::<T>(x, layout)?, layout.dims())?))
}

fn backward<T: Real>(op: &Dropout, gradient: &Tensor) -> Result<Tensor> {
    with_values([&gradient.contiguous()?], |[values]: [&[T]; 1]| {
        tensor(multiply(op, values, gradient.dims())?, gradient.dims())
    })
}

/// Each value times its factor, forward and backward alike.
fn multiply<T: Real>(op: &Dropout, values: &[T], shape: &[usize]) -> Result<Vec<T>> {
    let Some(&samples) = shape.first() else { bail!("dropout wants a batch") };
    let len = (values.len() / samples.max(1)).max(1);
    let mut products = vec![T::zero(); values.len()];
    products.par_chunks_mut(len).zip(values.par_chunks(len)).enumerate().for_each(|(i, (products, values))| {
        op.factors(i).fill(products);
        products.iter_mut().zip(values).for_each(|(product, &value)| *product *= value);
    });
    Ok(products)
}
