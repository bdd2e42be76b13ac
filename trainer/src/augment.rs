//! Random distortions of training pictures: with the meanings of Keras' `ImageDataGenerator`, and three that came later.
//!
//! Formulas of the former: `get_random_transform`, `apply_transform` and `apply_affine_transform` of
//! `keras/src/legacy/preprocessing/image.py` (keras-team/keras, commit 0a54048), with `fill_mode="nearest"`.

use std::ops::RangeInclusive;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The ranges that a [`Distortion`] is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Turn by up to so many degrees either way
    #[arg(long, default_value_t = Self::ARTICLE.rotation_range, value_name = "DEGREES")]
    pub rotation_range: f64,
    /// Shear by up to so many degrees either way (degrees are Keras' meaning of the article's 0.2)
    #[arg(long, default_value_t = Self::ARTICLE.shear_range, value_name = "DEGREES")]
    pub shear_range: f64,
    /// Zoom width and height, each on its own, by a factor within 1 plus or minus this
    #[arg(long, default_value_t = Self::ARTICLE.zoom_range, value_name = "SHARE")]
    pub zoom_range: f64,
    /// Mirror one photo of two
    #[arg(long, default_value_t = Self::ARTICLE.horizontal_flip, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub horizontal_flip: bool,
    /// Show a random part of each photo, of at least this share of its area and with its sides stretched against each
    /// other by up to a third (Szegedy et al. 2015); 1 shows all of it
    #[arg(long, default_value_t = Self::ARTICLE.random_crop, value_name = "SHARE")]
    pub random_crop: f64,
    /// Change brightness, contrast and saturation, each by a factor within 1 plus or minus this
    #[arg(long, default_value_t = Self::ARTICLE.color_jitter, value_name = "SHARE")]
    pub color_jitter: f64,
    /// Paint over a random rectangle in this share of the photos (Zhong et al. 2020)
    #[arg(long, default_value_t = Self::ARTICLE.random_erasing, value_name = "SHARE")]
    pub random_erasing: f64,
}

/// All that happens to one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    /// Where each pixel comes from.
    pub affine: Affine,
    /// What happens to its colour.
    pub jitter: Option<Jitter>,
    /// What is painted over at last.
    pub erasing: Option<Erasing>,
}

/// Where in the input each output pixel is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Takes an output pixel's `(x, y)` to the input's; both are counted from the picture's centre.
    matrix: [[f64; 2]; 2],
    /// Added to that, in sides of the picture.
    shift: [f64; 2],
    /// Whether the result is mirrored.
    flip: bool,
}

/// Factors of brightness, contrast and saturation, in this order (those of torchvision's `ColorJitter`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// Of every value.
    pub brightness: f32,
    /// Of the distance from the picture's mean grey.
    pub contrast: f32,
    /// Of the distance from the pixel's own grey.
    pub saturation: f32,
}

/// A rectangle of one colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Erasing {
    /// Width and height, in sides of the picture.
    pub size: [f64; 2],
    /// Its left and upper edge, likewise.
    pub corner: [f64; 2],
    /// Red, green and blue in `0..=255`.
    pub color: [f32; 3],
}

impl Augmentation {
    /// The article's `ImageDataGenerator(shear_range=0.2, zoom_range=0.2, rotation_range=30, horizontal_flip=True)`.
    pub const ARTICLE: Self =
        Self { rotation_range: 30.0, shear_range: 0.2, zoom_range: 0.2, horizontal_flip: true, ..Self::NONE };

    /// Changes nothing.
    pub const NONE: Self = Self {
        rotation_range: 0.0,
        shear_range: 0.0,
        zoom_range: 0.0,
        horizontal_flip: false,
        random_crop: 1.0,
        color_jitter: 0.0,
        random_erasing: 0.0,
    };

    /// Draws a distortion.
    pub fn sample(&self, rng: &mut impl Rng) -> Distortion {
        let mut within = |range: f64| rng.random_range(-range..=range);
        let rotation = within(self.rotation_range);
        let shear = within(self.shear_range);
        let zoom = [1.0 + within(self.zoom_range), 1.0 + within(self.zoom_range)];
        let affine = Affine::new(rotation, shear, zoom, rng.random_bool(0.5) && self.horizontal_flip);
        let affine = if self.random_crop < 1.0 {
            let [size, corner] = rectangle(rng, self.random_crop..=1.0, 0.75);
            affine.crop(size, corner)
        } else {
            affine
        };
        let jitter = (self.color_jitter > 0.0).then(|| {
            let mut factor = || 1.0 + rng.random_range(-self.color_jitter..=self.color_jitter) as f32;
            Jitter { brightness: factor(), contrast: factor(), saturation: factor() }
        });
        let erasing = (self.random_erasing > 0.0 && rng.random_bool(self.random_erasing)).then(|| {
            let [size, corner] = rectangle(rng, 0.02..=0.2, 0.3);
            Erasing { size, corner, color: std::array::from_fn(|_| rng.random_range(0.0..=255.0)) }
        });
        Distortion { affine, jitter, erasing }
    }
}

