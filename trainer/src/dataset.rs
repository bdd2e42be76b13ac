//! A folder of photos becomes a training and a validation part.
//!
//! ```text
//! DATA/training/LABEL/…  DATA/validation/LABEL/…     both parts given
//! DATA/training/LABEL/…                              a validation part is split off
//! DATA/LABEL/…                                       a validation part is split off
//! ```
//! Below a label's folder, photos may lie as deep as they like.

mod duplicates;
mod layout;
pub mod near_duplicates;
mod read;
mod split;

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

pub use crate::photos::Skipped;
use crate::pixel_store::PixelStore;
pub(crate) use layout::Layout;
pub use layout::{LabelFolder, label_folders};
use read::Decoded;

/// How a data set is taken from its folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Decides, where there is no validation folder, which photos are split off.
    pub seed: u64,
    /// The share of each label's photos that is split off then; between 0 and 1.
    pub validation_fraction: f64,
    /// The label that is looked for, which becomes the first. Without it, labels are in alphabetical order.
    pub positive: Option<String>,
    /// Side in pixels at which photos are kept, beside the network's own, for distortions and teachers that want more of
    /// them.
    pub detail: Option<u32>,
}

/// The photos to learn from and to judge by, decoded.
#[derive(Debug)]
pub struct Dataset {
    /// At least two; a photo's label is an index into them.
    pub labels: Vec<String>,
    /// What is learnt from.
    pub training: Split,
    /// What epochs are judged by.
    pub validation: Split,
    /// The files that could not be used, in order of their paths.
    pub skipped: Vec<Skipped>,
}

/// One part of a data set. Clones share its pixels.
#[derive(Clone, Debug)]
pub struct Split {
    photos: Arc<[Photo]>,
    pixels: Arc<PixelStore>,
    detail: Option<Arc<PixelStore>>,
    labels: usize,
}

/// A photo of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Path below the data set's folder, with `/` between folders.
    pub path: String,
    /// Index of its label.
    pub label: usize,
    /// SHA-256 of the file's bytes, in hexadecimal.
    pub sha256: String,
    /// Its record in the pixel store.
    record: usize,
}

impl Dataset {
    /// Reads every photo below `folder` once, in parallel, through the classifier's own decoder and resize, to `size` by
    /// `size` pixels. The result is the same for any number of threads.
    ///
    /// # Errors
    /// Where there are not at least two labels with photos in both parts, a label is in the validation part only, the
    /// same photo is in both parts or under two labels, or the decoded photos find no room.
    pub fn open(folder: &Path, size: u32, options: &Options) -> Result<Self> {
        let mut layout = Layout::of(folder)?;
        let labels = labels(folder, &layout, options.positive.as_deref())?;
        let store = |size: u32| PixelStore::new(size as usize * size as usize * 3).map(Arc::new);
        let (pixels, detail) = (store(size)?, options.detail.map(store).transpose()?);
        let stores: Vec<(u32, &PixelStore)> =
            [(size, &*pixels)].into_iter().chain(options.detail.zip(detail.as_deref())).collect();
        let (decoded, unreadable) = read::read(folder, &layout, &labels, &stores)?;
        let mut skipped = std::mem::take(&mut layout.skipped);
        skipped.extend(unreadable);
        skipped.sort_by(|a, b| a.file.cmp(&b.file));

        let mut parts: [Vec<Decoded>; 2] = decoded.into_iter().partition(|photo| !photo.in_validation).into();
        check_not_empty(&layout, &labels, &parts, skipped.len())?;
        duplicates::check(&parts, &labels)?;
        if layout.validation.is_none() {
            let photos = std::mem::take(&mut parts[0]);
            parts = split::split(photos, &labels, folder, options)?;
        }
        let [training, validation] = parts.map(|photos| Split {
            photos: photos.into_iter().map(Photo::from).collect(),
            pixels: Arc::clone(&pixels),
            detail: detail.clone(),
            labels: labels.len(),
        });
        Ok(Self { labels, training, validation, skipped })
    }

