use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use fearless_simd::{Level, dispatch as vectorize, prelude::*};
use husky::spec::Window;
use rayon::prelude::*;

use super::simd::{Real, load, splat, store};
use super::{add, dispatch, dtype, tensor, values, with_values};

/// Images whose weight gradients one task adds up. Fixed, so that the order of the sums is.
const IMAGES_PER_TASK: usize = 4;

/// The convolution of each channel by itself: `x [batch, h, w, channels]` and `weight [k, k, channels]` make
/// `[batch, rows, columns, channels]`, where `k` is 3 or 5 and the stride 1 or 2.
pub struct DepthwiseConv2d(pub Window);

/// All lengths of one call.
#[derive(Clone, Copy)]
struct Geometry {
    window: Window,
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
    /// Rows and columns of the result.
    rows: usize,
    columns: usize,
    /// Rows and columns of zeros before the picture.
    top: usize,
    left: usize,
}

impl Geometry {
    fn new(window: Window, x: &[usize], weight: &[usize]) -> Result<Self> {
        let (&[batch, height, width, channels], Window { kernel, stride, .. }) = (x, window) else {
            bail!("a depthwise convolution wants [batch, h, w, channels], not {x:?}")
        };
        let (Ok((rows, columns)), 3 | 5, 1 | 2) = (window.outputs(height, width), kernel, stride) else {
            bail!("a depthwise convolution cannot put {window:?} on {x:?}")
        };
        if weight != [kernel, kernel, channels] || batch * channels * rows * columns == 0 {
            bail!("a depthwise convolution cannot combine {x:?} and {weight:?}")
        }
        let (top, left) = (window.margins(height)[0], window.margins(width)[0]);
        Ok(Self { window, batch, height, width, channels, rows, columns, top, left })
    }

    fn input_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    fn output_len(&self) -> usize {
        self.rows * self.columns * self.channels
    }
}

/// Calls a kernel with window and stride as constants, so that the loops over a window are unrolled, for the vectors of
/// the machine.
macro_rules! kernel {
    ($g:ident, $function:ident($($argument:expr),*)) => {
        match ($g.window.kernel, $g.window.stride) {
            (3, 1) => vectorize!(Level::new(), simd => $function::<_, T, 3, 1>(simd, $($argument),*)),
            (3, 2) => vectorize!(Level::new(), simd => $function::<_, T, 3, 2>(simd, $($argument),*)),
            (5, 1) => vectorize!(Level::new(), simd => $function::<_, T, 5, 1>(simd, $($argument),*)),
            _ => vectorize!(Level::new(), simd => $function::<_, T, 5, 2>(simd, $($argument),*)),
        }
    };
}

