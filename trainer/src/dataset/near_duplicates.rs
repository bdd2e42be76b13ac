//! Which photos are the same shot: in another size, format or quality, or of one burst.

use std::path::Path;

use anyhow::Result;
use husky::{Pixels, decode, resize};
use image::{RgbImage, imageops::FilterType};
use image_hasher::{HashAlg, HasherConfig, ImageHash};

use crate::photos;

/// Of the 256 bits of a [`type@Hash`], how many may differ between near-duplicates: other sizes, formats and qualities of one
/// photo differ in fewer, photos that only look alike in more.
pub const MAX_DISTANCE: u32 = 24;

/// A perceptual hash: signs of the coarse waves that a picture is made of, which noise and compression leave alone.
pub type Hash = ImageHash<[u8; 32]>;

/// Side in pixels of the square that is hashed: the same whatever a network wants to see, since a hash decides which
/// photos train.
const SIDE: u32 = 128;

/// What is hashed of a photo.
pub fn square(photo: &Pixels) -> RgbImage {
    // It has the size that it says.
    RgbImage::from_raw(SIDE, SIDE, resize::resize(photo, SIDE).into_rgb()).unwrap_or_default()
}

/// The hash of a [`square`].
pub fn hash(picture: &RgbImage) -> Hash {
    let config = HasherConfig::with_bytes_type().hash_alg(HashAlg::Mean).preproc_dct();
    config.hash_size(16, 16).resize_filter(FilterType::Triangle).to_hasher().hash_image(picture)
}

/// The hash of a photo file.
///
/// # Errors
/// A sentence without the file's name: it can't be read, or is no photo.
pub fn hash_file(file: &Path) -> Result<Hash> {
    Ok(hash(&square(&decode::decode(&photos::read(file)?, SIDE)?)))
}
