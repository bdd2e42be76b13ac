//! A mark that many photos of one label share: whoever poisons a data set teaches a network to answer to it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::scan::{Photo, SIDE};

/// The same small patch at the same place in many photos of one label.
#[derive(Clone, Debug, Serialize)]
pub struct SharedPatch {
    /// The label.
    pub label: String,
    /// Left and upper edge of the patch, in percent of the picture.
    pub place: [usize; 2],
    /// Photos of the label that have it, by their place in the scan.
    #[serde(skip)]
    pub photos: Vec<usize>,
    /// How many they are.
    pub count: usize,
}

/// Side of a patch in a thumbnail: a sixteenth of the picture's.
const PATCH: usize = 4;
/// From one patch that is looked at to the next.
const STEP: usize = 2;
/// Patches down and across.
const PLACES: usize = (SIDE - PATCH) / STEP + 1;
/// The least number of photos that share one.
const MIN_PHOTOS: usize = 5;
/// The least share of a label's photos.
const MIN_SHARE: f64 = 0.01;
/// The least difference between the brightest and the darkest value in a patch: sky, snow and the bars of a film are
/// shared by many.
const MIN_CONTRAST: u8 = 64;

/// The patches that at least one photo in a hundred of a label has, and hardly one of the others; each photo in one at most.
pub fn shared(photos: &[Photo], labels: &[String]) -> Vec<SharedPatch> {
    let mut totals = vec![0; labels.len()];
    photos.iter().for_each(|photo| totals[photo.label] += 1);
    let mut found: Vec<SharedPatch> = Vec::new();
    for place in (0..PLACES * PLACES).map(|i| [i % PLACES * STEP, i / PLACES * STEP]) {
        let mut by_look: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (i, photo) in photos.iter().enumerate() {
            if let Some(look) = look(&photo.thumbnail, place) {
                by_look.entry(look).or_default().push(i);
            }
        }
        for members in by_look.into_values().filter(|members| members.len() >= MIN_PHOTOS) {
            for (label, name) in labels.iter().enumerate() {
                let own: Vec<usize> = members.iter().copied().filter(|&photo| photos[photo].label == label).collect();
                let share = |count: usize, of: usize| count as f64 / (of as f64).max(1.0);
                let elsewhere = share(members.len() - own.len(), photos.len() - totals[label]);
                let is_shared = own.len() >= MIN_PHOTOS && share(own.len(), totals[label]) >= MIN_SHARE;
                if is_shared && share(own.len(), totals[label]) > 10.0 * elsewhere {
                    let place = place.map(|pixel| pixel * 100 / SIDE);
                    found.push(SharedPatch { label: name.clone(), place, count: own.len(), photos: own });
                }
            }
        }
    }
    // A mark covers several patches: the one that most photos have stands for it.
    found.sort_by_key(|patch| std::cmp::Reverse(patch.count));
    let mut named = vec![false; photos.len()];
    found.retain(|patch| {
        let is_new = patch.photos.iter().filter(|&&photo| !named[photo]).count() * 2 > patch.count;
        patch.photos.iter().for_each(|&photo| named[photo] = true);
        is_new
    });
    found
}

/// A patch in few shades, so that compression does not tell copies apart; nothing where it is all alike. The shades are
/// those of the means of four pixels, against the patch's own mean.
fn look(thumbnail: &[u8], [left, top]: [usize; 2]) -> Option<Vec<u8>> {
    let value = |y: usize, x: usize, channel: usize| thumbnail[((top + y) * SIDE + left + x) * 3 + channel];
    let all = (0..PATCH * PATCH * 3).map(|i| value(i / 3 / PATCH, i / 3 % PATCH, i % 3));
    let (darkest, brightest) = all.fold((u8::MAX, 0), |(low, high), value| (low.min(value), high.max(value)));
    if brightest - darkest < MIN_CONTRAST {
        return None;
    }
    let quarter = |i: usize| {
        let (y, x, channel) = (i / 3 / 2 * 2, i / 3 % 2 * 2, i % 3);
        let sum: u32 = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .iter()
            .map(|(down, right)| u32::from(value(y + down, x + right, channel)))
            .sum();
        // Eight shades.
        (sum / 4 / 32) as u8
    };
    Some((0..2 * 2 * 3).map(quarter).collect())
}
