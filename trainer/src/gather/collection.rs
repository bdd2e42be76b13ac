//! The folder that photos are gathered into, and the record of where each is from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use husky::decode;
use husky::spec::Input;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Found;
use crate::dataset::near_duplicates::{Hash, MAX_DISTANCE, hash, hash_file, square};
use crate::files::{csv_bytes, remove_leftovers, write_atomically};
use crate::photos;
use crate::progress::Progress;

/// Of the 256 bits of a [`Hash`], how many may differ between copies of one photo. Of 423 photos of dogs, a copy at half the
/// size and JPEG quality 75 differed in at most 9, one at a quarter in 12, one at quality 20 in 6, and no two of the photos
/// in fewer than 23.
const COPY_DISTANCE: u32 = 12;

/// Quality of the JPEG files that are written.
const QUALITY: u8 = 95;

const PARTS: [&str; 2] = ["training", "validation"];

const COLUMNS: [&str; 9] = ["file", "title", "author", "license", "license_url", "source", "url", "provider", "query"];

/// A line of `attribution.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    /// Below the folder, with `/`.
    file: String,
    title: String,
    author: String,
    license: String,
    license_url: String,
    source: String,
    url: String,
    provider: String,
    query: String,
}

/// A photo that is in the folder, of whatever label.
struct Known {
    hash: Hash,
    in_validation: bool,
}

/// A folder DATA with `training/LABEL`, `validation/LABEL` and `attribution.csv`.
pub struct Collection {
    folder: PathBuf,
    label: String,
    validation_fraction: f64,
    rows: Vec<Row>,
    known: Vec<Known>,
    /// Photos of the label in training and in validation.
    counts: [usize; 2],
}

impl Collection {
    /// Opens `folder` for more photos of `label`, and makes what is missing. All photos in it are looked at: what comes
    /// must not be near any of another part.
    ///
    /// # Errors
    /// One sentence that names the file or folder that can't be read or written.
    pub fn open(folder: &Path, label: &str, validation_fraction: f64) -> Result<Self> {
        let mut counts = [0; 2];
        let mut files = Vec::new();
        for (part, count) in PARTS.into_iter().zip(&mut counts) {
            let own = folder.join(part).join(label);
            fs::create_dir_all(&own).with_context(|| format!("{}: can't be made", own.display()))?;
            remove_leftovers(&own);
            *count = photos::find(&own).0.len();
            files.extend(photos::find(&folder.join(part)).0.into_iter().map(|file| (file, part == PARTS[1])));
        }
        remove_leftovers(folder);
        let progress = Progress::new("looking at the photos that are there", files.len());
        let look = |(file, in_validation): (PathBuf, bool)| {
            let hash = hash_file(&file);
            progress.step();
            // What can't be read, the trainer will skip.
            Some(Known { hash: hash.ok()?, in_validation })
        };
        let known = files.into_par_iter().filter_map(look).collect();
        let rows = read_rows(&folder.join("attribution.csv"))?;
        let (folder, label) = (folder.to_owned(), label.to_owned());
        Ok(Self { folder, label, validation_fraction, rows, known, counts })
    }

    /// Whether `url` was ever kept, even if its photo was deleted since.
    pub fn has_url(&self, url: &str) -> bool {
        self.rows.iter().any(|row| row.url == url)
    }

    /// The photos of the label that this search of `provider` has brought and that are still there.
    pub fn count(&self, provider: &str, query: &str) -> usize {
        let is_own = |row: &&Row| {
            let label = row.file.split('/').nth(1);
            row.provider == provider && row.query == query && label == Some(&*self.label)
        };
        self.rows.iter().filter(is_own).filter(|row| self.folder.join(&row.file).is_file()).count()
    }

    /// Photos of the label for training and for validation, whoever put them there.
    pub fn counts(&self) -> [usize; 2] {
        self.counts
    }

    /// Decodes a photo, and keeps what was decoded, not the bytes that came: as a JPEG file of the part where its
    /// near-duplicates are or, if it has none, of the one that needs it. `Err` inside says why it is not kept.
    ///
    /// # Errors
    /// The disk fails.
    pub fn add(&mut self, bytes: &[u8], found: Found, provider: &str, query: &str) -> Result<Result<()>> {
        let pixels = match decode::decode(bytes, Input::MAX_SIZE) {
            Ok(pixels) => pixels,
            Err(error) => return Ok(Err(error.into())),
        };
        let hash = hash(&square(&pixels));
        let in_validation = match self.part(&hash) {
            Ok(in_validation) => in_validation,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut jpeg = Vec::new();
        let encoder = &mut JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
        encoder.encode(pixels.rgb(), pixels.width(), pixels.height(), ExtendedColorType::Rgb8)?;
        // Named by its content: after a kill between photo and record, the same file is written again. `husky evaluate`
        // groups photos by what is before the `_`.
        let name = format!("{provider}_{}.jpg", &hex::encode(Sha256::digest(&jpeg))[..16]);
        let file = format!("{}/{}/{name}", PARTS[usize::from(in_validation)], self.label);
        write_atomically(&self.folder.join(&file), &jpeg)?;
        let Found { url, title, author, license, license_url, source } = found;
        let (provider, query) = (provider.to_owned(), query.to_owned());
        self.rows.push(Row { file, title, author, license, license_url, source, url, provider, query });
        write_atomically(&self.folder.join("attribution.csv"), &csv_bytes(&COLUMNS, &self.rows)?)?;
        self.known.push(Known { hash, in_validation });
        self.counts[usize::from(in_validation)] += 1;
        Ok(Ok(()))
    }

    /// Whether a photo with this hash belongs to the validation part.
    fn part(&self, hash: &Hash) -> Result<bool> {
        let near: Vec<&Known> = self.known.iter().filter(|known| known.hash.dist(hash) <= MAX_DISTANCE).collect();
        ensure!(near.iter().all(|known| known.hash.dist(hash) > COPY_DISTANCE), "is a photo that is there already");
        let Some(first) = near.first() else {
            let [training, validation] = self.counts;
            let total = training + validation + 1;
            return Ok((validation as f64) < (total as f64 * self.validation_fraction).floor());
        };
        let is_one_part = near.iter().all(|known| known.in_validation == first.in_validation);
        ensure!(is_one_part, "looks like photos of both parts, so it can be in neither");
        Ok(first.in_validation)
    }
}

fn read_rows(path: &Path) -> Result<Vec<Row>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let read = || csv::Reader::from_path(path)?.deserialize().collect::<Result<_, csv::Error>>();
    read().map_err(|error| anyhow!("{}: is not a record that husky gather wrote ({error})", path.display()))
}
