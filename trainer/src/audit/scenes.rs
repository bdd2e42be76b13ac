//! Photos of one scene on both sides of the split: other shots of the same dog in the same place, whose answer was learned with
//! the training photo.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::duplicates::dot;
use crate::scan::Photo;

/// The least correlation of the features of two photos of one scene. In the research set, which was split by scene, one
/// validation photo in seven has a training photo as similar, mostly the same breed in the same pose; of two parts of one
/// photo that share less than two thirds, two in three are (docs/audit.md).
const MIN_CORRELATION: f32 = 0.75;

/// Pairs of a training and a validation photo that a network sees as one scene, most similar first; for each validation photo
/// the most similar training photo. Those in `known`, which are one shot, are left out.
pub fn leaks(photos: &[Photo], known: &[[usize; 2]]) -> Vec<[usize; 2]> {
    let known: BTreeSet<[usize; 2]> = known.iter().flat_map(|&[a, b]| [[a, b], [b, a]]).collect();
    let features = normalized(photos);
    let (validation, training): (Vec<usize>, Vec<usize>) =
        (0..photos.len()).partition(|&photo| photos[photo].in_validation);
    let most_similar = |&judged: &usize| {
        let similarity = |&taught: &usize| (taught, dot(&features[judged], &features[taught]));
        let others = training.iter().filter(|&&taught| !known.contains(&[taught, judged])).map(similarity);
        let (taught, similarity) = others.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        (similarity >= MIN_CORRELATION).then_some((similarity, [taught, judged]))
    };
    let mut pairs: Vec<(f32, [usize; 2])> = validation.par_iter().filter_map(most_similar).collect();
    pairs.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    pairs.into_iter().map(|(_, pair)| pair).collect()
}

/// The features without their means over all photos, each photo's of length 1: what all photos have in common makes none alike.
fn normalized(photos: &[Photo]) -> Vec<Vec<f32>> {
    let mut means = vec![0.0; photos[0].features.len()];
    for photo in photos {
        means.iter_mut().zip(&photo.features).for_each(|(mean, value)| *mean += value / photos.len() as f32);
    }
    let normalize = |photo: &Photo| {
        let mut values: Vec<f32> = photo.features.iter().zip(&means).map(|(value, mean)| value - mean).collect();
        let length = dot(&values, &values).sqrt().max(f32::MIN_POSITIVE);
        values.iter_mut().for_each(|value| *value /= length);
        values
    };
    photos.par_iter().map(normalize).collect()
}
