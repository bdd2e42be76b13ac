use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};

use super::{dispatch, dtype, tensor, values, with_values};

/// Of each of the groups of values, in their order, the logarithm of their summed exponentials: `[batch, values]` becomes
/// `[batch, groups]`. Of two groups, the first's less the second's, `[batch, 1]`.
pub struct LogSumExp {
    /// How many values are in each.
    pub groups: Vec<usize>,
}

impl LogSumExp {
    /// Of each group its values and the logarithm of their sum.
    fn groups<'a>(&'a self, mut values: &'a [f64]) -> impl Iterator<Item = (&'a [f64], f64)> {
        self.groups.iter().map(move |&count| {
            let (group, rest) = values.split_at(count);
            values = rest;
            // Around the largest, so that nothing overflows.
            let largest = group.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (group, largest + group.iter().map(|value| (value - largest).exp()).sum::<f64>().ln())
        })
    }

    fn outputs(&self) -> usize {
        if self.groups.len() == 2 { 1 } else { self.groups.len() }
    }
}

impl CustomOp1 for LogSumExp {
    fn name(&self) -> &'static str {
        "log-sum-exp"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, width) = layout.shape().dims2()?;
        if width != self.groups.iter().sum::<usize>() || self.groups.len() < 2 || self.groups.contains(&0) {
            bail!("log-sum-exp wants groups of {width} values, not {:?}", self.groups)
        }
        Ok((dispatch!(dtype(x), forward(self, x, layout, width))?, Shape::from((batch, self.outputs()))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        dispatch!(x.dtype(), backward(self, x, &gradient.contiguous()?)).map(Some)
    }
}

fn wide<T: WithDType>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| value.to_f64()).collect()
}

fn forward<T: WithDType>(op: &LogSumExp, x: &CpuStorage, layout: &Layout, width: usize) -> Result<CpuStorage> {
    let mut y = Vec::new();
    for x in values::<T>(x, layout)?.chunks(width) {
        let sums: Vec<f64> = op.groups(&wide(x)).map(|(_, sum)| sum).collect();
        let sums = if let [first, second] = sums[..] { vec![first - second] } else { sums };
        y.extend(sums.into_iter().map(T::from_f64));
    }
    Ok(T::to_cpu_storage_owned(y))
}

fn backward<T: WithDType>(op: &LogSumExp, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let width = x.dim(1)?;
    with_values([x, gradient], |[x, gradient]: [&[T]; 2]| {
        let mut dx = Vec::with_capacity(x.len());
        for (x, dy) in x.chunks(width).zip(gradient.chunks(op.outputs())) {
            let dy = match wide(dy)[..] {
                [both] => vec![both, -both],
                ref each => each.to_vec(),
            };
            for ((values, sum), dy) in op.groups(&wide(x)).zip(dy) {
                dx.extend(values.iter().map(|value| T::from_f64((value - sum).exp() * dy)));
            }
        }
        tensor(dx, &[x.len() / width, width])
    })
}
