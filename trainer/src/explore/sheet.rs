//! Photos under their labels, as the article shows a sample of its data.

use std::convert::Infallible;

use anyhow::{Context, Result};
use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoTextStyle, iso_8859_1::FONT_7X13};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};
use image::{Rgb, RgbImage, imageops};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::photos;
use crate::random::{Stream, rng};
use crate::scan::{Photo, Scan};

const COLUMNS: usize = 8;
const ROWS: usize = 5;
/// Of a photo, which is stretched as for the network, in pixels.
const SIDE: u32 = 128;
/// Room for a label above its photo.
const CAPTION: u32 = 18;
const GAP: u32 = 8;
/// Letters, of 7 pixels, that fit over a photo.
const LETTERS: usize = SIDE as usize / 7;

/// Draws photos for training, which are taken at random, of each label as many as far as there are.
///
/// # Errors
/// One sentence for a photo that can't be read any more.
pub fn draw(Scan { labels, photos, .. }: &Scan, seed: u64) -> Result<RgbImage> {
    let random = |label: usize| rng(seed, Stream::Sample, 0, label as u64);
    let mut by_label: Vec<_> = (0..labels.len())
        .map(|label| {
            let is_of = |photo: &&Photo| !photo.in_validation && photo.label == label;
            let mut photos: Vec<&Photo> = photos.iter().filter(is_of).collect();
            photos.shuffle(&mut random(label));
            photos.into_iter()
        })
        .collect();
    let rounds = (0..photos.len()).flat_map(|_| by_label.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>());
    let mut sample: Vec<&Photo> = rounds.take(COLUMNS * ROWS).collect();
    sample.shuffle(&mut random(labels.len()));
    let count = sample.len();
    let pictures = sample.par_iter().map(|photo| picture(photo)).collect::<Result<Vec<_>>>()?;
    let (columns, rows) = (COLUMNS.min(count) as u32, count.div_ceil(COLUMNS) as u32);
    let size = [columns * (SIDE + GAP) + GAP, rows * (CAPTION + SIDE + GAP) + GAP];
    let mut sheet = Sheet(RgbImage::from_pixel(size[0], size[1], Rgb([255; 3])));
    for (place, (picture, photo)) in pictures.iter().zip(&sample).enumerate() {
        let x = GAP + (place % COLUMNS) as u32 * (SIDE + GAP);
        let y = GAP + (place / COLUMNS) as u32 * (CAPTION + SIDE + GAP);
        let label: String = labels[photo.label].chars().take(LETTERS).collect();
        let style = MonoTextStyle::new(&FONT_7X13, BinaryColor::On);
        let Ok(_) = Text::with_baseline(&label, Point::new(x as i32, y as i32), style, Baseline::Top).draw(&mut sheet);
        imageops::replace(&mut sheet.0, picture, x.into(), (y + CAPTION).into());
    }
    Ok(sheet.0)
}

fn picture(photo: &Photo) -> Result<RgbImage> {
    let named = || photo.file.display().to_string();
    let pixels = husky::decode::decode(&photos::read(&photo.file).with_context(named)?, SIDE).with_context(named)?;
    let rgb = husky::resize::resize(&pixels, SIDE).into_rgb();
    RgbImage::from_raw(SIDE, SIDE, rgb).with_context(named)
}

/// Where the letters are drawn, in black.
struct Sheet(RgbImage);

impl OriginDimensions for Sheet {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Sheet {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(Point { x, y }, color) in pixels {
            if color.is_on()
                && let Some(pixel) = self.0.get_pixel_mut_checked(x as u32, y as u32)
            {
                *pixel = Rgb([0; 3]);
            }
        }
        Ok(())
    }
}
