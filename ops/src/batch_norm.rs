use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use fearless_simd::{Level, dispatch as vectorize, prelude::*};
use husky::spec::Activation;
use rayon::prelude::*;

use super::simd::{Real, load, splat, store};
use super::{dispatch, dtype, limits, tensor, values, with_values};

/// Values that one task sums up, about; they stay in its cache. Fixed, so that the order of the sums is.
const CHUNK: usize = 1 << 16;

/// Batch norm and the activation: `x [.., channels]` becomes `gamma (x - mean) / sqrt(variance + EPSILON) + beta`, each of
/// these `[channels]` (Ioffe and Szegedy 2015).
pub struct BatchNorm {
    activation: Activation,
    /// Those given, or the batch's own.
    statistics: Arc<OnceLock<Statistics>>,
    given: bool,
}

/// Mean and variance of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The means.
    pub mean: Vec<f64>,
    /// The variances, over all values (not one less).
    pub variance: Vec<f64>,
}

impl BatchNorm {
    /// Keeps the variance away from zero; Keras' default, and EfficientNet's.
    pub const EPSILON: f64 = 1e-3;

    /// Norms by the batch's own statistics, which are found in what is returned beside it once it was applied. It serves
    /// one call.
    pub fn of_batch(activation: Activation) -> (Self, Arc<OnceLock<Statistics>>) {
        let statistics = Arc::default();
        (Self { activation, statistics: Arc::clone(&statistics), given: false }, statistics)
    }

    /// Norms by the given statistics, which on the way back are constants.
    pub fn by(activation: Activation, statistics: Statistics) -> Self {
        Self { activation, statistics: Arc::new(OnceLock::from(statistics)), given: true }
    }
}

impl Statistics {
    /// `1 / sqrt(variance + EPSILON)` of each channel.
    pub fn inverse_deviations(&self) -> impl Iterator<Item = f64> {
        self.variance.iter().map(|variance| 1.0 / (variance + BatchNorm::EPSILON).sqrt())
    }

    /// Of `values`, `[.., channels]`.
    fn new<T: Real>(values: &[T], channels: usize) -> Self {
        let partial: Vec<(Vec<T>, Vec<T>)> = values
            .par_chunks(pixels(channels) * channels)
            .map(|values| vectorize!(Level::new(), simd => moments(simd, values, channels)))
            .collect();
        // Chunks are put together by Chan's formula: squares around each chunk's own mean don't cancel out.
        let (mut count, mut mean, mut squares) = (0.0, vec![0.0; channels], vec![0.0; channels]);
        for (i, (chunk_mean, chunk_squares)) in partial.iter().enumerate() {
            let more = pixels(channels).min(values.len() / channels - i * pixels(channels)) as f64;
            let total = count + more;
            for c in 0..channels {
                let delta = chunk_mean[c].to_f64() - mean[c];
                mean[c] += delta * more / total;
                squares[c] += chunk_squares[c].to_f64() + delta * delta * count * more / total;
            }
            count = total;
        }
        Self { mean, variance: squares.into_iter().map(|squares| squares / count).collect() }
    }
}

/// Pixels in a chunk.
fn pixels(channels: usize) -> usize {
    (CHUNK / channels).max(1)
}

/// The mean of each channel, and the sum of the squares around it.
#[inline(always)]
fn moments<S: Simd, T: Real>(simd: S, values: &[T], channels: usize) -> (Vec<T>, Vec<T>) {
    let (mut means, mut squares) = (vec![T::zero(); channels], vec![T::zero(); channels]);
    let count = T::from_f64((values.len() / channels) as f64);
    for start in (0..channels).step_by(T::Native::<S>::LEN) {
        let end = channels.min(start + T::Native::<S>::LEN);
        let mut sum = splat(simd, T::zero());
        for values in values.chunks_exact(channels) {
            sum += load::<S, T>(simd, &values[start..end]);
        }
        let mean = sum / count;
        let mut square = splat(simd, T::zero());
        for values in values.chunks_exact(channels) {
            let delta = load::<S, T>(simd, &values[start..end]) - mean;
            square = delta.mul_add(delta, square);
        }
        store::<S, T>(mean, &mut means[start..end]);
        store::<S, T>(square, &mut squares[start..end]);
    }
    (means, squares)
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
        beta: &CpuStorage,
        beta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gamma, beta) = ((gamma, gamma_layout), (beta, beta_layout));
        let storage = dispatch!(dtype(x), forward(self, (x, layout), gamma, beta))?;
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(statistics) = self.statistics.get() else { bail!("batch norm's backward comes after its forward") };
        let gradient = gradient.contiguous()?;
        let tensors = [x, gamma, beta, &gradient];
        let [dx, dgamma, dbeta] = dispatch!(x.dtype(), backward(self, statistics, tensors))?;
        Ok((Some(dx), Some(dgamma), Some(dbeta)))
    }
}

