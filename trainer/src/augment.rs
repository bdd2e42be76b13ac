//! Random distortions of training pictures, with the meanings of Keras' `ImageDataGenerator`.
//!
//! Formulas: `get_random_transform`, `apply_transform` and `apply_affine_transform` of
//! `keras/src/legacy/preprocessing/image.py` (keras-team/keras, commit 0a54048), with `fill_mode="nearest"`.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The ranges that [`Affine`] distortions are drawn from. All zero and `false` changes nothing.
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
}

/// One distortion of one picture: where in the input each output pixel is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Takes an output pixel's `(x, y)` to the input's; both are counted from the picture's centre.
    matrix: [[f64; 2]; 2],
    /// Whether the result is mirrored.
    flip: bool,
}

impl Augmentation {
    /// The article's `ImageDataGenerator(shear_range=0.2, zoom_range=0.2, rotation_range=30, horizontal_flip=True)`.
    pub const ARTICLE: Self = Self { rotation_range: 30.0, shear_range: 0.2, zoom_range: 0.2, horizontal_flip: true };

    /// Draws a distortion.
    pub fn sample(&self, rng: &mut impl Rng) -> Affine {
        let mut within = |range: f64| rng.random_range(-range..=range);
        let rotation = within(self.rotation_range);
        let shear = within(self.shear_range);
        let zoom = [1.0 + within(self.zoom_range), 1.0 + within(self.zoom_range)];
        Affine::new(rotation, shear, zoom, rng.random_bool(0.5) && self.horizontal_flip)
    }
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
        Self { matrix, flip }
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
        for (y, row) in out.chunks_exact_mut(size).enumerate() {
            let dy = y as f64 - center;
            for (x, pixel) in row.iter_mut().enumerate() {
                let dx = if self.flip { last - x } else { x } as f64 - center;
                let from_x = ((xx * dx + xy * dy + center) as f32).clamp(0.0, edge);
                let from_y = ((yx * dx + yy * dy + center) as f32).clamp(0.0, edge);
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