impl CustomOp2 for DepthwiseConv2d {
    fn name(&self) -> &'static str {
        "depthwise-conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = Geometry::new(self.0, x_layout.dims(), weight_layout.dims())?;
        let storage = dispatch!(dtype(x), forward(g, (x, x_layout), (weight, weight_layout)))?;
        Ok((storage, Shape::from((g.batch, g.rows, g.columns, g.channels))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = Geometry::new(self.0, x.dims(), weight.dims())?;
        let gradient = gradient.contiguous()?;
        let (dx, dw) = dispatch!(x.dtype(), backward(g, [x, weight, &gradient]))?;
        Ok((Some(dx), Some(dw)))
    }
}

fn forward<T: Real>(g: Geometry, x: (&CpuStorage, &Layout), weight: (&CpuStorage, &Layout)) -> Result<CpuStorage> {
    let (x, weight) = (values::<T>(x.0, x.1)?, values::<T>(weight.0, weight.1)?);
    let mut y = vec![T::zero(); g.batch * g.output_len()];
    y.par_chunks_mut(g.output_len())
        .zip(x.par_chunks(g.input_len()))
        .for_each(|(y, x)| kernel!(g, convolve(g, x, weight, y)));
    Ok(T::to_cpu_storage_owned(y))
}

fn backward<T: Real>(g: Geometry, tensors: [&Tensor; 3]) -> Result<(Tensor, Tensor)> {
    let [x, weight, _] = tensors;
    with_values(tensors, |[x_values, weight_values, dy]: [&[T]; 3]| {
        let mut dx = vec![T::zero(); x_values.len()];
        let (input, output) = (IMAGES_PER_TASK * g.input_len(), IMAGES_PER_TASK * g.output_len());
        let partial: Vec<Vec<T>> = dx
            .par_chunks_mut(input)
            .zip(x_values.par_chunks(input).zip(dy.par_chunks(output)))
            .map(|(dx, (x, dy))| {
                let mut dw = vec![T::zero(); weight_values.len()];
                let images = x.chunks(g.input_len()).zip(dy.chunks(g.output_len()));
                for (dx, (x, dy)) in dx.chunks_mut(g.input_len()).zip(images) {
                    kernel!(g, weight_gradient(g, x, dy, &mut dw));
                    kernel!(g, input_gradient(g, dy, weight_values, dx));
                }
                dw
            })
            .collect();
        let mut dw = vec![T::zero(); weight_values.len()];
        partial.iter().for_each(|partial| add(&mut dw, partial));
        Ok((tensor(dx, x.dims())?, tensor(dw, weight.dims())?))
    })
}

/// Does something at each value of a window that lies in the picture: its row and column in the window, and where its
/// pixel starts. A macro, since a function that is handed over is not compiled for the vectors of the machine.
macro_rules! each_tap {
    ($g:ident, $row:ident, $column:ident, |$i:ident, $j:ident, $pixel:ident| $act:expr) => {
        for $i in 0..K {
            let row = ($row * STRIDE + $i).wrapping_sub($g.top);
            if row < $g.height {
                for $j in 0..K {
                    let column = ($column * STRIDE + $j).wrapping_sub($g.left);
                    if column < $g.width {
                        let $pixel = (row * $g.width + column) * $g.channels;
                        $act;
                    }
                }
            }
        }
    };
}

/// The window's weights of the channels `start..end`.
#[inline(always)]
fn weights<S: Simd, T: Real, const K: usize>(
    simd: S,
    weight: &[T],
    channels: usize,
    start: usize,
    end: usize,
) -> [[T::Native<S>; K]; K] {
    let mut weights = [[splat(simd, T::zero()); K]; K];
    for i in 0..K {
        for j in 0..K {
            let tap = (i * K + j) * channels;
            weights[i][j] = load::<S, T>(simd, &weight[tap + start..tap + end]);
        }
    }
    weights
}

#[inline(always)]
fn convolve<S: Simd, T: Real, const K: usize, const STRIDE: usize>(
    simd: S,
    g: Geometry,
    x: &[T],
    weight: &[T],
    y: &mut [T],
) {
    let c = g.channels;
    for row in 0..g.rows {
        for start in (0..c).step_by(T::Native::<S>::LEN) {
            let end = c.min(start + T::Native::<S>::LEN);
            let weights = weights::<S, T, K>(simd, weight, c, start, end);
            for column in 0..g.columns {
                let mut sum = splat(simd, T::zero());
                each_tap!(g, row, column, |i, j, pixel| {
                    let x = load::<S, T>(simd, &x[pixel + start..pixel + end]);
                    sum = x.mul_add(weights[i][j], sum);
                });
                let pixel = (row * g.columns + column) * c;
                store::<S, T>(sum, &mut y[pixel + start..pixel + end]);
            }
        }
    }
}

/// Each pixel collects from the windows that it lies in.
#[inline(always)]
fn input_gradient<S: Simd, T: Real, const K: usize, const STRIDE: usize>(
    simd: S,
    g: Geometry,
    dy: &[T],
    weight: &[T],
    dx: &mut [T],
) {
    let c = g.channels;
    for row in 0..g.height {
        for start in (0..c).step_by(T::Native::<S>::LEN) {
            let end = c.min(start + T::Native::<S>::LEN);
            let weights = weights::<S, T, K>(simd, weight, c, start, end);
            for column in 0..g.width {
                let mut sum = splat(simd, T::zero());
                for i in 0..K {
                    let at_row = (row + g.top).wrapping_sub(i);
                    if at_row.is_multiple_of(STRIDE) && at_row / STRIDE < g.rows {
                        for j in 0..K {
                            let at_column = (column + g.left).wrapping_sub(j);
                            if at_column.is_multiple_of(STRIDE) && at_column / STRIDE < g.columns {
                                let pixel = (at_row / STRIDE * g.columns + at_column / STRIDE) * c;
                                let dy = load::<S, T>(simd, &dy[pixel + start..pixel + end]);
                                sum = dy.mul_add(weights[i][j], sum);
                            }
                        }
                    }
                }
                let pixel = (row * g.width + column) * c;
                store::<S, T>(sum, &mut dx[pixel + start..pixel + end]);
            }
        }
    }
}

#[inline(always)]
fn weight_gradient<S: Simd, T: Real, const K: usize, const STRIDE: usize>(
    simd: S,
    g: Geometry,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
) {
    let c = g.channels;
    for row in 0..g.rows {
        for start in (0..c).step_by(T::Native::<S>::LEN) {
            let end = c.min(start + T::Native::<S>::LEN);
            let mut sums = weights::<S, T, K>(simd, dw, c, start, end);
            for column in 0..g.columns {
                let pixel = (row * g.columns + column) * c;
                let dy = load::<S, T>(simd, &dy[pixel + start..pixel + end]);
                each_tap!(g, row, column, |i, j, pixel| {
                    let x = load::<S, T>(simd, &x[pixel + start..pixel + end]);
                    sums[i][j] = x.mul_add(dy, sums[i][j]);
                });
            }
            for i in 0..K {
                for j in 0..K {
                    let tap = (i * K + j) * c;
                    store::<S, T>(sums[i][j], &mut dw[tap + start..tap + end]);
                }
            }
        }
    }
}