/// For each channel the factor and what is added to it: `y = factor x + offset`.
fn affine<T: Real>(statistics: &Statistics, gamma: &[T], beta: &[T]) -> (Vec<T>, Vec<T>) {
    let factors: Vec<f64> =
        statistics.inverse_deviations().zip(gamma).map(|(inverse, gamma)| inverse * gamma.to_f64()).collect();
    let offsets =
        beta.iter().zip(&statistics.mean).zip(&factors).map(|((beta, mean), factor)| beta.to_f64() - mean * factor);
    (factors.iter().copied().map(T::from_f64).collect(), offsets.map(T::from_f64).collect())
}

fn forward<T: Real>(
    op: &BatchNorm,
    x: (&CpuStorage, &Layout),
    gamma: (&CpuStorage, &Layout),
    beta: (&CpuStorage, &Layout),
) -> Result<CpuStorage> {
    let shape = x.1.dims();
    let (x, gamma, beta) = (values::<T>(x.0, x.1)?, values::<T>(gamma.0, gamma.1)?, values::<T>(beta.0, beta.1)?);
    let channels = gamma.len();
    if x.is_empty() || shape.last() != Some(&channels) || beta.len() != channels {
        bail!("batch norm cannot combine {shape:?}, [{channels}] and [{}]", beta.len())
    }
    if !op.given && op.statistics.set(Statistics::new(x, channels)).is_err() {
        bail!("a BatchNorm of a batch serves one call")
    }
    let Some(statistics) = op.statistics.get() else { bail!("batch norm has no statistics") };
    if statistics.mean.len() != channels || statistics.variance.len() != channels {
        bail!("batch norm has statistics of {} channels for {channels}", statistics.mean.len())
    }
    let (factors, offsets) = affine(statistics, gamma, beta);
    let mut y = vec![T::zero(); x.len()];
    let len = pixels(channels) * channels;
    y.par_chunks_mut(len)
        .zip(x.par_chunks(len))
        .for_each(|(y, x)| vectorize!(Level::new(), simd => normalize(simd, op.activation, x, &factors, &offsets, y)));
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn normalize<S: Simd, T: Real>(simd: S, activation: Activation, x: &[T], factors: &[T], offsets: &[T], y: &mut [T]) {
    let [low, high] = limits::<T>(activation);
    let (low, high, channels) = (splat(simd, low), splat(simd, high), factors.len());
    for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
        for start in (0..channels).step_by(T::Native::<S>::LEN) {
            let end = channels.min(start + T::Native::<S>::LEN);
            let factor = load::<S, T>(simd, &factors[start..end]);
            let value = load::<S, T>(simd, &x[start..end]).mul_add(factor, load::<S, T>(simd, &offsets[start..end]));
            // So written, NaN stays NaN.
            let value = value.simd_lt(low).select(low, value);
            store::<S, T>(value.simd_gt(high).select(high, value), &mut y[start..end]);
        }
    }
}

