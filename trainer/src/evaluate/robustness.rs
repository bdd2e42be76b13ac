//! How the answers hold when the same photos come compressed, blurred, turned, in other light or on a screenshot.

use anyhow::{Context, Result, anyhow};
use husky::{Classifier, Pixels};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder, Rgb, RgbImage, imageops};
use rayon::prelude::*;
use serde::Serialize;

use crate::judge::{Photo, judged};
use crate::photos;
use crate::progress::Progress;

/// What happens to a photo before it is judged.
type Distort = fn(RgbImage) -> Result<RgbImage>;

/// Every distortion by name, mild before strong.
const DISTORTIONS: [(&str, Distort); 18] = [
    ("JPEG, quality 90", |photo| jpeg(&photo, 90, 1)),
    ("JPEG, quality 70", |photo| jpeg(&photo, 70, 1)),
    ("JPEG, quality 50", |photo| jpeg(&photo, 50, 1)),
    ("JPEG, quality 20", |photo| jpeg(&photo, 20, 1)),
    ("blurred by a 240th of the side", |photo| Ok(blurred(&photo, 1.0 / 240.0))),
    ("blurred by a 120th", |photo| Ok(blurred(&photo, 1.0 / 120.0))),
    ("blurred by a 60th", |photo| Ok(blurred(&photo, 1.0 / 60.0))),
    ("half as bright", |photo| Ok(brighter(photo, 0.5))),
    ("half as bright again", |photo| Ok(brighter(photo, 1.5))),
    ("grey", |photo| Ok(DynamicImage::from(DynamicImage::from(photo).to_luma8()).into_rgb8())),
    ("mirrored", |photo| Ok(imageops::flip_horizontal(&photo))),
    // 6, 3 and 8 ask for the turn back (Exif 2.3, tag 0x0112).
    ("turned by 90°, EXIF says so", |photo| jpeg(&imageops::rotate270(&photo), 95, 6)),
    ("turned by 180°, EXIF says so", |photo| jpeg(&imageops::rotate180(&photo), 95, 3)),
    ("turned by 270°, EXIF says so", |photo| jpeg(&imageops::rotate90(&photo), 95, 8)),
    ("turned by 90°", |photo| Ok(imageops::rotate90(&photo))),
    ("turned by 180°", |photo| Ok(imageops::rotate180(&photo))),
    ("64 pixels large", |photo| Ok(DynamicImage::from(photo).thumbnail(64, 64).into_rgb8())),
    ("on a phone's screenshot", |photo| Ok(screenshot(photo))),
];

/// Pixels across a phone's screen, at most.
const SCREEN: u32 = 2048;

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What happened to the photos.
    pub distortion: &'static str,
    /// Area under the ROC curve, of two labels.
    pub roc_auc: Option<f64>,
    /// Mean over the labels of the share of right answers.
    pub balanced_accuracy: f64,
    /// The share of the photos that got another answer than undistorted.
    pub changed: f64,
    /// The share of the photos about which the model is sure.
    pub coverage: f64,
}

/// Judges all photos again under every distortion.
///
/// # Errors
/// A photo can't be read any more.
pub fn rows(classifier: &Classifier, photos: &[Photo]) -> Result<Vec<Row>> {
    let progress = Progress::new("judging distorted photos", DISTORTIONS.len() * photos.len());
    let judge = |(distortion, distort): (&'static str, Distort)| {
        let judge = |photo: &Photo| -> Result<Photo> {
            let picture = distort(decode(&photos::read(&photo.file)?)?)?;
            let picture = Pixels::from_rgb(picture.width(), picture.height(), picture.into_raw())?;
            progress.step();
            Ok(Photo { verdict: classifier.classify_pixels(&picture)?, ..photo.clone() })
        };
        let judge = |photo: &Photo| judge(photo).with_context(|| photo.file.display().to_string());
        let distorted = photos.par_iter().map(judge).collect::<Result<Vec<_>>>()?;
        let figures = judged(&distorted, &classifier.spec().labels).figures();
        let share = |is: &dyn Fn(&(&Photo, &Photo)) -> bool| {
            let count = photos.iter().zip(&distorted).filter(is).count();
            count as f64 / photos.len() as f64
        };
        Ok(Row {
            distortion,
            roc_auc: figures.roc_auc,
            balanced_accuracy: figures.balanced_accuracy,
            changed: share(&|(before, after)| before.verdict.label != after.verdict.label),
            coverage: share(&|(_, after)| !after.verdict.unsure),
        })
    };
    DISTORTIONS.into_iter().map(judge).collect()
}

