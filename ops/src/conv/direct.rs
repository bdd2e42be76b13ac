//! Any convolution as a matrix product, over a copy of each sum's window in a row (im2col).

use crate::simd::Real;

use super::{Band, Geometry, Scratch};
use crate::add;
use crate::gemm::{Matrix, multiply};

/// Sums worked on at a time: their windows stay in the second-level cache.
const BAND: usize = 1024;

/// Rows of sums in a band.
pub fn band(g: Geometry) -> usize {
    (BAND / g.pitch).max(1)
}

/// The sums of a band of one image, `x`.
pub fn sums<T: Real>(g: Geometry, band: Band, x: &[T], weight: &[T], scratch: &mut Scratch<T>) {
    windows(g, band, x, &mut scratch.v);
    let window = g.kernel * g.kernel * g.channels;
    let windows = Matrix::new(&scratch.v, band.rows * g.pitch, window);
    multiply(&mut scratch.sums, false, windows, Matrix::new(weight, window, g.filters));
}

/// From the sums' gradients: adds to `dw`, and to `dx` where it is wanted, the image's.
pub fn gradients<T: Real>(
    g: Geometry,
    band: Band,
    x: &[T],
    weight: &[T],
    scratch: &mut Scratch<T>,
    dw: &mut [T],
    dx: Option<&mut [T]>,
) {
    windows(g, band, x, &mut scratch.v);
    let (pixels, window) = (band.rows * g.pitch, g.kernel * g.kernel * g.channels);
    let sums = Matrix::new(&scratch.sums, pixels, g.filters);
    multiply(dw, true, Matrix::new(&scratch.v, pixels, window).transposed(), sums);
    if let Some(dx) = dx {
        multiply(&mut scratch.v, false, sums, Matrix::new(weight, window, g.filters).transposed());
        let mut window = 0;
        runs(g, band, |len, run| {
            if let Some(start) = run {
                add(&mut dx[start..start + len], &scratch.v[window..]);
            }
            window += len;
        });
    }
}

/// Copies the windows, `[sums, kernel * kernel * in]`.
fn windows<T: Real>(g: Geometry, band: Band, x: &[T], windows: &mut Vec<T>) {
    windows.clear();
    windows.reserve(band.rows * g.pitch * g.kernel * g.kernel * g.channels);
    runs(g, band, |len, run| match run {
        Some(start) => windows.extend_from_slice(&x[start..start + len]),
        None => windows.resize(windows.len() + len, T::zero()),
    });
}

/// Calls `f`, in the order of the windows, with each run of neighbouring values in the picture: its length and start, or
/// none where it lies in the padding.
fn runs(g: Geometry, band: Band, mut f: impl FnMut(usize, Option<usize>)) {
    for row in band.first_row..band.first_row + band.rows {
        for column in 0..g.pitch {
            let inside = g.left.saturating_sub(column * g.stride).min(g.kernel)
                ..(g.width + g.left).saturating_sub(column * g.stride).min(g.kernel);
            for i in 0..g.kernel {
                match g.pixel(row * g.stride + i, column * g.stride + inside.start) {
                    Some(pixel) if !inside.is_empty() => {
                        if inside.start > 0 {
                            f(inside.start * g.channels, None);
                        }
                        f(inside.len() * g.channels, Some(pixel * g.channels));
                        if inside.end < g.kernel {
                            f((g.kernel - inside.end) * g.channels, None);
                        }
                    }
                    _ => f(g.kernel * g.channels, None),
                }
            }
        }
    }
}
