//! Labels that a network which never saw the photo would not have given it.

use anyhow::Result;
use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;

use crate::head;
use crate::metrics;
use crate::random::{Stream, rng};
use crate::scan::Photo;

/// Parts that the photos are cut into; each is judged by what the others taught.
const FOLDS: usize = 5;

/// The probability of each photo's own label, by a last layer that was fitted to the features of the photos of the other
/// folds. Photos of one of the `groups`, which are near-duplicates, are in one fold, or they would vouch for each other.
///
/// # Errors
/// candle's.
pub fn own_probabilities(photos: &[Photo], labels: usize, groups: &[usize]) -> Result<Vec<f32>> {
    let mut order: Vec<usize> = (0..photos.len()).collect();
    order.shuffle(&mut rng(1, Stream::Split, 0, 0));
    let mut fold_of = vec![0; photos.len()];
    for (i, group) in order.into_iter().enumerate() {
        fold_of[group] = i % FOLDS;
    }
    let fold = |photo: usize| fold_of[groups[photo]];
    let features = |of: &[usize]| {
        let width = photos[0].features.len();
        let values: Vec<f32> = of.iter().flat_map(|&photo| photos[photo].features.iter().copied()).collect();
        Tensor::from_vec(values, (of.len(), width), &Device::Cpu)
    };
    let mut own = vec![0.0; photos.len()];
    for left_out in 0..FOLDS {
        let (judged, taught): (Vec<usize>, Vec<usize>) = (0..photos.len()).partition(|&photo| fold(photo) == left_out);
        if judged.is_empty() || taught.is_empty() {
            continue;
        }
        let truth: Vec<usize> = taught.iter().map(|&photo| photos[photo].label).collect();
        let head::Layer { weight, bias, .. } = head::regression(&features(&taught)?, &truth, labels)?;
        let logits = features(&judged)?.matmul(&weight)?.broadcast_add(&bias)?.to_vec2()?;
        for (photo, probabilities) in judged.into_iter().zip(metrics::probabilities(&logits, 1.0)) {
            own[photo] = probabilities[photos[photo].label];
        }
    }
    Ok(own)
}