fn decode(file: &[u8]) -> Result<RgbImage> {
    // As if for the largest input, so that nothing but the distortion changes the size.
    let pixels = husky::decode::decode(file, husky::spec::Input::MAX_SIZE)?;
    let (width, height) = (pixels.width(), pixels.height());
    RgbImage::from_raw(width, height, pixels.into_rgb())
        .ok_or_else(|| anyhow!("a picture has another size than it says"))
}

/// As a JPEG file, whose EXIF data has this orientation, and back.
fn jpeg(photo: &RgbImage, quality: u8, orientation: u8) -> Result<RgbImage> {
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, quality);
    // A TIFF header, and a directory of one entry: tag 0x0112, a 16-bit number, one of it.
    let exif = [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], &[0; 6]].concat();
    encoder.set_exif_metadata(exif)?;
    encoder.encode(photo, photo.width(), photo.height(), image::ExtendedColorType::Rgb8)?;
    decode(&file)
}

/// The deviation of the blur is this share of the longer side.
fn blurred(photo: &RgbImage, share: f32) -> RgbImage {
    imageops::fast_blur(photo, share * photo.width().max(photo.height()) as f32)
}

fn brighter(mut photo: RgbImage, factor: f32) -> RgbImage {
    photo.iter_mut().for_each(|value| *value = (f32::from(*value) * factor) as u8);
    photo
}

/// On a black page of twice a screen's width in height, below a light bar. No screen shows all of a camera's pixels.
fn screenshot(mut photo: RgbImage) -> RgbImage {
    if photo.width() > SCREEN || photo.height() > 2 * SCREEN {
        photo = DynamicImage::from(photo).thumbnail(SCREEN, 2 * SCREEN).into_rgb8();
    }
    let (width, height) = photo.dimensions();
    let bar = width / 8;
    let page = (2 * width).max(height + 2 * bar);
    let light = |y| if y < bar { Rgb([240; 3]) } else { Rgb([0; 3]) };
    let mut screen = RgbImage::from_fn(width, page, |_, y| light(y));
    imageops::replace(&mut screen, &photo, 0, i64::from((page - height) / 2));
    screen
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Bright at the left and at the top.
    fn photo() -> RgbImage {
        RgbImage::from_fn(80, 60, |x, y| Rgb([255 - 3 * x as u8, 255 - 4 * y as u8, 128]))
    }

    fn distance(a: &RgbImage, b: &RgbImage) -> f64 {
        assert_eq!(a.dimensions(), b.dimensions());
        a.iter().zip(b.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn what_exif_turns_back_is_the_photo_again_and_what_it_does_not_is_not() {
        for (name, distort) in DISTORTIONS {
            let distorted = distort(photo()).unwrap();
            if name.contains("EXIF") || name == "JPEG, quality 90" {
                assert!(distance(&photo(), &distorted) < 3.0, "{name}");
            } else if distorted.dimensions() == (80, 60) {
                assert!(distorted != photo(), "{name}");
            }
        }
    }

    #[test]
    fn a_screenshot_is_high_and_has_the_photo_in_the_middle() {
        let screen = screenshot(photo());
        assert_eq!(screen.dimensions(), (80, 160));
        assert_eq!((screen.get_pixel(0, 50), screen.get_pixel(0, 0).0), (photo().get_pixel(0, 0), [240; 3]));
        // 24 megapixels would be 72 on such a page, more than a photo may have.
        assert_eq!(screenshot(RgbImage::new(6000, 4000)).dimensions(), (2048, 4096));
    }
}
