//! A photo file's bytes become a picture: upright, in sRGB, 8 bits a channel, without alpha.
//!
//! The format is told from the bytes, never from a name. Native code and the browser run these same decoders, because
//! browsers' own decoders differ from each other.

mod scaled;

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use memchr::memchr;
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

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
/// The `Photo…` variants of [`Error`], one for each way to be wrong. [`Error::PhotoFormat`] is a file that may be a good
/// photo, but in a format that is not read here; all others are final.
pub fn decode(bytes: &[u8], size: u32) -> Result<Pixels> {
    if bytes.is_empty() {
        return Err(Error::PhotoEmpty);
    }
    if bytes.len() > Pixels::MAX_FILE {
        return Err(Error::PhotoTooLarge(bytes.len()));
    }
    let format = format(bytes)?;
    if format == ImageFormat::Jpeg && !is_whole_jpeg(bytes) {
        return Err(Error::PhotoCorrupt("the file ends in the middle of the picture".to_owned()));
    }
    without_panic(|| decode_as(format, bytes, size))
}

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
    let small = match format {
        ImageFormat::Jpeg => scaled::decode(bytes, width, height, 2 * size),
        _ => None,
    };
    let mut image = match small {
        Some(image) => image,
        None => DynamicImage::from_decoder(decoder).map_err(photo_error)?,
    };
    image.apply_orientation(orientation);
    match profile {
        Some(profile) => to_srgb(image, &profile),
        None => to_pixels(image),
    }
}

fn to_pixels(image: DynamicImage) -> Result<Pixels> {
    let (width, height) = (image.width(), image.height());
    if image.color().has_alpha() {
        Pixels::from_rgba(width, height, image.into_rgba8().as_raw())
    } else {
        Pixels::from_rgb(width, height, image.into_rgb8().into_raw())
    }
}

/// Converts a picture whose values are meant as `profile` says.
fn to_srgb(image: DynamicImage, profile: &[u8]) -> Result<Pixels> {
    let unreadable = |_| Error::PhotoColorProfile;
    let profile = ColorProfile::new_from_slice(profile).map_err(unreadable)?;
    let (alpha, gray) = (image.color().has_alpha(), !image.color().has_color());
    let from = match (profile.color_space, alpha) {
        (DataColorSpace::Gray, false) if gray => Layout::Gray,
        (DataColorSpace::Gray, true) if gray => Layout::GrayAlpha,
        (DataColorSpace::Rgb, false) if !gray => Layout::Rgb,
        (DataColorSpace::Rgb, true) if !gray => Layout::Rgba,
        _ => return Err(Error::PhotoColorSpace),
    };
    let to = if alpha { Layout::Rgba } else { Layout::Rgb };
    let convert = |source: &[u8], layout: Layout, out: Layout| {
        let transform = profile
            .create_transform_8bit(layout, &ColorProfile::new_srgb(), out, TransformOptions::default())
            .map_err(unreadable)?;
        let mut target = vec![0; source.len() / layout.channels() * out.channels()];
        transform.transform(source, &mut target).map_err(unreadable)?;
        Ok(target)
    };
    let (width, height) = (image.width(), image.height());
    if from == Layout::Rgb || from == Layout::Rgba {
        let probe = color_cube();
        if convert(&probe, Layout::Rgb, Layout::Rgb)?.iter().zip(&probe).all(|(a, b)| a.abs_diff(*b) <= 1) {
            return to_pixels(image);
        }
    }
    let values = match from {
        Layout::Gray => image.into_luma8().into_raw(),
        Layout::GrayAlpha => image.into_luma_alpha8().into_raw(),
        Layout::Rgb => image.into_rgb8().into_raw(),
        _ => image.into_rgba8().into_raw(),
    };
    let values = convert(&values, from, to)?;
    if alpha { Pixels::from_rgba(width, height, &values) } else { Pixels::from_rgb(width, height, values) }
}

/// RGB triples all over the cube of colours: a profile that moves none of them is sRGB under another name, and most are.
fn color_cube() -> Vec<u8> {
    let steps = || (0..=255).step_by(17);
    steps().flat_map(|r| steps().flat_map(move |g| steps().flat_map(move |b| [r, g, b]))).collect()
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
