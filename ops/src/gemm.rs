//! A safe face for the `gemm` crate's matrix product, on one thread: the callers split the work.

use candle_core::WithDType;

/// A matrix to read: element `(i, j)` is `values[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows of `columns` neighbouring values, one every `row_stride` values.
    pub fn strided(values: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(rows > 0 && columns > 0 && (rows - 1) * row_stride + columns <= values.len(), "matrix out of bounds");
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// Row-major, without gaps.
    pub fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// The same values, rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `target = a * b`, or `target += a * b` with `accumulate`; `target` is row-major `[a.rows, b.columns]` at the start of the slice.
pub fn multiply<T: WithDType>(target: &mut [T], accumulate: bool, a: Matrix<T>, b: Matrix<T>) {
    assert_eq!(a.columns, b.rows, "matrices do not fit");
    assert!(a.rows * b.columns <= target.len(), "target out of bounds");
    // SAFETY: `strided` and the lines above checked that every index the product touches lies in its slice; `target` is
    // borrowed exclusively, so it overlaps neither factor. `T` is f32 or f64, which the crate knows; it panics on others.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            target.as_mut_ptr(),
            1,
            b.columns as isize,
            accumulate,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
