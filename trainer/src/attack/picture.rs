//! Photos before and after, for people to look at.

use image::{Rgb, RgbImage, imageops};

use super::{Attempt, Picture};
use crate::captions;

/// Rows.
const SHOWN: usize = 8;
const GAP: u32 = 8;
/// How many times larger the difference is shown.
const AMPLIFIED: i32 = 16;

/// Draws some of the attempts, those that worked first: before, after, and their difference around grey.
pub fn draw(size: u32, attempts: &[Attempt]) -> RgbImage {
    let mut shown: Vec<&Attempt> = attempts.iter().collect();
    shown.sort_by_key(|attempt| !attempt.fooled);
    // Of all that worked, weak and strong ones.
    let worked = shown.iter().filter(|attempt| attempt.fooled).count().max(SHOWN.min(shown.len()));
    let shown: Vec<&Attempt> = shown.iter().take(worked).step_by(worked.div_ceil(SHOWN).max(1)).copied().collect();
    let row = captions::HEIGHT + size + GAP;
    let mut sheet = RgbImage::from_pixel(3 * (size + GAP) + GAP, shown.len() as u32 * row + GAP, Rgb([255; 3]));
    for (i, Attempt { from, before, after, .. }) in shown.into_iter().enumerate() {
        let y = GAP + i as u32 * row;
        let difference = before
            .rgb
            .iter()
            .zip(&after.rgb)
            .map(|(&a, &b)| (128 + AMPLIFIED * (i32::from(b) - i32::from(a))).clamp(0, 255) as u8);
        let columns = [
            (before.rgb.clone(), answer(before)),
            (after.rgb.clone(), answer(after)),
            (difference.collect(), format!("{from}: difference x {AMPLIFIED}")),
        ];
        for (column, (rgb, caption)) in columns.into_iter().enumerate() {
            let x = GAP + column as u32 * (size + GAP);
            captions::write(&mut sheet, &caption, [x, y], size);
            // `rgb` has the size of the network's input.
            if let Some(picture) = RgbImage::from_raw(size, size, rgb) {
                imageops::replace(&mut sheet, &picture, x.into(), (y + captions::HEIGHT).into());
            }
        }
    }
    sheet
}

fn answer(Picture { verdict, .. }: &Picture) -> String {
    let doubt = if verdict.unsure { ", unsure" } else { "" };
    format!("{} {:.0} %{doubt}", verdict.label, 100.0 * verdict.probability)
}
