//! The same photo more than once: the same file, or the same shot resized, compressed anew, mirrored or cropped.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::scan::{Photo, SIDE};

/// Of 256 bits, how many may differ between the hashes of two photos that are then compared more closely: unlike photos
/// differ in about 128.
const MAX_BITS: u32 = 80;
/// The least correlation of the pixels of near-duplicates, once one is laid over the other.
const MIN_CORRELATION: f32 = 0.975;
/// The least correlation before anything is cropped away.
const MIN_UNCROPPED: f32 = 0.8;
/// The part that is all of a picture.
const WHOLE: [f32; 3] = [0.0, 0.0, 1.0];
/// Points across a picture at which two are compared.
const POINTS: usize = 24;

/// Groups of two or more photos whose files are the same, byte for byte, each in order.
pub fn exact(photos: &[Photo]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&[u8; 32], Vec<usize>> = BTreeMap::new();
    for (i, photo) in photos.iter().enumerate() {
        groups.entry(&photo.sha256).or_default().push(i);
    }
    let mut groups: Vec<_> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort();
    groups
}

/// Pairs of photos, other than the same files, that are one shot. The hashes say which pairs to compare; the
/// comparison lays one picture over the other, or over its mirror image, or over what is left of it when it is cropped.
pub fn near(photos: &[Photo]) -> Vec<[usize; 2]> {
    let pictures: Vec<Picture> = photos.par_iter().map(Picture::of).collect();
    let pairs_of = |first: usize| {
        let (photos, pictures) = (photos, &pictures);
        ((first + 1)..photos.len()).filter(move |&second| {
            let (a, b) = (&photos[first], &photos[second]);
            let is_like = |mirrored: bool| {
                a.hashes[0].dist(&b.hashes[usize::from(mirrored)]) <= MAX_BITS
                    && pictures[first].correlation(&pictures[second], mirrored) >= MIN_CORRELATION
            };
            a.sha256 != b.sha256 && (is_like(false) || is_like(true))
        })
    };
    (0..photos.len())
        .into_par_iter()
        .flat_map_iter(|first| pairs_of(first).map(move |second| [first, second]))
        .collect()
}

/// A photo as it is compared.
struct Picture {
    /// `[SIDE, SIDE]`
    grey: Vec<f32>,
    /// All of it, and its mirror image: [`sample`]s.
    whole: [Vec<f32>; 2],
}

impl Picture {
    fn of(photo: &Photo) -> Self {
        let grey = grey(&photo.thumbnail);
        let whole = [false, true].map(|mirrored| sample(&grey, WHOLE, mirrored));
        Self { grey, whole }
    }

    /// The largest correlation of one picture with all of the other, or with a part of at least nine tenths of its side.
    fn correlation(&self, other: &Self, mirrored: bool) -> f32 {
        let of_whole = dot(&self.whole[0], &other.whole[usize::from(mirrored)]);
        // What a crop so small can't change that much.
        if !(MIN_UNCROPPED..MIN_CORRELATION).contains(&of_whole) {
            return of_whole;
        }
        let parts = [0.975, 0.95, 0.925, 0.9].into_iter().flat_map(|side: f32| {
            let place = move |step: u8| f32::from(step) * (1.0 - side) / 2.0;
            (0..9).map(move |corner| [place(corner % 3), place(corner / 3), side])
        });
        parts.fold(of_whole, |best, part| {
            let of_other = dot(&self.whole[0], &sample(&other.grey, part, mirrored));
            // The mirror image of a part is a part of the mirror image.
            let of_self = dot(&sample(&self.grey, part, mirrored), &other.whole[0]);
            best.max(of_other).max(of_self)
        })
    }
}

fn grey(rgb: &[u8]) -> Vec<f32> {
    rgb.as_chunks()
        .0
        .iter()
        .map(|&[r, g, b]| 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b))
        .collect()
}

/// [`POINTS`] by [`POINTS`] values of the square part with this left and upper edge and side, in sides of the picture: with a
/// mean of 0 and a length of 1, so that the product of two is Pearson's correlation; zeros where it is of one colour.
fn sample(picture: &[f32], [left, top, side]: [f32; 3], mirrored: bool) -> Vec<f32> {
    let last = (SIDE - 1) as f32;
    let place = |edge: f32, i: usize| {
        let place = ((edge + side * (i as f32 + 0.5) / POINTS as f32) * SIDE as f32 - 0.5).clamp(0.0, last);
        (place as usize, (place as usize + 1).min(SIDE - 1), place.fract())
    };
    let columns: Vec<_> = (0..POINTS).map(|i| place(left, if mirrored { POINTS - 1 - i } else { i })).collect();
    let mut values = Vec::with_capacity(POINTS * POINTS);
    for (above, below, down) in (0..POINTS).map(|i| place(top, i)) {
        for &(before, after, right) in &columns {
            let at = |y: usize, x: usize| picture[y * SIDE + x];
            let upper = at(above, before) + (at(above, after) - at(above, before)) * right;
            let lower = at(below, before) + (at(below, after) - at(below, before)) * right;
            values.push(upper + (lower - upper) * down);
        }
    }
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    values.iter_mut().for_each(|value| *value -= mean);
    let length = dot(&values, &values).sqrt();
    // A tenth of a grey level: what varies less has nothing to compare.
    let scale = if length < 0.1 * POINTS as f32 { 0.0 } else { 1.0 / length };
    values.iter_mut().for_each(|value| *value *= scale);
    values
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
