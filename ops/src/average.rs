use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::simd::Real;
use super::{add, dispatch, dtype, tensor, values, with_values};

/// The mean of each channel: `[batch, h, w, channels]` becomes `[batch, channels]`.
pub struct GlobalAveragePool2d;

impl CustomOp1 for GlobalAveragePool2d {
    fn name(&self) -> &'static str {
        "global-average-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        if batch * height * width * channels == 0 {
            bail!("global-average-pool2d wants a picture, not {:?}", layout.dims())
        }
        let storage = dispatch!(dtype(x), forward(x, layout, [height * width, channels]))?;
        Ok((storage, Shape::from((batch, channels))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        dispatch!(x.dtype(), backward(x, &gradient.contiguous()?)).map(Some)
    }
}

fn forward<T: Real>(x: &CpuStorage, layout: &Layout, [pixels, channels]: [usize; 2]) -> Result<CpuStorage> {
    let x = values::<T>(x, layout)?;
    let mut y = vec![T::zero(); x.len() / pixels];
    y.par_chunks_mut(channels).zip(x.par_chunks(pixels * channels)).for_each(|(y, x)| {
        x.chunks(channels).for_each(|x| add(y, x));
        y.iter_mut().for_each(|y| *y /= T::from_f64(pixels as f64));
    });
    Ok(T::to_cpu_storage_owned(y))
}

fn backward<T: Real>(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (_, height, width, channels) = x.dims4()?;
    with_values([gradient], |[gradient]: [&[T]; 1]| {
        let share: Vec<T> = gradient.iter().map(|&g| g / T::from_f64((height * width) as f64)).collect();
        let dx = share.chunks(channels).flat_map(|share| share.repeat(height * width)).collect();
        tensor(dx, x.dims())
    })
}
