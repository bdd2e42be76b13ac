use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::gemm::{Matrix, multiply};
use super::simd::Real;
use super::{add, dispatch, dtype, limits, tensor, values, with_values};
use husky::spec::Activation;

/// Rows of the weights, and pictures, that one task takes. Fixed, so that the order of the sums is.
const ROWS_PER_TASK: usize = 2048;
const IMAGES_PER_TASK: usize = 8;

/// `x [batch, in] * weight [in, units] + bias [units]`, then the activation: `[batch, units]`.
pub struct Dense {
    activation: Activation,
}

impl Dense {
    /// The operation, with what follows the sum.
    pub fn new(activation: Activation) -> Self {
        Self { activation }
    }
}

/// All lengths of one call.
#[derive(Clone, Copy)]
struct Geometry {
    batch: usize,
    inputs: usize,
    units: usize,
    activation: Activation,
}

impl Geometry {
    fn new(op: &Dense, x: &[usize], weight: &[usize], bias: &[usize]) -> Result<Self> {
        let (&[batch, inputs], &[rows, units]) = (x, weight) else {
            bail!("dense wants [batch, in] and [in, units], not {x:?} and {weight:?}")
        };
        if inputs != rows || bias != [units] || batch * inputs * units == 0 {
            bail!("dense cannot combine {x:?}, {weight:?} and {bias:?}")
        }
        Ok(Self { batch, inputs, units, activation: op.activation })
    }
}

impl CustomOp3 for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = Geometry::new(self, x_layout.dims(), weight_layout.dims(), bias_layout.dims())?;
        let storage = dispatch!(dtype(x), forward(g, (x, x_layout), (weight, weight_layout), (bias, bias_layout)))?;
        Ok((storage, Shape::from((g.batch, g.units))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let g = Geometry::new(self, x.dims(), weight.dims(), bias.dims())?;
        let gradient = gradient.contiguous()?;
        let (dx, dw, db) = dispatch!(x.dtype(), backward(g, [x, weight, y, &gradient]))?;
        Ok((dx, Some(dw), Some(db)))
    }
}

fn forward<T: Real>(
    g: Geometry,
    x: (&CpuStorage, &Layout),
    weight: (&CpuStorage, &Layout),
    bias: (&CpuStorage, &Layout),
) -> Result<CpuStorage> {
    let (x, weight, bias) = (values::<T>(x.0, x.1)?, values::<T>(weight.0, weight.1)?, values::<T>(bias.0, bias.1)?);
    let partial: Vec<Vec<T>> = weight
        .par_chunks(ROWS_PER_TASK * g.units)
        .enumerate()
        .map(|(task, weight)| {
            let rows = weight.len() / g.units;
            let x = Matrix::strided(&x[task * ROWS_PER_TASK..], g.batch, rows, g.inputs);
            let mut sums = vec![T::zero(); g.batch * g.units];
            multiply(&mut sums, false, x, Matrix::new(weight, rows, g.units));
            sums
        })
        .collect();
    let mut y = bias.repeat(g.batch);
    for sums in &partial {
        add(&mut y, sums);
    }
    let [low, high] = limits(g.activation);
    for y in &mut y {
        // So written, NaN stays NaN.
        *y = if *y < low { low } else { *y };
        *y = if *y > high { high } else { *y };
    }
    Ok(T::to_cpu_storage_owned(y))
}

type Gradients = (Option<Tensor>, Tensor, Tensor);

fn backward<T: Real>(g: Geometry, tensors: [&Tensor; 4]) -> Result<Gradients> {
    let [x, weight, ..] = tensors;
    with_values(tensors, |[x_values, weight_values, y_values, gradient_values]: [&[T]; 4]| {
        let [low, high] = limits(g.activation);
        let dz: Vec<T> = gradient_values
            .iter()
            .zip(y_values)
            .map(|(&gradient, &y)| if y > low && y < high { gradient } else { T::zero() })
            .collect();
        let mut db = vec![T::zero(); g.units];
        dz.chunks(g.units).for_each(|dz| add(&mut db, dz));

        let mut dw = vec![T::zero(); g.inputs * g.units];
        dw.par_chunks_mut(ROWS_PER_TASK * g.units).enumerate().for_each(|(task, dw)| {
            let x = Matrix::strided(&x_values[task * ROWS_PER_TASK..], g.batch, dw.len() / g.units, g.inputs);
            multiply(dw, false, x.transposed(), Matrix::new(&dz, g.batch, g.units));
        });

        let dx = if x.track_op() {
            let mut dx = vec![T::zero(); x_values.len()];
            let tasks = dx.par_chunks_mut(IMAGES_PER_TASK * g.inputs).zip(dz.par_chunks(IMAGES_PER_TASK * g.units));
            tasks.for_each(|(dx, dz)| {
                let dz = Matrix::new(dz, dz.len() / g.units, g.units);
                multiply(dx, false, dz, Matrix::new(weight_values, g.inputs, g.units).transposed());
            });
            Some(tensor(dx, x.dims())?)
        } else {
            None
        };
        Ok((dx, tensor(dw, weight.dims())?, tensor(db, &[g.units])?))
    })
}
