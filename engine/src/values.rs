//! What the millions of a model's weights pass through when they are loaded, and of a picture's pixels before the network.
//! None is inlined: in a caller that is built for size its loop would not become vectors. And what is long goes in pieces,
//! as that of the kernels does (`piece` in `lib.rs`).

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

/// The values of 16-bit floats, little-endian.
pub fn from_halves(bytes: &[u8]) -> Vec<f32> {
    let mut values = Vec::with_capacity(bytes.len() / 2);
    for bytes in bytes.chunks(2 * PIECE) {
        extend_from_halves(&mut values, bytes);
    }
    values
}

#[inline(never)]
fn extend_from_halves(values: &mut Vec<f32>, bytes: &[u8]) {
    values.extend(bytes.as_chunks().0.iter().map(|&b| from_half(u16::from_le_bytes(b))));
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

/// Whether all values are finite.
pub fn are_finite(values: &[f32]) -> bool {
    values.chunks(PIECE).all(all_finite)
}

#[inline(never)]
fn all_finite(values: &[f32]) -> bool {
    // To the end, as vectors: to stop at the first that is not goes value by value.
    let largest = values.iter().fold(0, |largest, value| value.abs().to_bits().max(largest));
    f32::from_bits(largest).is_finite()
}

/// As `f16::to_f32` of the crate `half`, of which the compiler makes no vectors in WebAssembly.
fn from_half(bits: u16) -> f32 {
    // 2^112 is between the two formats' exponents.
    let magnitude = f32::from_bits(u32::from(bits & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
    let magnitude = if magnitude < 65_536.0 { magnitude.to_bits() } else { magnitude.to_bits() | 0x7F80_0000 };
    f32::from_bits(magnitude | u32::from(bits & 0x8000) << 16)
}
