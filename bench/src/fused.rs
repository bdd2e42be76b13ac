//! Convolution, bias, ReLU and 2x2 max pool as one custom operation of candle, the way its users write one: a plain loop
//! over pictures `[1, height, width, channels]`, which the compiler turns into vectors.

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, WithDType, bail};

/// Filters that are computed together: with the four windows of a pool, as many sums as fit the registers.
const BLOCK: usize = 8;

/// The operation. A tensor of weights goes through [`pack`] before.
pub struct ConvReluPool;

/// `weights`, `[kernel, kernel, in, out]`, as `[blocks, kernel, kernel * in, BLOCK]`, the last block filled up with zeros.
pub fn pack(weights: &[f32], [kernel, _, input, output]: [usize; 4]) -> Result<Tensor> {
    let (depth, blocks) = (kernel * kernel * input, output.div_ceil(BLOCK));
    let mut packed = vec![0.0; blocks * depth * BLOCK];
    for (i, row) in weights.chunks_exact(output).enumerate() {
        for (j, value) in row.iter().enumerate() {
            packed[(j / BLOCK * depth + i) * BLOCK + j % BLOCK] = *value;
        }
    }
    Tensor::from_vec(packed, (blocks, kernel, kernel * input, BLOCK), &Device::Cpu)
}

impl CustomOp3 for ConvReluPool {
    fn name(&self) -> &'static str {
        "conv-relu-pool"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, height, width, channels) = x_layout.shape().dims4()?;
        let (_, kernel, run, _) = weights_layout.shape().dims4()?;
        let (x, weights, bias) = (values(x, x_layout)?, values(weights, weights_layout)?, values(bias, bias_layout)?);
        let (down, across) = ((height + 1 - kernel) / 2, (width + 1 - kernel) / 2);
        let mut output = vec![0.0; down * across * bias.len()];
        for (i, pixel) in output.chunks_exact_mut(bias.len()).enumerate() {
            let (y, x_start) = (i / across * 2, i % across * 2);
            let blocks =
                weights.chunks_exact(kernel * run * BLOCK).zip(pixel.chunks_mut(BLOCK)).zip(bias.chunks(BLOCK));
            for ((weights, pixel), bias) in blocks {
                let mut sums = [[0.0; BLOCK]; 4];
                for (row, weights) in weights.chunks_exact(run * BLOCK).enumerate() {
                    let windows = [(0, 0), (0, 1), (1, 0), (1, 1)]
                        .map(|(dy, dx)| &x[((y + dy + row) * width + x_start + dx) * channels..][..run]);
                    accumulate(&mut sums, windows, weights.as_chunks().0);
                }
                for (j, (value, bias)) in pixel.iter_mut().zip(bias).enumerate() {
                    let largest = sums.iter().fold(f32::NEG_INFINITY, |largest, sums| largest.max(sums[j]));
                    *value = (largest + bias).max(0.0);
                }
            }
        }
        Ok((CpuStorage::F32(output), Shape::from((1, down, across, bias.len()))))
    }
}

fn accumulate(sums: &mut [[f32; BLOCK]; 4], [a, b, c, d]: [&[f32]; 4], weights: &[[f32; BLOCK]]) {
    for ((((weights, a), b), c), d) in weights.iter().zip(a).zip(b).zip(c).zip(d) {
        for (sums, value) in sums.iter_mut().zip([a, b, c, d]) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor is not row-major") };
    Ok(&f32::cpu_storage_as_slice(storage)?[start..end])
}
