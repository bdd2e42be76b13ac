//! What the millions of a model's weights pass through when they are loaded.

/// The values of 16-bit floats, little-endian.
pub fn from_halves(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&b| from_half(u16::from_le_bytes(b))).collect()
}

/// Whether all values are finite.
pub fn are_finite(values: &[f32]) -> bool {
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
