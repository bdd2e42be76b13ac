//! A validation part is split off.

use std::path::Path;

use anyhow::{Context, Result, bail};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::{
    Options,
    near_duplicates::{Hash, MAX_DISTANCE, hash_file},
    read::Decoded,
};
use crate::{
    progress::Progress,
    random::{Stream, rng},
};

/// Splits off about `validation_fraction` of each label's photos, at random by the seed. Near-duplicates (the same shot
/// in another size or format, a burst) stay on one side, or validation would reward learning by heart. What the network
/// wants to see decides nothing: a model that learns from another, at another size, has the same validation photos.
///
/// # Errors
/// Where a label has too few different photos to give some to both parts.
pub(super) fn split(
    photos: Vec<Decoded>,
    labels: &[String],
    folder: &Path,
    options: &Options,
) -> Result<[Vec<Decoded>; 2]> {
    let fraction = options.validation_fraction;
    if !(fraction > 0.0 && fraction < 1.0) {
        bail!("the validation fraction is {fraction}, and it must lie between 0 and 1");
    }
    let mut groups = groups(&hashes(&photos, folder)?);
    groups.shuffle(&mut rng(options.seed, Stream::Split, 0, 0));

    let count = |group: &[usize], label| group.iter().filter(|&&photo| photos[photo].label == label).count();
    let everything: Vec<usize> = (0..photos.len()).collect();
    let totals: Vec<usize> = (0..labels.len()).map(|label| count(&everything, label)).collect();
    let wanted: Vec<usize> = totals.iter().map(|&total| ((total as f64 * fraction).round() as usize).max(1)).collect();
    let mut taken = vec![0; labels.len()];
    let mut in_validation = vec![false; photos.len()];
    for group in groups {
        let with: Vec<usize> = taken.iter().enumerate().map(|(label, n)| n + count(&group, label)).collect();
        if with.iter().zip(&wanted).all(|(with, wanted)| with <= wanted) {
            taken = with;
            group.iter().for_each(|&photo| in_validation[photo] = true);
        }
    }
    for (label, name) in labels.iter().enumerate() {
        if taken[label] == 0 || taken[label] == totals[label] {
            bail!(
                "{name:?} has {} photos, too few different ones to split some off for validation: add photos",
                totals[label]
            );
        }
    }
    let mut parts = [Vec::new(), Vec::new()];
    for (photo, in_validation) in photos.into_iter().zip(in_validation) {
        parts[usize::from(in_validation)].push(Decoded { in_validation, ..photo });
    }
    Ok(parts)
}

/// The photos' hashes, from their files: how much of one is decoded depends on the size that is asked for.
fn hashes(photos: &[Decoded], folder: &Path) -> Result<Vec<Hash>> {
    let progress = Progress::new("comparing photos", photos.len());
    let hash_of = |photo: &Decoded| {
        let hash = hash_file(&folder.join(&photo.path));
        progress.step();
        hash.with_context(|| format!("{} could be read and now can't be", photo.path))
    };
    photos.par_iter().map(hash_of).collect()
}

/// Photos that are near-duplicates of each other, directly or through others, in order of their first.
fn groups(hashes: &[Hash]) -> Vec<Vec<usize>> {
    let alike = |a: usize| {
        (0..a).into_par_iter().filter(move |&b| hashes[a].dist(&hashes[b]) <= MAX_DISTANCE).collect::<Vec<_>>()
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of = vec![0; hashes.len()];
    for photo in 0..hashes.len() {
        group_of[photo] = groups.len();
        groups.push(vec![photo]);
        for other in alike(photo) {
            let (keep, join) = (group_of[photo].min(group_of[other]), group_of[photo].max(group_of[other]));
            if keep != join {
                let joined = std::mem::take(&mut groups[join]);
                joined.iter().for_each(|&member| group_of[member] = keep);
                groups[keep].extend(joined);
            }
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}