/// Size and corner of a rectangle within the unit square: of an area in `areas`, its width at least `aspect` times its
/// height and no more than its inverse, as far as it fits.
fn rectangle(rng: &mut impl Rng, areas: RangeInclusive<f64>, aspect: f64) -> [[f64; 2]; 2] {
    let area = rng.random_range(areas);
    let stretch = rng.random_range(aspect.ln()..=-aspect.ln()).exp();
    let size = [(area * stretch).sqrt().min(1.0), (area / stretch).sqrt().min(1.0)];
    [size, size.map(|length| rng.random_range(0.0..=1.0 - length))]
}

impl Distortion {
    /// Distorts `rgb`, `[size, size, 3]`, into `out` of the same shape, with values in `0..=255` that are not rounded.
    ///
    /// # Panics
    /// If a slice has another length than `size * size * 3`, or that is nothing.
    pub fn apply(&self, rgb: &[u8], size: usize, out: &mut [f32]) {
        self.affine.apply(rgb, size, out);
        if let Some(jitter) = self.jitter {
            jitter.apply(out);
        }
        if let Some(Erasing { size: [width, height], corner: [left, top], color }) = self.erasing {
            let place = |share: f64| (share * size as f64).round() as usize;
            for row in out.as_chunks_mut::<3>().0.chunks_mut(size).take(place(top + height)).skip(place(top)) {
                row[place(left)..place(left + width).min(size)].fill(color);
            }
        }
    }
}

impl Jitter {
    /// Changes the colours of a picture, `[.., 3]` values in `0..=255`.
    pub fn apply(&self, picture: &mut [f32]) {
        let pixels = picture.as_chunks_mut::<3>().0;
        // In f64, since the pictures are many and the mean is of all.
        let mean = pixels.iter().map(|&pixel| f64::from(luma(pixel))).sum::<f64>() / pixels.len() as f64;
        let mean = mean as f32 * self.brightness;
        for pixel in pixels {
            let contrasted = pixel.map(|value| (value * self.brightness - mean) * self.contrast + mean);
            let grey = luma(contrasted);
            *pixel = contrasted.map(|value| ((value - grey) * self.saturation + grey).clamp(0.0, 255.0));
        }
    }
}

/// The grey of a pixel (ITU-R BT.601).
fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

impl Affine {
    /// A rotation and a shear in degrees, a zoom of width and height (above 1 shows more of the picture, smaller), and a
    /// mirroring after them.
    pub fn new(rotation: f64, shear: f64, [zoom_x, zoom_y]: [f64; 2], flip: bool) -> Self {
        let (sin, cos) = rotation.to_radians().sin_cos();
        let (shear_sin, shear_cos) = shear.to_radians().sin_cos();
        // rotation [[cos, -sin], [sin, cos]] * shear [[1, -sin], [0, cos]] * zoom [[zx, 0], [0, zy]]
        let matrix = [
            [cos * zoom_x, (-cos * shear_sin - sin * shear_cos) * zoom_y],
            [sin * zoom_x, (-sin * shear_sin + cos * shear_cos) * zoom_y],
        ];
        Self { matrix, shift: [0.0; 2], flip }
    }

    /// The same, but of a rectangle of the picture, whose size and left upper corner are given in sides of the picture.
    #[must_use]
    pub fn crop(self, [width, height]: [f64; 2], [left, top]: [f64; 2]) -> Self {
        let matrix = self.matrix.map(|[x, y]| [x * width, y * height]);
        Self { matrix, shift: [left + width / 2.0 - 0.5, top + height / 2.0 - 0.5], ..self }
    }

    /// Distorts `rgb`, `[size, size, 3]`, into `out` of the same shape, with values in `0..=255` that are not rounded:
    /// bilinear between pixels, the nearest edge pixel outside.
    ///
    /// # Panics
    /// If a slice has another length than `size * size * 3`, or that is nothing.
    pub fn apply(&self, rgb: &[u8], size: usize, out: &mut [f32]) {
        assert!(size > 0 && rgb.len() == size * size * 3 && out.len() == rgb.len());
        let (pixels, out) = (rgb.as_chunks::<3>().0, out.as_chunks_mut::<3>().0);
        let [[xx, xy], [yx, yy]] = self.matrix;
        let last = size - 1;
        let edge = last as f32;
        let center = last as f64 / 2.0;
        let [shift_x, shift_y] = self.shift.map(|shift| shift * size as f64 + center);
        for (y, row) in out.chunks_exact_mut(size).enumerate() {
            let dy = y as f64 - center;
            for (x, pixel) in row.iter_mut().enumerate() {
                let dx = if self.flip { last - x } else { x } as f64 - center;
                let from_x = ((xx * dx + xy * dy + shift_x) as f32).clamp(0.0, edge);
                let from_y = ((yx * dx + yy * dy + shift_y) as f32).clamp(0.0, edge);
                let (left, top) = (from_x as usize, from_y as usize);
                let (right, bottom) = ((left + 1).min(last), (top + 1).min(last));
                let (fx, fy) = (from_x - left as f32, from_y - top as f32);
                let [a, b] = [pixels[top * size + left], pixels[top * size + right]];
                let [c, d] = [pixels[bottom * size + left], pixels[bottom * size + right]];
                for channel in 0..3 {
                    let [a, b, c, d] = [a, b, c, d].map(|p| f32::from(p[channel]));
                    let upper = a + (b - a) * fx;
                    let lower = c + (d - c) * fx;
                    pixel[channel] = upper + (lower - upper) * fy;
                }
            }
        }
    }
}
