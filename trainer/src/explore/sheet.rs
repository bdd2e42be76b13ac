//! Photos under their labels, as the article shows a sample of its data.

use anyhow::{Context, Result};
use image::{Rgb, RgbImage, imageops};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::captions;
use crate::photos;
use crate::random::{Stream, rng};
use crate::scan::{Photo, Scan};

const COLUMNS: usize = 8;
const ROWS: usize = 5;
/// Of a photo, which is stretched as for the network, in pixels.
const SIDE: u32 = 128;
const GAP: u32 = 8;

/// Draws photos for training, which are taken at random, of each label as many as far as there are.
///
/// # Errors
/// One sentence for a photo that can't be read any more.
pub fn draw(Scan { labels, photos, .. }: &Scan, seed: u64) -> Result<RgbImage> {
    let random = |label: usize| rng(seed, Stream::Sample, 0, label as u64);
    let mut by_label: Vec<_> = (0..labels.len())
        .map(|label| {
            let is_of = |photo: &&Photo| !photo.in_validation && photo.label == label;
            let mut photos: Vec<&Photo> = photos.iter().filter(is_of).collect();
            photos.shuffle(&mut random(label));
            photos.into_iter()
        })
        .collect();
    let rounds = (0..photos.len()).flat_map(|_| by_label.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>());
    let mut sample: Vec<&Photo> = rounds.take(COLUMNS * ROWS).collect();
    sample.shuffle(&mut random(labels.len()));
    let count = sample.len();
    let pictures = sample.par_iter().map(|photo| picture(photo)).collect::<Result<Vec<_>>>()?;
    let (columns, rows) = (COLUMNS.min(count) as u32, count.div_ceil(COLUMNS) as u32);
    let size = [columns * (SIDE + GAP) + GAP, rows * (captions::HEIGHT + SIDE + GAP) + GAP];
    let mut sheet = RgbImage::from_pixel(size[0], size[1], Rgb([255; 3]));
    for (place, (picture, photo)) in pictures.iter().zip(&sample).enumerate() {
        let x = GAP + (place % COLUMNS) as u32 * (SIDE + GAP);
        let y = GAP + (place / COLUMNS) as u32 * (captions::HEIGHT + SIDE + GAP);
        captions::write(&mut sheet, &labels[photo.label], [x, y], SIDE);
        imageops::replace(&mut sheet, picture, x.into(), (y + captions::HEIGHT).into());
    }
    Ok(sheet)
}

fn picture(photo: &Photo) -> Result<RgbImage> {
    let named = || photo.file.display().to_string();
    let pixels = husky::decode::decode(&photos::read(&photo.file).with_context(named)?, SIDE).with_context(named)?;
    let rgb = husky::resize::resize(&pixels, SIDE).into_rgb();
    RgbImage::from_raw(SIDE, SIDE, rgb).with_context(named)
}
