//! Drawn pictures to learn and to judge, the same in every test.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

use std::{fs, path::Path};

use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};
use trainer::random::{Stream, rng};

/// The drawings' labels, in alphabetical order.
pub const LABELS: [&str; 2] = ["disc", "stripes"];

/// Draws `count` pictures of each label into `folder/disc` and `folder/stripes`, as PNG files of 40x30 pixels. No two
/// pictures are the same, unless they have the same `seed`, label and number.
pub fn draw(folder: &Path, seed: u64, count: u64) {
    for (label, name) in LABELS.into_iter().enumerate() {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..count {
            let picture = picture(label, seed, number);
            picture.save(folder.join(name).join(format!("{name}_{number:04}.png"))).unwrap();
        }
    }
}

/// A drawing of `LABELS[label]`: a disc of any place and size, or stripes of any place, width and angle, in two random
/// colours that differ, under noise.
pub fn picture(label: usize, seed: u64, number: u64) -> RgbImage {
    let mut rng = rng(seed, Stream::Initialization, 1000 + label as u64, number);
    let [paper, ink] = colors(&mut rng);
    let (width, height) = (40, 30);
    let (center_x, center_y) = (rng.random_range(12.0..28.0), rng.random_range(10.0..20.0));
    let (radius, angle): (f64, f64) = (rng.random_range(6.0..10.0), rng.random_range(0.0..3.0));
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (f64::from(x) - center_x, f64::from(y) - center_y);
        let inside = match label {
            0 => x.hypot(y) < radius,
            _ => ((x * angle.cos() + y * angle.sin()) / radius * 6.0).sin() > 0.0,
        };
        let color = if inside { ink } else { paper };
        Rgb(color.map(|c: u8| c.saturating_add_signed(rng.random_range(-15..=15))))
    })
}

fn colors(rng: &mut impl Rng) -> [[u8; 3]; 2] {
    loop {
        let colors: [[u8; 3]; 2] = rng.random();
        let [a, b] = colors.map(|color| color.iter().map(|&c| i32::from(c)).sum::<i32>());
        if (a - b).abs() > 200 {
            return colors;
        }
    }
}
