//! How rough and how bent a picture is. In whole numbers, so that every machine agrees, and of 32 bits, so that they fill
//! vectors: what would not fit is added up in two halves.

/// Sums over the grey values of a square picture: ITU-R BT.601, 256 to a step of grey.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Texture {
    /// Of the values.
    pub values: u64,
    /// Of their squares.
    pub squares: u64,
    /// Of the squared differences of neighbours, in rows and in columns.
    pub differences: u64,
    /// Of `|a - 2b + c|` for any three values `step` apart, in rows and in columns.
    pub bends: [u64; 2],
}

impl Texture {
    /// That of `rgb`, `[size, size, 3]`; `step` is less than half of `size`.
    #[inline(never)]
    pub fn of(rgb: &[u8], size: usize, step: usize) -> Self {
        let grey: Vec<i32> = rgb.as_chunks().0.iter().map(|&[r, g, b]| luma(r, g, b)).collect();
        let mut texture = Self::default();
        for (y, row) in grey.chunks_exact(size).enumerate() {
            let below = |distance: usize| grey[y * size..].chunks_exact(size).nth(distance).unwrap_or_default();
            texture.values += sum(row.iter().map(|value| value.unsigned_abs()));
            texture.squares += squares(row.iter().copied());
            texture.differences += squares(row.iter().zip(&row[1..]).map(|(a, b)| a - b));
            texture.differences += squares(row.iter().zip(below(1)).map(|(a, b)| a - b));
            texture.bends[0] += bends(row, &row[step..], &row[2 * step..]);
            texture.bends[1] += bends(row, below(step), below(2 * step));
        }
        texture
    }
}

fn luma(r: u8, g: u8, b: u8) -> i32 {
    77 * i32::from(r) + 150 * i32::from(g) + 29 * i32::from(b)
}

/// Of a row, whose sum fits.
fn sum(values: impl Iterator<Item = u32>) -> u64 {
    values.sum::<u32>().into()
}

/// Of values in ±65,280, whose squares fit, their sum not.
fn squares(values: impl Iterator<Item = i32>) -> u64 {
    let (mut low, mut high) = (0, 0);
    for value in values {
        let square = value.unsigned_abs() * value.unsigned_abs();
        low += square & 0xffff;
        high += square >> 16;
    }
    u64::from(low) + (u64::from(high) << 16)
}

fn bends(a: &[i32], b: &[i32], c: &[i32]) -> u64 {
    sum(a.iter().zip(b).zip(c).map(|((a, b), c)| (a - 2 * b + c).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_definition() {
        for size in [3_usize, 8, 33, 64] {
            for step in 1..size.div_ceil(2).min(5) {
                // Noise, and the largest sums there can be.
                for pixel in
                    [|i: usize| ((i * i * 7919) >> 3) as u8, |i: usize| if (i / 3).is_multiple_of(2) { 255 } else { 0 }]
                {
                    let rgb: Vec<u8> = (0..size * size * 3).map(pixel).collect();
                    let at = |x: usize, y: usize| {
                        let [r, g, b] = [0, 1, 2].map(|c| u64::from(rgb[(y * size + x) * 3 + c]));
                        (77 * r + 150 * g + 29 * b) as i64
                    };
                    let mut expected = Texture::default();
                    for (x, y) in (0..size * size).map(|i| (i % size, i / size)) {
                        expected.values += at(x, y) as u64;
                        expected.squares += at(x, y).pow(2) as u64;
                        for (dx, dy) in [(1, 0), (0, 1)] {
                            if x + dx < size && y + dy < size {
                                expected.differences += (at(x, y) - at(x + dx, y + dy)).pow(2) as u64;
                            }
                            let [(x1, y1), (x2, y2)] = [1, 2].map(|n| (x + n * step * dx, y + n * step * dy));
                            if x2 < size && y2 < size {
                                expected.bends[dy] += (at(x, y) - 2 * at(x1, y1) + at(x2, y2)).unsigned_abs();
                            }
                        }
                    }
                    assert_eq!(Texture::of(&rgb, size, step), expected, "{size} {step}");
                }
            }
        }
    }
}
