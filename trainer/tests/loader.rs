//! Batches: which photos, in which order, and what happens when nobody wants them any more.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::HashSet;

use husky::spec::{Input, Resize};
use tempfile::TempDir;
use trainer::{
    augment::Augmentation,
    dataset::{self, Dataset, Split},
    loader::{Batch, Loader, Options},
};

const SIZE: usize = 8;

fn data() -> (TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    common::draw(&folder.path().join("training"), 1, 5);
    common::draw(&folder.path().join("validation"), 2, 3);
    let options = dataset::Options { seed: 1, validation_fraction: 0.2, positive: None, detail: None };
    let data = Dataset::open(folder.path(), SIZE as u32, &options).unwrap();
    (folder, data)
}

fn input() -> Input {
    Input { size: SIZE as u32, mean: [1.0, 2.0, 3.0], scale: [0.5, 0.25, 2.0], resize: Resize::StretchTriangle }
}

fn loader(seed: u64, batch_size: usize, augmentation: Option<Augmentation>) -> Loader {
    Loader::new(Options { augmentation, ..plain(seed, batch_size) }).unwrap()
}

fn plain(seed: u64, batch_size: usize) -> Options {
    Options { seed, batch_size, input: input(), balance: false, augmentation: None, detail: None, teachers: Vec::new() }
}

/// The photo at each place of some batches that were not augmented.
fn photos(split: &Split, batches: &[Batch]) -> Vec<usize> {
    let all: Vec<Vec<f32>> = (0..split.len())
        .map(|photo| {
            let mut rgb = vec![0; SIZE * SIZE * 3];
            split.read(photo, &mut rgb).unwrap();
            input().normalize(&rgb)
        })
        .collect();
    let place = |inputs: &[f32]| all.iter().position(|photo| photo == inputs).unwrap();
    let photos: Vec<usize> = batches.iter().flat_map(|b| b.inputs.chunks(SIZE * SIZE * 3).map(place)).collect();
    let labels: Vec<usize> = batches.iter().flat_map(|b| b.labels.clone()).collect();
    assert_eq!(photos.iter().map(|&photo| split.label(photo)).collect::<Vec<_>>(), labels);
    photos
}

fn epoch(loader: &Loader, split: &Split, epoch: u64, steps: usize) -> Vec<Batch> {
    loader.epoch(split, epoch, 0..steps, steps).unwrap().map(Result::unwrap).collect()
}

#[test]
fn validation_is_in_order_with_a_smaller_last_batch() {
    let (_folder, data) = data();
    let batches: Vec<Batch> = loader(1, 4, None).in_order(&data.validation).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|b| (b.first, b.labels.len())).collect::<Vec<_>>(), [(0, 4), (4, 2)]);
    assert_eq!(photos(&data.validation, &batches), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn validation_is_not_augmented() {
    let (_folder, data) = data();
    let batches: Vec<Batch> =
        loader(1, 6, Some(Augmentation::ARTICLE)).in_order(&data.validation).unwrap().map(Result::unwrap).collect();
    assert_eq!(photos(&data.validation, &batches), [0, 1, 2, 3, 4, 5]);
}

/// 10 photos, epochs of 12: each pass over the photos has each of them once, in an order of its own, and epochs cut the
/// sequence wherever they end.
#[test]
fn every_pass_has_every_photo_once() {
    let (_folder, data) = data();
    let loader = loader(1, 4, None);
    let sequence: Vec<usize> =
        (0..5).flat_map(|number| photos(&data.training, &epoch(&loader, &data.training, number, 3))).collect();
    let passes: Vec<&[usize]> = sequence.chunks(10).collect();
    for pass in &passes {
        assert_eq!(pass.iter().collect::<HashSet<_>>().len(), 10, "{pass:?}");
    }
    assert_eq!(passes.iter().collect::<HashSet<_>>().len(), passes.len());
}

#[test]
fn balanced_batches_have_each_label_equally_often() {
    let (folder, _) = data();
    let rare = folder.path().join("training").join(common::LABELS[0]);
    std::fs::read_dir(rare).unwrap().skip(2).for_each(|photo| std::fs::remove_file(photo.unwrap().path()).unwrap());
    let options = dataset::Options { seed: 1, validation_fraction: 0.2, positive: None, detail: None };
    let split = Dataset::open(folder.path(), SIZE as u32, &options).unwrap().training;
    let counts = split.counts();
    assert!(counts[0] != counts[1], "{counts:?}");
    let both = 2 * counts[0] * counts[1];
    let loader = Loader::new(Options { balance: true, ..plain(7, both) }).unwrap();
    let shown = photos(&split, &epoch(&loader, &split, 0, 1));
    for photo in 0..split.len() {
        let times = shown.iter().filter(|&&shown| shown == photo).count();
        assert_eq!(times, both / 2 / counts[split.label(photo)], "photo {photo}");
    }
}

#[test]
fn an_epoch_follows_from_its_number_alone() {
    let (_folder, data) = data();
    let (first, second) = (loader(1, 4, Some(Augmentation::ARTICLE)), loader(1, 4, Some(Augmentation::ARTICLE)));
    let whole = epoch(&first, &data.training, 7, 5);
    epoch(&second, &data.training, 3, 5);
    assert_eq!(epoch(&second, &data.training, 7, 5), whole);
    // What a resumed run asks for: the rest of an epoch.
    let rest: Vec<Batch> = second.epoch(&data.training, 7, 2..5, 5).unwrap().map(Result::unwrap).collect();
    assert_eq!(rest, whole[2..]);
    assert_ne!(epoch(&loader(2, 4, Some(Augmentation::ARTICLE)), &data.training, 7, 5), whole);
    assert_ne!(epoch(&loader(1, 4, None), &data.training, 7, 5), whole);
}

#[test]
fn the_same_photo_is_distorted_differently_each_time() {
    let (_folder, data) = data();
    let loader = loader(1, 10, Some(Augmentation::ARTICLE));
    let batches: Vec<Batch> = (0..4).flat_map(|number| epoch(&loader, &data.training, number, 1)).collect();
    let pictures: HashSet<Vec<u32>> = batches
        .iter()
        .flat_map(|batch| batch.inputs.chunks(SIZE * SIZE * 3))
        .map(|picture| picture.iter().map(|value| value.to_bits()).collect())
        .collect();
    assert_eq!(pictures.len(), 40);
}

#[test]
fn an_epoch_may_be_left_at_any_moment() {
    let (_folder, data) = data();
    let loader = loader(1, 4, None);
    for taken in 0..5 {
        let mut batches = loader.epoch(&data.training, 0, 0..1_000_000_000, 1_000_000_000).unwrap();
        assert_eq!(batches.by_ref().take(taken).count(), taken);
    }
}
