//! Why an answer is as it is, for people to look at: the places of a photo that it rests on, and what the convolutions
//! see.

pub use crate::engine::{FeatureMaps, Heat};
use crate::{Classifier, Error, Pixels, Result, Verdict, argmax, resize};

/// An answer, and where in the photo it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The answer, as [`Classifier::classify_pixels`] gives it.
    pub verdict: Verdict,
    /// The label that the heat speaks of.
    pub label: String,
    /// What each place of the photo adds to the logit of `label`, over the whole photo.
    pub heat: Heat,
}

impl Classifier {
    /// Judges a picture and says what speaks for `label`, the index of one of the model's, or for the label that is answered.
    ///
    /// # Errors
    /// [`Error::ModelAnswer`] where the network's answer is no number.
    ///
    /// # Panics
    /// If the model has no such label.
    pub fn explain(&self, pixels: &Pixels, label: Option<usize>) -> Result<Explanation> {
        let spec = self.spec();
        let photo = self.shrink(pixels);
        let mut answered = Err(Error::ModelAnswer);
        let (_, mut heat) = self.network().explain(&spec.input.normalize(photo.picture.rgb()), |logits| {
            answered = self.verdict(&photo, logits);
            // Of two labels, one logit speaks for the first and against the second.
            if logits.len() == 1 { 0 } else { label.unwrap_or_else(|| argmax(logits)) }
        });
        let verdict = answered?;
        let label = label.map_or(&verdict.label, |label| &spec.labels[label]);
        if spec.labels.len() == 2 && *label == spec.labels[1] {
            heat.values.iter_mut().for_each(|value| *value = -*value);
        }
        Ok(Explanation { label: label.clone(), verdict, heat })
    }

    /// What each convolution of the network makes of a picture, first to last.
    pub fn feature_maps(&self, pixels: &Pixels) -> Vec<FeatureMaps> {
        let picture = resize::resize(pixels, self.spec().input.size);
        self.network().feature_maps(&self.spec().input.normalize(picture.rgb()))
    }
}

/// The heat as a picture to lay over the photo, `[height, width, 4]` bytes of RGBA: the more a place speaks for the label,
/// the less transparent, from red to yellow. What speaks against it is not seen.
pub fn overlay(heat: &Heat) -> Vec<u8> {
    let largest = heat.values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let color = |value: &f32| {
        let share = (value / largest).max(0.0);
        [255, (220.0 * share) as u8, 0, (200.0 * share) as u8]
    };
    heat.values.iter().flat_map(color).collect()
}

/// Feature maps side by side, each `tile` pixels wide and high: a row or more for each layer, `columns` maps in a row, and
/// no more than `most` of a layer. Each map is spread around its own mean, as in Chollet's "Deep Learning with Python".
///
/// # Errors
/// [`Error::PhotoDimensions`] where that makes no picture, or too large a one.
pub fn mosaic(layers: &[FeatureMaps], tile: usize, columns: usize, most: usize) -> Result<Pixels> {
    // A dark pixel between the tiles.
    let pitch = tile + 1;
    let rows: usize = layers.iter().map(|maps| maps.channels.min(most).div_ceil(columns.max(1))).sum();
    let (width, height) = (columns * pitch, rows * pitch);
    // Without pixels in it a tile is no picture, whatever lies between tiles.
    Pixels::check_size(if tile == 0 { 0 } else { width as u32 }, height as u32)?;
    let mut rgb = vec![0; width * height * 3];
    let mut first_row = 0;
    for maps in layers {
        let count = maps.channels.min(most);
        for channel in 0..count {
            let (row, column) = (first_row + channel / columns, channel % columns);
            for (y, values) in scaled(maps, channel, tile).chunks_exact(tile).enumerate() {
                let start = ((row * pitch + y) * width + column * pitch) * 3;
                let pixels = rgb[start..start + tile * 3].chunks_exact_mut(3);
                pixels.zip(values).for_each(|(pixel, &value)| pixel.copy_from_slice(&viridis(value)));
            }
        }
        first_row += count.div_ceil(columns);
    }
    Pixels::from_rgb(width as u32, height as u32, rgb)
}

/// One map, `tile` pixels wide and high, in `0..=1`.
fn scaled(maps: &FeatureMaps, channel: usize, tile: usize) -> Vec<f32> {
    let FeatureMaps { height, width, channels, .. } = *maps;
    let value = |y: usize, x: usize| maps.values[(y * width + x) * channels + channel];
    // The values that a pixel of the tile stands for, at least one.
    let span = |place: usize, length: usize| {
        let first = place * length / tile;
        first..((place + 1) * length / tile).max(first + 1)
    };
    let mean = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        let count = (rows.len() * columns.len()) as f32;
        rows.flat_map(|y| columns.clone().map(move |x| value(y, x))).sum::<f32>() / count
    };
    let average = mean(0..height, 0..width);
    let variance = maps.values.iter().skip(channel).step_by(channels).map(|x| (x - average).powi(2)).sum::<f32>();
    let deviation = (variance / (height * width) as f32).sqrt().max(1e-5);
    let shown = |(y, x)| ((mean(span(y, height), span(x, width)) - average) / deviation * 0.25 + 0.5).clamp(0.0, 1.0);
    (0..tile * tile).map(|i| shown((i / tile, i % tile))).collect()
}

/// matplotlib's colours for `0..=1`, between five of them.
fn viridis(value: f32) -> [u8; 3] {
    const STOPS: [[f32; 3]; 5] =
        [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [253.0, 231.0, 37.0]];
    let place = value * (STOPS.len() - 1) as f32;
    let before = (place as usize).min(STOPS.len() - 2);
    let share = place - before as f32;
    let [mut color, after] = [STOPS[before], STOPS[before + 1]];
    color.iter_mut().zip(after).for_each(|(color, after)| *color += (after - *color) * share);
    color.map(|value| value as u8)
}
