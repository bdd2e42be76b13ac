//! Every photo of a data set, looked at once.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use exif::{In, Tag, Value};
use husky::{Classifier, decode, resize};
use image::imageops;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::dataset::Layout;
use crate::dataset::near_duplicates::{Hash, hash, square};
use crate::photos::{self, Skipped};
use crate::progress::Progress;

/// Side of [`Photo::thumbnail`] in pixels.
pub const SIDE: usize = 64;

/// What is known of a photo.
pub struct Photo {
    /// Its file.
    pub file: PathBuf,
    /// Path below the data set's folder.
    pub name: String,
    /// Index of its label.
    pub label: usize,
    /// Whether it lies in the validation part.
    pub in_validation: bool,
    /// Length of the file.
    pub bytes: usize,
    /// Its format, by its usual extension.
    pub format: &'static str,
    /// What the camera left in it.
    pub exif: Option<Exif>,
    /// Of the file's bytes.
    pub sha256: [u8; 32],
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The picture, stretched, `[SIDE, SIDE, 3]`.
    pub thumbnail: Vec<u8>,
    /// Perceptual hashes of the picture and of its mirror image.
    pub hashes: [Hash; 2],
    /// The mean of each of the last convolution's feature maps; empty where no model was given.
    pub features: Vec<f32>,
}

impl Photo {
    /// Red, green and blue, in `0..=255`.
    pub fn mean_color(&self) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for pixel in self.thumbnail.as_chunks::<3>().0 {
            sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        sums.map(|sum| sum / (SIDE * SIDE) as f64)
    }
}

/// What matters of a photo's EXIF data.
pub struct Exif {
    /// The camera's model.
    pub camera: Option<String>,
    /// Whether the picture lies on its side or head, or is mirrored, and EXIF says so.
    pub turned: bool,
    /// Whether it says where the photo was taken.
    pub place: bool,
}

/// A data set's photos.
pub struct Scan {
    /// The labels, in alphabetical order.
    pub labels: Vec<String>,
    /// The photos, in order of part and path.
    pub photos: Vec<Photo>,
    /// Files that are no photos.
    pub broken: Vec<Skipped>,
}

/// Looks at every photo below `folder`, in parallel, through the classifier's own decoder and resize.
///
/// # Errors
/// One sentence for a folder without labels or photos, or a model without convolutions.
pub fn scan(folder: &Path, model: Option<&Classifier>) -> Result<Scan> {
    let Layout { training, validation, skipped: mut broken } = Layout::of(folder)?;
    let mut labels: Vec<String> =
        training.iter().chain(validation.iter().flatten()).map(|folder| folder.label.clone()).collect();
    labels.sort();
    labels.dedup();
    let parts = [(false, training), (true, validation.unwrap_or_default())];
    let mut files = Vec::new();
    for (in_validation, label_folders) in parts {
        for label_folder in label_folders {
            let label = labels.iter().position(|label| *label == label_folder.label).unwrap_or_default();
            files.extend(label_folder.files.into_iter().map(|file| (file, label, in_validation)));
        }
    }
    let progress = Progress::new("looking at photos", files.len());
    let look = |(file, label, in_validation): (PathBuf, usize, bool)| {
        let seen = look_at(folder, &file, model);
        progress.step();
        match seen {
            Ok(photo) => Ok(Photo { label, in_validation, ..photo }),
            Err(reason) => Err(Skipped { file: file.display().to_string(), reason: format!("{reason:#}") }),
        }
    };
    let seen: Vec<_> = files.into_par_iter().map(look).collect();
    drop(progress);
    let mut photos = Vec::new();
    for seen in seen {
        match seen {
            Ok(photo) => photos.push(photo),
            Err(skipped) => broken.push(skipped),
        }
    }
    if photos.is_empty() {
        bail!("{}: no photo that can be read is there ({} files were skipped)", folder.display(), broken.len());
    }
    if model.is_some() && photos[0].features.is_empty() {
        bail!("--model: this network has no convolutions: name another");
    }
    Ok(Scan { labels, photos, broken })
}

fn look_at(folder: &Path, file: &Path, model: Option<&Classifier>) -> Result<Photo> {
    let bytes = photos::read(file)?;
    // In full, for its size is a clue.
    let pixels = decode::decode(&bytes, u32::from(u16::MAX))?;
    let thumbnail = resize::resize(&pixels, SIDE as u32).into_rgb();
    let picture = square(&pixels);
    let hashes = [hash(&picture), hash(&imageops::flip_horizontal(&picture))];
    let maps = model.and_then(|model| model.feature_maps(&pixels).pop());
    let features = maps.map_or_else(Vec::new, |maps| {
        let mut sums = vec![0.0; maps.channels];
        maps.values.iter().enumerate().for_each(|(i, value)| sums[i % maps.channels] += value);
        let places = (maps.height * maps.width) as f32;
        sums.into_iter().map(|sum| sum / places).collect()
    });
    let name = file.strip_prefix(folder).unwrap_or(file).display().to_string();
    let (width, height) = (pixels.width(), pixels.height());
    Ok(Photo {
        file: file.to_owned(),
        name,
        label: 0,
        in_validation: false,
        bytes: bytes.len(),
        format: image::guess_format(&bytes)?.extensions_str().first().copied().unwrap_or_default(),
        exif: exif(&bytes),
        sha256: Sha256::digest(&bytes).into(),
        width,
        height,
        thumbnail,
        hashes,
        features,
    })
}

/// What can be read of a photo's EXIF data, if it has some.
fn exif(photo: &[u8]) -> Option<Exif> {
    let mut reader = exif::Reader::new();
    let fields = reader.continue_on_error(true).read_from_container(&mut Cursor::new(photo));
    let fields = fields.or_else(|error| error.distill_partial_result(|_| ())).ok()?;
    let value = |tag| fields.get_field(tag, In::PRIMARY).map(|field| &field.value);
    let camera = match value(Tag::Model) {
        Some(Value::Ascii(lines)) => lines.first().map(|line| String::from_utf8_lossy(line).trim().to_owned()),
        _ => None,
    };
    let turned = value(Tag::Orientation).and_then(|value| value.get_uint(0)).is_some_and(|turn| turn > 1);
    Some(Exif { camera: camera.filter(|name| !name.is_empty()), turned, place: value(Tag::GPSLatitude).is_some() })
}
