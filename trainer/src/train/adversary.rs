//! Adversarial training: photos are attacked before they are learnt from.

use candle_core::{Device, Result, Tensor, Var, bail};
use husky::spec::Input;
use rand::RngExt;
use rayon::prelude::*;

use crate::network::{DropoutKey, Network};
use crate::random::{Stream, rng};

/// A step is so many times as long as the way that is allowed; what is too long is cut off (Wong et al. 2020, "Fast is better
/// than free").
const STEP: f32 = 1.25;

/// The batch `[batch, size, size, 3]`, each photo changed the way that makes the loss larger: one step along the sign of the
/// gradient from a random place. No value moves by more than `strength` 255ths of the range of a pixel, or leaves it.
pub fn attacked(
    network: &Network,
    input: &Input,
    batch: &Tensor,
    strength: f32,
    loss: impl FnOnce(&Tensor) -> Result<Tensor>,
    key: DropoutKey,
) -> Result<Tensor> {
    let reach = input.scale.map(|scale| (strength * scale).abs());
    let ends = [[0.0; 3], [255.0; 3]].map(|pixel| input.normalize_pixel(pixel));
    let near = |x: f32, original: f32, c: usize| {
        // A negative scale turns the range round.
        let [low, high] = [ends[0][c].min(ends[1][c]), ends[0][c].max(ends[1][c])];
        x.clamp(original - reach[c], original + reach[c]).clamp(low, high)
    };
    let originals: Vec<f32> = batch.flatten_all()?.to_vec1()?;
    let photo = originals.len() / batch.dim(0)?;
    let mut values = originals.clone();
    values.par_chunks_exact_mut(photo).enumerate().for_each(|(i, values)| {
        let rng = &mut rng(key.seed, Stream::Attack, key.epoch, key.first_sample + i as u64);
        for (place, x) in values.iter_mut().enumerate() {
            *x = near(*x + reach[place % 3] * rng.random_range(-1.0..=1.0), *x, place % 3);
        }
    });
    let start = Var::from_slice(&values, batch.dims(), &Device::Cpu)?;
    let gradients = network.gradients(&start, loss, key)?.gradients;
    let Some(gradient) = gradients.get(&start) else { bail!("the photos have no gradient") };
    let slopes: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
    for (place, (x, slope)) in values.iter_mut().zip(slopes).enumerate() {
        *x = near(*x + STEP * reach[place % 3] * slope.signum(), originals[place], place % 3);
    }
    Tensor::from_vec(values, batch.dims(), &Device::Cpu)
}
