//! The kinds of photos that a label is made of, such as breeds, as folders or files name them.
//!
//! A last layer that is to tell huskies from all else draws one plane between them. One that has to tell each breed from each
//! other draws many, and takes the answers together by label: it learns from the same photos what a malamute is.

use std::collections::BTreeMap;

use crate::dataset::{Photo, Split};
use crate::judge;

/// Which kind each photo is of.
pub struct Kinds {
    /// How many kinds each label has.
    pub counts: Vec<usize>,
    /// The kind of each photo; kinds are numbered through, label by label.
    pub of: Vec<usize>,
}

impl Kinds {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The kinds of a split's photos of which there are at least `least`; what is rarer is one more kind of its label.
    pub fn of(split: &Split, labels: &[String], least: usize) -> Self {
        let kind = |photo: &Photo| {
            let label = &labels[photo.label];
            (photo.label, judge::group(label, &judge::below(&photo.path, label)))
        };
        let kinds: Vec<(usize, String)> = split.photos().iter().map(kind).collect();
        let mut photos = BTreeMap::new();
        for kind in &kinds {
            *photos.entry(kind.clone()).or_insert(0) += 1;
        }
        let known =
            |kind: (usize, String)| if photos[&kind] >= least { (kind.0, Some(kind.1)) } else { (kind.0, None) };
        let kinds: Vec<(usize, Option<String>)> = kinds.into_iter().map(known).collect();
        let mut all = kinds.clone();
        all.sort();
        all.dedup();
        let counts = (0..labels.len()).map(|label| all.iter().filter(|kind| kind.0 == label).count()).collect();
        Self { counts, of: kinds.iter().filter_map(|kind| all.binary_search(kind).ok()).collect() }
    }
}
