//! The training operations: candle `CustomOp`s with gradients of their own, over pictures `[batch, height, width, channels]`.
//!
//! A crate of its own, since it takes long to compile and changes seldom: each operation is there for two types of numbers and
//! for the vectors of several processors.
//!
//! Stock candle's are wrong (the gradient of `max_pool2d`), slow (the gradients of `conv2d`) or unseeded (`Dropout`).
//! All work in `f32`; they accept `f64` too, so that tests can hold them against finite differences. All split their work
//! into pieces that do not depend on the number of threads, and add the pieces up in one order: the same numbers come out
//! on any machine of one kind, whatever the thread count.

mod average;
mod batch_norm;
mod conv;
mod dense;
mod depthwise;
mod dropout;
mod gemm;
mod log_sum_exp;
mod loss;
mod pointwise;
mod random;
mod simd;

pub use average::GlobalAveragePool2d;
pub use batch_norm::{BatchNorm, Statistics};
pub use conv::Conv2d;
pub use dense::Dense;
pub use depthwise::DepthwiseConv2d;
pub use dropout::Dropout;
pub use log_sum_exp::LogSumExp;
pub use loss::{CrossEntropy, one_hot};
pub use pointwise::Pointwise;
pub use random::keyed;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, WithDType, bail};
use husky::spec::Activation;

/// The values of a row-major tensor on the CPU.
fn values<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor is not row-major") };
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

/// Calls `function` with the values of row-major tensors on the CPU.
fn with_values<T: WithDType, R, const N: usize>(
    tensors: [&Tensor; N],
    function: impl FnOnce([&[T]; N]) -> Result<R>,
) -> Result<R> {
    let storages = tensors.map(Tensor::storage_and_layout);
    let mut slices = [&[][..]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&storages) {
        let Storage::Cpu(storage) = &**storage else { bail!("the tensor is not on the CPU") };
        *slice = values(storage, layout)?;
    }
    function(slices)
}

/// Calls the generic function with the element type that `dtype` names.
macro_rules! dispatch {
    ($dtype:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $dtype {
            candle_core::DType::F32 => $function::<f32>($($argument),*),
            candle_core::DType::F64 => $function::<f64>($($argument),*),
            other => candle_core::bail!("training works in f32 or f64, not in {other:?}"),
        }
    };
}
use dispatch;

/// A tensor on the CPU from values in memory order; candle's own constructor does not check the length.
fn tensor<T: WithDType>(values: Vec<T>, shape: &[usize]) -> Result<Tensor> {
    debug_assert_eq!(values.len(), shape.iter().product::<usize>());
    Tensor::from_vec(values, shape, &candle_core::Device::Cpu)
}

fn dtype(storage: &CpuStorage) -> DType {
    use candle_core::backend::BackendStorage;
    storage.dtype()
}

/// What an activation limits values to.
fn limits<T: WithDType>(activation: Activation) -> [T; 2] {
    match activation {
        Activation::Linear => [f64::NEG_INFINITY, f64::INFINITY],
        Activation::Relu => [0.0, f64::INFINITY],
        Activation::Relu6 => [0.0, 6.0],
    }
    .map(T::from_f64)
}

/// Adds `source` to `target`, value by value.
fn add<T: WithDType>(target: &mut [T], source: &[T]) {
    for (t, &s) in target.iter_mut().zip(source) {
        *t += s;
    }
}
