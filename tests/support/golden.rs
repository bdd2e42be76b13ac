//! A network and a photo that are made up here, and what is answered: the same natively and in every browser.

use husky::{Classifier, weights};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use crate::common;

/// The probability of the first label, as `cargo test --test golden` computed it natively.
const PROBABILITY: f32 = 0.505_236_15;

/// Classifies the photo, from its file's bytes.
pub fn check() {
    let spec = common::classic();
    let model = weights::write(&spec, &common::weights(&spec, 7), weights::Precision::F32).unwrap();
    let wave = |x: u32, y: u32| ((x * 7 + y * 3) % 256) as u8;
    let picture = RgbImage::from_fn(300, 200, |x, y| Rgb([wave(x, y), wave(y, x), wave(x, x)]));
    let mut photo = std::io::Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut photo, ImageFormat::Jpeg).unwrap();
    let verdict = Classifier::load(&model).unwrap().classify(photo.get_ref()).unwrap();
    let difference = verdict.probabilities[0] - PROBABILITY;
    assert!(difference.abs() < 1e-6, "{} is not {PROBABILITY}", verdict.probabilities[0]);
}
