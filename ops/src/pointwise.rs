use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::gemm::{Matrix, multiply};
use super::simd::Real;
use super::{add, dispatch, dtype, tensor, values, with_values};

/// Pieces that a batch's pixels are cut into, for as many tasks. Fixed, so that the order of the sums is.
const PIECES: usize = 8;
/// Weights that one task adds up.
const CHUNK: usize = 1 << 14;

/// The 1x1 convolution: `x [batch, h, w, in] * weight [1, 1, in, out]` is `[batch, h, w, out]`, one matrix product over all
/// pixels of a batch.
pub struct Pointwise;

/// All lengths of one call.
#[derive(Clone, Copy)]
struct Geometry {
    pixels: usize,
    channels: usize,
    filters: usize,
}

impl Geometry {
    fn new(x: &[usize], weight: &[usize]) -> Result<Self> {
        match (x, weight) {
            (&[batch, height, width, channels], &[1, 1, depth, filters])
                if channels == depth && batch * height * width * channels * filters > 0 =>
            {
                Ok(Self { pixels: batch * height * width, channels, filters })
            }
            _ => bail!("a 1x1 convolution cannot combine {x:?} and {weight:?}"),
        }
    }

    fn piece(&self) -> usize {
        self.pixels.div_ceil(PIECES)
    }
}

impl CustomOp2 for Pointwise {
    fn name(&self) -> &'static str {
        "pointwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = Geometry::new(x_layout.dims(), weight_layout.dims())?;
        let storage = dispatch!(dtype(x), forward(g, (x, x_layout), (weight, weight_layout)))?;
        let mut shape = x_layout.dims().to_vec();
        shape[3] = g.filters;
        Ok((storage, shape.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = Geometry::new(x.dims(), weight.dims())?;
        let gradient = gradient.contiguous()?;
        let (dx, dw) = dispatch!(x.dtype(), backward(g, [x, weight, &gradient]))?;
        Ok((Some(dx), Some(dw)))
    }
}

fn forward<T: Real>(g: Geometry, x: (&CpuStorage, &Layout), weight: (&CpuStorage, &Layout)) -> Result<CpuStorage> {
    let (x, weight) = (values::<T>(x.0, x.1)?, values::<T>(weight.0, weight.1)?);
    let mut y = vec![T::zero(); g.pixels * g.filters];
    let pieces = y.par_chunks_mut(g.piece() * g.filters).zip(x.par_chunks(g.piece() * g.channels));
    pieces.for_each(|(y, x)| {
        let x = Matrix::new(x, x.len() / g.channels, g.channels);
        multiply(y, false, x, Matrix::new(weight, g.channels, g.filters));
    });
    Ok(T::to_cpu_storage_owned(y))
}

fn backward<T: Real>(g: Geometry, tensors: [&Tensor; 3]) -> Result<(Tensor, Tensor)> {
    let [x, weight, _] = tensors;
    with_values(tensors, |[x_values, weight_values, dy]: [&[T]; 3]| {
        let mut dx = vec![T::zero(); x_values.len()];
        let weights = Matrix::new(weight_values, g.channels, g.filters).transposed();
        let pieces = x_values.par_chunks(g.piece() * g.channels).zip(dy.par_chunks(g.piece() * g.filters));
        let partial: Vec<Vec<T>> = dx
            .par_chunks_mut(g.piece() * g.channels)
            .zip(pieces)
            .map(|(dx, (x, dy))| {
                let pixels = x.len() / g.channels;
                let dy = Matrix::new(dy, pixels, g.filters);
                multiply(dx, false, dy, weights);
                let mut dw = vec![T::zero(); weight_values.len()];
                multiply(&mut dw, false, Matrix::new(x, pixels, g.channels).transposed(), dy);
                dw
            })
            .collect();
        let mut dw = vec![T::zero(); weight_values.len()];
        dw.par_chunks_mut(CHUNK).enumerate().for_each(|(i, dw)| {
            for partial in &partial {
                add(dw, &partial[i * CHUNK..]);
            }
        });
        Ok((tensor(dx, x.dims())?, tensor(dw, weight.dims())?))
    })
}
