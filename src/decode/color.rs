//! A picture's values as its colour profile means them, in sRGB.

use image::DynamicImage;
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::to_pixels;
use crate::{Error, Pixels, Result};

/// Converts a picture whose values are meant as `profile` says.
pub(super) fn to_srgb(image: DynamicImage, profile: &[u8]) -> Result<Pixels> {
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
