//! What the millions of a model's weights pass through when they are loaded, and of a picture's pixels before the network.
//! None is inlined: in a caller that is built for size its loop would not become vectors. And what is long goes in pieces,
//! as that of the kernels does (`piece` in `lib.rs`).

use std::borrow::Cow;

/// Values that one call takes.
const PIECE: usize = 1 << 14;

/// Red, green and blue of pixels with straight alpha, laid over white.
#[inline(never)]
pub fn over_white(rgba: &[u8]) -> Vec<u8> {
    let blend = |color: u8, alpha: u8| {
        let (color, alpha) = (u32::from(color), u32::from(alpha));
        ((color * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let mut rgb = vec![0; rgba.len() / 4 * 3];
    for (rgb, &[r, g, b, a]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(rgba.as_chunks::<4>().0) {
        // Cameras know nothing else.
        *rgb = if a == 255 { [r, g, b] } else { [r, g, b].map(|color| blend(color, a)) };
    }
    rgb
}

/// `(value - mean) * scale` of each value of pixels of three, in `0..=255`.
#[inline(never)]
pub fn normalize(rgb: &[u8], mean: [f32; 3], scale: [f32; 3]) -> Vec<f32> {
    let mut values = vec![0.0; rgb.len()];
    for (values, pixel) in values.as_chunks_mut::<3>().0.iter_mut().zip(rgb.as_chunks::<3>().0) {
        *values = normalize_pixel(pixel.map(f32::from), mean, scale);
    }
    values
}

/// `(value - mean) * scale` of one pixel.
pub fn normalize_pixel(pixel: [f32; 3], mean: [f32; 3], scale: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|c| (pixel[c] - mean[c]) * scale[c])
}

/// Trained values, as a model file has them.
pub enum Values {
    /// 32-bit floats.
    Singles(Vec<f32>),
    /// The bits of 16-bit floats.
    Halves(Vec<u16>),
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::Singles(values)
    }
}

impl Values {
    /// 16-bit floats, little-endian.
    #[inline(never)]
    pub fn from_halves(bytes: &[u8]) -> Self {
        Self::Halves(bytes.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b)).collect())
    }

    /// As 32-bit floats. They have to be finite.
    pub fn into_singles(self) -> Vec<f32> {
        match self {
            Self::Singles(values) => values,
            Self::Halves(halves) => expand(&halves),
        }
    }

    /// As [`Values::into_singles`], of values that stay what they are.
    pub(crate) fn singles(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Singles(values) => Cow::Borrowed(values),
            Self::Halves(halves) => Cow::Owned(expand(halves)),
        }
    }

    /// Place and value of the first that is not finite.
    pub fn first_not_finite(&self) -> Option<(usize, f32)> {
        match self {
            Self::Singles(values) => first_not(finite_singles, values).map(|place| (place, values[place])),
            Self::Halves(halves) => first_not(finite_halves, halves).map(|place| {
                let value = from_half(halves[place]).to_bits() | f32::INFINITY.to_bits();
                (place, f32::from_bits(value))
            }),
        }
    }
}

/// Place of the first that is not `fine`.
fn first_not<T>(fine: fn(&[T]) -> bool, values: &[T]) -> Option<usize> {
    let start = PIECE * values.chunks(PIECE).position(|piece| !fine(piece))?;
    (start..values.len()).find(|&place| !fine(&values[place..=place]))
}

fn expand(halves: &[u16]) -> Vec<f32> {
    let mut values = Vec::with_capacity(halves.len());
    halves.chunks(PIECE).for_each(|halves| extend_from_halves(&mut values, halves));
    values
}

#[inline(never)]
fn extend_from_halves(values: &mut Vec<f32>, halves: &[u16]) {
    values.extend(halves.iter().map(|&half| from_half(half)));
}

/// The values of 8-bit integers, `[…, channels]`, each to be multiplied with its channel's scale.
pub fn from_integers(bytes: &[u8], scales: &[f32]) -> Vec<f32> {
    let mut values = Vec::with_capacity(bytes.len());
    for bytes in bytes.chunks(PIECE.next_multiple_of(scales.len())) {
        extend_from_integers(&mut values, bytes, scales);
    }
    values
}

#[inline(never)]
fn extend_from_integers(values: &mut Vec<f32>, bytes: &[u8], scales: &[f32]) {
    for bytes in bytes.chunks_exact(scales.len()) {
        values.extend(bytes.iter().zip(scales).map(|(&byte, scale)| f32::from(byte.cast_signed()) * scale));
    }
}

#[inline(never)]
fn finite_singles(values: &[f32]) -> bool {
    // To the end, as vectors: to stop at the first that is not goes value by value.
    let largest = values.iter().fold(0, |largest, value| value.abs().to_bits().max(largest));
    f32::from_bits(largest).is_finite()
}

#[inline(never)]
fn finite_halves(values: &[u16]) -> bool {
    let largest = values.iter().fold(0, |largest, value| (value & 0x7FFF).max(largest));
    largest < 0x7C00
}

/// The value of the bits of a finite 16-bit float, as `f16::to_f32` of the crate `half`, of which the compiler makes no
/// vectors in WebAssembly.
#[inline(always)]
pub(crate) fn from_half(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7FFF) << 13;
    // 112 is between the two formats' exponents.
    let normal = magnitude + (112 << 23);
    // What has no leading one gets one, which is then taken away: some processors are slow where they meet such numbers.
    let subnormal = f32::from_bits(magnitude + (113 << 23)) - f32::from_bits(113 << 23);
    let magnitude = if magnitude < 1 << 23 { subnormal.to_bits() } else { normal };
    f32::from_bits(magnitude | u32::from(bits & 0x8000) << 16)
}
