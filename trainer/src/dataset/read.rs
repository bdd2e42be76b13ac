//! Photo files become records of pixels, in parallel.

use std::path::{Path, PathBuf};

use anyhow::Result;
use husky::Pixels;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::layout::Layout;
use crate::{
    photos::{self, Skipped},
    pixel_store::PixelStore,
    progress::Progress,
};

/// A photo whose pixels are in the store.
#[derive(Clone, Debug)]
pub(super) struct Decoded {
    /// Below the data set's folder, with `/`.
    pub path: String,
    pub label: usize,
    pub in_validation: bool,
    /// Of the file's bytes.
    pub sha256: String,
    /// Of what the network sees: the same picture saved twice, say with other metadata.
    pub pixels_sha256: [u8; 32],
    pub record: usize,
}

struct Candidate<'a> {
    file: &'a PathBuf,
    label: usize,
    in_validation: bool,
}

/// All photos in order of part and path, and the files that are none. Each store gets the photos at its size.
///
/// # Errors
/// Where the store fails: a file that fails is skipped.
pub(super) fn read(
    folder: &Path,
    layout: &Layout,
    labels: &[String],
    stores: &[(u32, &PixelStore)],
) -> Result<(Vec<Decoded>, Vec<Skipped>)> {
    let candidates = candidates(layout, labels);
    let progress = Progress::new("reading photos", candidates.len());
    let read_one = |(record, candidate): (usize, &Candidate)| -> Result<Result<Decoded, Skipped>> {
        let Candidate { file, label, in_validation } = *candidate;
        let resized = |bytes: &[u8], size| Ok(husky::resize::resize(&husky::decode::decode(bytes, size)?, size));
        let decoded = photos::read(file).and_then(|bytes| {
            let pictures: Result<Vec<Pixels>> = stores.iter().map(|&(size, _)| resized(&bytes, size)).collect();
            Ok((hex::encode(Sha256::digest(&bytes)), pictures?))
        });
        let decoded = match decoded {
            Ok((sha256, pictures)) => {
                for ((_, store), picture) in stores.iter().zip(&pictures) {
                    store.write(record, picture.rgb())?;
                }
                let path = file.strip_prefix(folder).unwrap_or(file);
                let path = path.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>().join("/");
                let pixels_sha256 = Sha256::digest(pictures[0].rgb()).into();
                Ok(Decoded { path, label, in_validation, sha256, pixels_sha256, record })
            }
            Err(reason) => Err(Skipped { file: file.display().to_string(), reason: format!("{reason:#}") }),
        };
        progress.step();
        Ok(decoded)
    };
    let results = candidates.par_iter().enumerate().map(read_one).collect::<Result<Vec<_>>>()?;
    let (mut photos, mut skipped) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(photo) => photos.push(photo),
            Err(skip) => skipped.push(skip),
        }
    }
    Ok((photos, skipped))
}

/// Everything that may be a photo. Labels are visited in alphabetical order, whichever is the positive one.
fn candidates<'a>(layout: &'a Layout, labels: &[String]) -> Vec<Candidate<'a>> {
    let parts = [(false, Some(&layout.training)), (true, layout.validation.as_ref())];
    parts
        .into_iter()
        .flat_map(|(in_validation, folders)| folders.into_iter().flatten().map(move |folder| (in_validation, folder)))
        .filter_map(|(in_validation, folder)| {
            let label = labels.iter().position(|label| *label == folder.label)?;
            Some(folder.files.iter().map(move |file| Candidate { file, label, in_validation }))
        })
        .flatten()
        .collect()
}