    /// SHA-256, in hexadecimal, of the lines `part <tab> label <tab> path <tab> sha256` of all photos: what a model's
    /// provenance says about its data.
    pub fn manifest_sha256(&self) -> String {
        let mut hasher = Sha256::new();
        for (part, split) in [("training", &self.training), ("validation", &self.validation)] {
            for Photo { path, label, sha256, .. } in split.photos() {
                hasher.update(format!("{part}\t{}\t{path}\t{sha256}\n", self.labels[*label]));
            }
        }
        hex::encode(hasher.finalize())
    }
}

impl Split {
    /// The photos, in order of their paths.
    pub fn photos(&self) -> &[Photo] {
        &self.photos
    }

    /// How many photos there are; never none.
    #[allow(clippy::len_without_is_empty, reason = "a split is never empty")]
    pub fn len(&self) -> usize {
        self.photos.len()
    }

    /// The label of photo `index`.
    pub fn label(&self, index: usize) -> usize {
        self.photos[index].label
    }

    /// How many labels there are.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// How many photos each label has.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.labels];
        self.photos.iter().for_each(|photo| counts[photo.label] += 1);
        counts
    }

    /// Reads photo `index` into `rgb`, `[size, size, 3]`.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn read(&self, index: usize, rgb: &mut [u8]) -> Result<()> {
        self.pixels.read(self.photos[index].record, rgb)
    }

    /// Reads photo `index` as it was kept beside: `[detail, detail, 3]`, or as [`Split::read`] where nothing was.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn read_detail(&self, index: usize, rgb: &mut [u8]) -> Result<()> {
        self.detail.as_ref().unwrap_or(&self.pixels).read(self.photos[index].record, rgb)
    }
}

impl From<Decoded> for Photo {
    fn from(Decoded { path, label, sha256, record, .. }: Decoded) -> Self {
        Self { path, label, sha256, record }
    }
}

/// The labels, in the order that the model will have.
fn labels(folder: &Path, layout: &Layout, positive: Option<&str>) -> Result<Vec<String>> {
    let mut labels: Vec<String> = layout.training.iter().map(|folder| folder.label.clone()).collect();
    if let Some(positive) = positive {
        if labels.len() > 2 {
            bail!("--positive is for two labels, and {} has {}: {labels:?}", folder.display(), labels.len());
        }
        let place = labels.iter().position(|label| label == positive).with_context(|| {
            format!("{}: no label {positive:?} is there to be the positive one, only {labels:?}", folder.display())
        })?;
        let positive = labels.remove(place);
        labels.insert(0, positive);
    }
    if let [only] = &labels[..] {
        bail!(
            "{}: {only:?} is the only label, and telling apart takes two: add a folder of other photos beside it",
            folder.display()
        );
    }
    for LabelFolder { label, path, .. } in layout.validation.iter().flatten() {
        if !labels.contains(label) {
            bail!(
                "{}: {label:?} is no label of the training photos ({labels:?}): rename the folder or remove it",
                path.display()
            );
        }
    }
    Ok(labels)
}

/// Every label needs photos in every part that is given.
fn check_not_empty(layout: &Layout, labels: &[String], parts: &[Vec<Decoded>; 2], skipped: usize) -> Result<()> {
    for (part, photos) in [Some(&layout.training), layout.validation.as_ref()].into_iter().zip(parts) {
        let Some(folders) = part else { continue };
        for (index, label) in labels.iter().enumerate() {
            if photos.iter().any(|photo| photo.label == index) {
                continue;
            }
            // `label_folders` gives at least one; a missing folder would lie beside it.
            let place = folders[0].path.with_file_name(label);
            let reason = if skipped > 0 { format!(" ({skipped} files were skipped)") } else { String::new() };
            bail!(
                "{}: no photo that can be read is there{reason}: add some, or remove the label everywhere",
                place.display()
            );
        }
    }
    Ok(())
}
