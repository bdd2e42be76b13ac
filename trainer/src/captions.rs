//! Words in a picture.

use std::convert::Infallible;

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoTextStyle, iso_8859_1::FONT_7X13};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};
use image::{Rgb, RgbImage};

/// Height of a line in pixels, with room below it.
pub const HEIGHT: u32 = 18;
/// Width of a letter in pixels.
const LETTER: u32 = 7;

/// Writes a line of text into a picture, in black, its upper left corner at `x` and `y`; what is longer than `width` pixels is
/// cut off.
pub fn write(picture: &mut RgbImage, text: &str, [x, y]: [u32; 2], width: u32) {
    let text: String = text.chars().take((width / LETTER) as usize).collect();
    let style = MonoTextStyle::new(&FONT_7X13, BinaryColor::On);
    let Ok(_) =
        Text::with_baseline(&text, Point::new(x as i32, y as i32), style, Baseline::Top).draw(&mut Ink(picture));
}

struct Ink<'a>(&'a mut RgbImage);

impl OriginDimensions for Ink<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Ink<'_> {
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
