//! Attacks of someone who has the model file.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use husky_ops::{CrossEntropy, one_hot};
use rand::{Rng, RngExt};

use super::{Picture, Victim};
use crate::network::DropoutKey;

/// Steps of [`pgd`].
const STEPS: usize = 10;

/// Every value moved by `strength` the way that makes the answer less probable: x + strength sign(dL/dx).
pub fn fgsm(victim: &Victim, picture: &Picture, strength: f32) -> Result<Vec<u8>> {
    let label = victim.label(&picture.verdict);
    let values: Vec<f32> = picture.rgb.iter().copied().map(f32::from).collect();
    let gradient = gradient(victim, &values, label)?;
    Ok(values.iter().zip(gradient).map(|(x, slope)| (x + strength * sign(slope)).clamp(0.0, 255.0) as u8).collect())
}

/// [`STEPS`] steps of a quarter of `strength` from a random place, none further than `strength` from the photo; the first
/// place where the answer is another, or the last.
pub fn pgd(victim: &Victim, picture: &Picture, strength: f32, rng: &mut impl Rng) -> Result<Vec<u8>> {
    let label = victim.label(&picture.verdict);
    let original: Vec<f32> = picture.rgb.iter().copied().map(f32::from).collect();
    let near = |x: f32, original: f32| x.clamp(original - strength, original + strength).clamp(0.0, 255.0);
    let mut values: Vec<f32> = original.iter().map(|&x| near(x + rng.random_range(-strength..=strength), x)).collect();
    let mut rgb = Vec::new();
    for _ in 0..STEPS {
        let gradient = gradient(victim, &values, label)?;
        for ((x, slope), &original) in values.iter_mut().zip(gradient).zip(&original) {
            *x = near(*x + 2.5 * strength / STEPS as f32 * sign(slope), original);
        }
        rgb = values.iter().map(|x| x.round() as u8).collect::<Vec<u8>>();
        if victim.picture(rgb.clone())?.verdict.label != picture.verdict.label {
            break;
        }
    }
    Ok(rgb)
}

/// How the loss against `label` grows with each value, `[size, size, 3]` in `0.0..=255.0`.
fn gradient(victim: &Victim, values: &[f32], label: usize) -> Result<Vec<f32>> {
    let input = &victim.classifier.spec().input;
    let (size, (pixels, _)) = (input.size as usize, values.as_chunks::<3>());
    let normalized = pixels.iter().flat_map(|&pixel| input.normalize_pixel(pixel)).collect();
    let x = Var::from_vec(normalized, (1, size, size, 3), &Device::Cpu)?;
    let loss = |outputs: &Tensor| {
        victim.network.logits(outputs)?.apply_op1(CrossEntropy::new(one_hot(&[label], victim.labels().len())))
    };
    let nothing_is_dropped = DropoutKey { seed: 0, epoch: 0, first_sample: 0 };
    let gradients = victim.network.gradients(&x, loss, nothing_is_dropped)?.gradients;
    let slopes: Vec<f32> = gradients.get(&x).context("the input has no gradient")?.flatten_all()?.to_vec1()?;
    Ok(slopes.iter().zip(input.scale.iter().cycle()).map(|(slope, scale)| slope * scale).collect())
}

/// Unlike `f32::signum`, 0 for 0: what does not matter stays as it is.
fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}
