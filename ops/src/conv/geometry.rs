use std::ops::Range;

use candle_core::{Result, bail};
use husky::spec::Activation;

use super::{Conv2d, direct, winograd};
use crate::simd::{Real, lanes};

/// All lengths of one call.
#[derive(Clone, Copy)]
pub struct Geometry {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Rows and columns of zeros before the picture.
    pub top: usize,
    pub left: usize,
    pub filters: usize,
    /// Rows and columns of the result.
    pub output: (usize, usize),
    /// Columns of a band of sums; those that no result needs are at the end.
    pub pitch: usize,
    pub activation: Activation,
    pub pool: bool,
}

/// Sums that are worked on at a time: some rows of an image, or all rows of several images of a task.
#[derive(Clone, Copy)]
pub struct Band {
    pub first_image: usize,
    pub images: usize,
    pub first_row: usize,
    pub rows: usize,
}

impl Geometry {
    pub fn new(op: &Conv2d, x: &[usize], weight: &[usize], bias: &[usize]) -> Result<Self> {
        let (&[batch, height, width, channels], &[kernel, columns, depth, filters]) = (x, weight) else {
            bail!("conv2d wants [batch, h, w, in] and [k, k, in, out], not {x:?} and {weight:?}")
        };
        let square = kernel == op.window.kernel && columns == kernel;
        let (Ok((rows, columns)), true) = (op.window.outputs(height, width), square) else {
            bail!("conv2d cannot put the window {:?} of {weight:?} on {x:?}", op.window)
        };
        let output = if op.pool { (rows / 2, columns / 2) } else { (rows, columns) };
        if depth != channels || bias != [filters] || batch * channels * filters * output.0 * output.1 == 0 {
            bail!("conv2d cannot combine {x:?}, {weight:?} and {bias:?}")
        }
        let mut g = Self {
            batch,
            height,
            width,
            channels,
            kernel,
            stride: op.window.stride,
            top: op.window.margins(height)[0],
            left: op.window.margins(width)[0],
            filters,
            output,
            pitch: 0,
            activation: op.activation,
            pool: op.pool,
        };
        g.pitch = if winograd::serves(g) { g.columns().next_multiple_of(winograd::SUMS) } else { g.columns() };
        Ok(g)
    }

    /// Sums a side of the pool's window.
    pub fn side(&self) -> usize {
        if self.pool { 2 } else { 1 }
    }

    /// Columns of sums that the result needs.
    pub fn columns(&self) -> usize {
        self.output.1 * self.side()
    }

    /// The sums that the results of so many images need, in bands.
    pub fn bands(self, images: usize) -> impl Iterator<Item = Band> {
        let rows = self.output.0 * self.side();
        let (together, band) = if winograd::serves(self) {
            let band = winograd::band(self);
            ((band / rows.next_multiple_of(winograd::SUMS)).max(1), band)
        } else {
            (1, direct::band(self))
        };
        let band = band.next_multiple_of(self.side());
        (0..images).step_by(together).flat_map(move |first_image| {
            let images = together.min(images - first_image);
            (0..rows).step_by(band).map(move |first_row| Band {
                first_image,
                images,
                first_row,
                rows: band.min(rows - first_row),
            })
        })
    }

    /// The pixel at a row and column that are counted from the padding's corner, if it lies in the picture.
    #[inline(always)]
    pub fn pixel(&self, row: usize, column: usize) -> Option<usize> {
        let (row, column) = (row.wrapping_sub(self.top), column.wrapping_sub(self.left));
        if row < self.height && column < self.width { Some(row * self.width + column) } else { None }
    }

    pub fn input_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    pub fn output_len(&self) -> usize {
        self.output.0 * self.output.1 * self.filters
    }

    /// Vectors of a picture's results.
    pub fn routes_len<T: Real>(&self) -> usize {
        self.output.0 * self.output.1 * self.filters.div_ceil(lanes::<T>())
    }
}

impl Band {
    /// The images, counted from the task's first.
    pub fn images(self) -> Range<usize> {
        self.first_image..self.first_image + self.images
    }

    /// The band's rows of results, out of an image's `values`, whose row has `len`.
    pub fn of(self, g: Geometry, len: usize) -> Range<usize> {
        self.first_row / g.side() * len..(self.first_row + self.rows) / g.side() * len
    }

    /// Sums of an image, with those that no result needs.
    pub fn sums_len(self, g: Geometry) -> usize {
        self.rows.next_multiple_of(winograd::SUMS) * g.pitch * g.filters
    }
}
