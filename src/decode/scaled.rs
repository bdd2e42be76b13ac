//! Large JPEG files, straight to a fraction of their size: a block of 8x8 pixels is stored as frequencies (ITU-T T.81,
//! annex A), and the lowest of them alone are the block in 2x2 pixels or in one, weighing each pixel of it. A tenth of the
//! memory, and half of the time.

use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{Decoder, PixelFormat};

/// How many pixels a side become one. Half the size is no faster than the whole by the decoder for that.
const FACTORS: [u32; 2] = [8, 4];

/// The picture in an eighth or a quarter of its width and height, rounded up, where at least `side` pixels are left of
/// both. Its colours are the file's own.
///
/// `None`: the picture is smaller, of a rare kind, or damaged.
pub(super) fn decode(jpeg: &[u8], width: u32, height: u32, side: u32) -> Option<DynamicImage> {
    let scaled = |length: u32, factor| u16::try_from(length.div_ceil(factor)).ok();
    let factor = FACTORS.into_iter().find(|&factor| width.min(height).div_ceil(factor) >= side)?;
    let mut decoder = Decoder::new(jpeg);
    let (width, height) = decoder.scale(scaled(width, factor)?, scaled(height, factor)?).ok()?;
    let (width, height) = (width.into(), height.into());
    match decoder.info()?.pixel_format {
        PixelFormat::L8 => GrayImage::from_raw(width, height, decoder.decode().ok()?).map(Into::into),
        PixelFormat::RGB24 => RgbImage::from_raw(width, height, decoder.decode().ok()?).map(Into::into),
        PixelFormat::L16 | PixelFormat::CMYK32 => None,
    }
}
