//! A photo file's bytes become a picture: upright, in sRGB, 8 bits a channel, without alpha.
//!
//! The format is told from the bytes, never from a name. Native code and the browser run these same decoders, because
//! browsers' own decoders differ from each other.
//!
//! With one of the features `jpeg` and `png` instead of `decode` only such files without a colour profile are read, which
//! most are: the page downloads the rest of the code for the others alone.

#[cfg(feature = "decode")]
mod color;
#[cfg(feature = "jpeg")]
mod scaled;

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
#[cfg(feature = "jpeg")]
use memchr::memchr;

use crate::{Error, Pixels, Result};

/// The most memory that a decoded picture may take, in bytes.
pub const MAX_MEMORY: u64 = 256 << 20;

/// Decodes a JPEG, PNG, WebP, GIF (first frame) or BMP file, at most 64 MiB and within the limits of [`Pixels`], for
/// [`resize`](crate::resize::resize()) to `size` pixels a side.
///
/// A JPEG picture comes in a quarter or an eighth of its width and height where that leaves at least `2 * size` of both:
/// what the resize makes of it then differs by about one step of 255 on average.
///
/// EXIF orientation is applied, an embedded ICC profile is converted to sRGB, 16 bits become 8, and what is transparent
/// is laid over white.
///
/// # Errors
/// The `Photo…` variants of [`Error`], one for each way to be wrong. [`Error::PhotoRare`] is a file that a build with the
/// feature `decode` may read, [`Error::PhotoFormat`] one that may be a good photo, but in a format that is not read here; all
/// others are final.
pub fn decode(bytes: &[u8], size: u32) -> Result<Pixels> {
    if bytes.is_empty() {
        return Err(Error::PhotoEmpty);
    }
    if bytes.len() > Pixels::MAX_FILE {
        return Err(Error::PhotoTooLarge(bytes.len()));
    }
    let format = format(bytes)?;
    let is_read_here = match format {
        ImageFormat::Jpeg => cfg!(feature = "jpeg"),
        ImageFormat::Png => cfg!(feature = "png"),
        _ => cfg!(feature = "decode"),
    };
    if !is_read_here {
        return Err(Error::PhotoRare);
    }
    #[cfg(feature = "jpeg")]
    if format == ImageFormat::Jpeg && !is_whole_jpeg(bytes) {
        return Err(Error::PhotoCorrupt("the file ends in the middle of the picture".to_owned()));
    }
    without_panic(|| decode_as(format, bytes, size))
}

#[cfg_attr(not(feature = "jpeg"), expect(unused_variables, reason = "only JPEG pictures are scaled"))]
fn decode_as(format: ImageFormat, bytes: &[u8], size: u32) -> Result<Pixels> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(photo_error)?;
    let (width, height) = decoder.dimensions();
    Pixels::check_size(width, height)?;
    if decoder.total_bytes() > MAX_MEMORY {
        return Err(Error::PhotoMemory);
    }
    let orientation = decoder.orientation().map_err(photo_error)?;
    let profile = decoder.icc_profile().map_err(photo_error)?;
    #[cfg(not(feature = "decode"))]
    if profile.is_some() {
        return Err(Error::PhotoRare);
    }
    let small = match format {
        #[cfg(feature = "jpeg")]
        ImageFormat::Jpeg => scaled::decode(bytes, width, height, 2 * size),
        _ => None,
    };
    let mut image = match small {
        Some(image) => image,
        None => DynamicImage::from_decoder(decoder).map_err(photo_error)?,
    };
    image.apply_orientation(orientation);
    #[cfg(feature = "decode")]
    if let Some(profile) = profile {
        return color::to_srgb(image, &profile);
    }
    to_pixels(image)
}

fn to_pixels(image: DynamicImage) -> Result<Pixels> {
    let (width, height) = (image.width(), image.height());
    if image.color().has_alpha() {
        Pixels::from_rgba(width, height, image.into_rgba8().as_raw())
    } else {
        Pixels::from_rgb(width, height, image.into_rgb8().into_raw())
    }
}

/// The format, from the first bytes.
fn format(bytes: &[u8]) -> Result<ImageFormat> {
    use ImageFormat::{Avif, Bmp, Gif, Ico, Jpeg, Png, Tiff, WebP};
    match image::guess_format(bytes) {
        Ok(format @ (Jpeg | Png | WebP | Gif | Bmp)) => Ok(format),
        Ok(Avif) => Err(Error::PhotoFormat("an AVIF picture")),
        Ok(Tiff) => Err(Error::PhotoFormat("a TIFF picture")),
        Ok(Ico) => Err(Error::PhotoFormat("an icon")),
        _ => Err(Error::PhotoFormat(match bytes.get(4..12) {
            Some(b"ftypavis") => "an AVIF picture",
            Some(b"ftypheic" | b"ftypheix" | b"ftyphevc" | b"ftypheim" | b"ftypheis" | b"ftypmif1" | b"ftypmsf1") => {
                "a HEIC picture"
            }
            Some([b'f', b't', b'y', b'p', ..]) => "a film",
            _ => "no picture of a known format",
        })),
    }
}

/// Whether a JPEG file has its end marker (ITU-T T.81, annex B). Without it, the decoder fills what is missing with grey
/// and reports nothing. What follows the marker, such as a phone's film of the same moment, is no part of the picture.
#[cfg(feature = "jpeg")]
fn is_whole_jpeg(mut bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    while let Some(at) = memchr(0xff, bytes) {
        bytes = &bytes[at + 1..];
        match bytes.first() {
            Some(&END_OF_IMAGE) => return true,
            // In compressed data, 0 or a restart marker follows; before a marker, as many 0xff as one likes.
            None | Some(0 | 0xd0..=0xd8 | 0xff) => {}
            // Any other marker starts a segment, whose first two bytes say how long it is.
            Some(_) => {
                bytes = &bytes[1..];
                let length = bytes.first_chunk().map_or(0, |&length| u16::from_be_bytes(length));
                bytes = bytes.get(usize::from(length)..).unwrap_or_default();
            }
        }
    }
    false
}

fn photo_error(error: ImageError) -> Error {
    match error {
        ImageError::Limits(_) => Error::PhotoMemory,
        ImageError::Unsupported(_) => Error::PhotoFormat("a rare variant of its format"),
        other => Error::PhotoCorrupt(other.to_string()),
    }
}

/// Other people's decoders read other people's bytes: should one panic after all, one photo is lost, not the run.
fn without_panic(decode: impl FnOnce() -> Result<Pixels>) -> Result<Pixels> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(Error::PhotoCorrupt("its decoder gave up".to_owned())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_panics_costs_one_photo() {
        let error = without_panic(|| panic!("as a decoder might")).unwrap_err();
        assert_eq!(error.code(), "photo-corrupt");
    }
}