fn backward<T: Real>(op: &BatchNorm, statistics: &Statistics, tensors: [&Tensor; 4]) -> Result<[Tensor; 3]> {
    let ([x, gamma, ..], activation) = (tensors, op.activation);
    with_values(tensors, |[x_values, gamma_values, beta, dy]: [&[T]; 4]| {
        let channels = gamma_values.len();
        let len = pixels(channels) * channels;
        let (factors, offsets) = affine(statistics, gamma_values, beta);
        let partial: Vec<(Vec<T>, Vec<T>)> = x_values
            .par_chunks(len)
            .zip(dy.par_chunks(len))
            .map(|(x, dy)| {
                let means: Vec<T> = statistics.mean.iter().copied().map(T::from_f64).collect();
                vectorize!(Level::new(), simd => gradient_sums(simd, activation, x, dy, &factors, &offsets, &means))
            })
            .collect();
        // The sums, over a channel's values, of dy and of dy (x - mean).
        let (mut sums, mut products) = (vec![0.0; channels], vec![0.0; channels]);
        for (chunk_sums, chunk_products) in &partial {
            for c in 0..channels {
                sums[c] += chunk_sums[c].to_f64();
                products[c] += chunk_products[c].to_f64();
            }
        }
        // dx = factor (dy - mean(dy) - (x - mean) mean(dy (x - mean)) / (variance + epsilon)), as factor dy + slope x + shift;
        // of constant statistics only the first summand is left.
        let count = (x_values.len() / channels) as f64;
        let inverse: Vec<f64> = statistics.inverse_deviations().collect();
        let moving = if op.given { 0.0 } else { 1.0 / count };
        let slope = |c: usize| -factors[c].to_f64() * inverse[c] * inverse[c] * products[c] * moving;
        let shift = |c: usize| -factors[c].to_f64() * sums[c] * moving - slope(c) * statistics.mean[c];
        let slopes: Vec<T> = (0..channels).map(|c| T::from_f64(slope(c))).collect();
        let shifts: Vec<T> = (0..channels).map(|c| T::from_f64(shift(c))).collect();
        let mut dx = vec![T::zero(); x_values.len()];
        dx.par_chunks_mut(len).zip(x_values.par_chunks(len).zip(dy.par_chunks(len))).for_each(|(dx, (x, dy))| {
            let lines = [&factors[..], &offsets, &slopes, &shifts];
            vectorize!(Level::new(), simd => input_gradient(simd, activation, x, dy, lines, dx));
        });
        let dgamma = products.iter().zip(&inverse).map(|(product, inverse)| T::from_f64(product * inverse)).collect();
        let dbeta = sums.into_iter().map(T::from_f64).collect();
        Ok([tensor(dx, x.dims())?, tensor(dgamma, gamma.dims())?, tensor(dbeta, gamma.dims())?])
    })
}

/// The sums of `dy` and of `dy (x - mean)` of each channel, where the activation lets the gradient through.
#[inline(always)]
fn gradient_sums<S: Simd, T: Real>(
    simd: S,
    activation: Activation,
    x: &[T],
    dy: &[T],
    factors: &[T],
    offsets: &[T],
    means: &[T],
) -> (Vec<T>, Vec<T>) {
    let [low, high] = limits::<T>(activation);
    let (low, high, zero) = (splat(simd, low), splat(simd, high), splat(simd, T::zero()));
    let channels = factors.len();
    let (mut sums, mut products) = (vec![T::zero(); channels], vec![T::zero(); channels]);
    for start in (0..channels).step_by(T::Native::<S>::LEN) {
        let end = channels.min(start + T::Native::<S>::LEN);
        let factor: T::Native<S> = load(simd, &factors[start..end]);
        let offset: T::Native<S> = load(simd, &offsets[start..end]);
        let mean: T::Native<S> = load(simd, &means[start..end]);
        let (mut sum, mut product) = (zero, zero);
        for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
            let x = load::<S, T>(simd, &x[start..end]);
            let value = x.mul_add(factor, offset);
            let passes = value.simd_gt(low) & value.simd_lt(high);
            let dy = passes.select(load::<S, T>(simd, &dy[start..end]), zero);
            sum += dy;
            product = dy.mul_add(x - mean, product);
        }
        store::<S, T>(sum, &mut sums[start..end]);
        store::<S, T>(product, &mut products[start..end]);
    }
    (sums, products)
}

/// `dx = factor dy + slope x + shift`, where the activation lets `dy` through.
#[inline(always)]
fn input_gradient<S: Simd, T: Real>(
    simd: S,
    activation: Activation,
    x: &[T],
    dy: &[T],
    [factors, offsets, slopes, shifts]: [&[T]; 4],
    dx: &mut [T],
) {
    let [low, high] = limits::<T>(activation);
    let (low, high, zero) = (splat(simd, low), splat(simd, high), splat(simd, T::zero()));
    let channels = factors.len();
    let pixels = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
    for (dx, (x, dy)) in dx.chunks_exact_mut(channels).zip(pixels) {
        for start in (0..channels).step_by(T::Native::<S>::LEN) {
            let end = channels.min(start + T::Native::<S>::LEN);
            let factor: T::Native<S> = load(simd, &factors[start..end]);
            let x = load::<S, T>(simd, &x[start..end]);
            let value = x.mul_add(factor, load::<S, T>(simd, &offsets[start..end]));
            let passes = value.simd_gt(low) & value.simd_lt(high);
            let dy = passes.select(load::<S, T>(simd, &dy[start..end]), zero);
            let rest = x.mul_add(load::<S, T>(simd, &slopes[start..end]), load::<S, T>(simd, &shifts[start..end]));
            store::<S, T>(dy.mul_add(factor, rest), &mut dx[start..end]);
        }
    }
}
