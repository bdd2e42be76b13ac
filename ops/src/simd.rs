//! What the kernels over vectors share. Kernels are plain loops that `fearless_simd::dispatch!` compiles for the vectors of
//! the machine: what the standard library calls for us, such as the closure of `array::from_fn`, is compiled for the oldest
//! processor.

use candle_core::WithDType;
use fearless_simd::{Level, dispatch, prelude::*};

/// A type that training works in: `f32`, and in the tests `f64`. `T::Native<S>` is a vector of it.
pub trait Real: WithDType + SimdFloatElement {}

impl<T: WithDType + SimdFloatElement> Real for T {}

/// Values in a vector.
pub fn lanes<T: Real>() -> usize {
    #[inline(always)]
    fn lanes<S: Simd, T: Real>(_: S) -> usize {
        T::Native::<S>::LEN
    }
    dispatch!(Level::new(), simd => lanes::<_, T>(simd))
}

/// A vector of one value.
#[inline(always)]
pub fn splat<S: Simd, T: Real>(simd: S, value: T) -> T::Native<S> {
    T::Native::<S>::simd_from(simd, value)
}

/// The vector at the start of `values`, with zeros where they are too few.
#[inline(always)]
pub fn load<S: Simd, T: Real>(simd: S, values: &[T]) -> T::Native<S> {
    if values.len() >= T::Native::<S>::LEN {
        return T::Native::<S>::from_slice(simd, &values[..T::Native::<S>::LEN]);
    }
    let mut vector = splat(simd, T::zero());
    vector.as_mut_slice()[..values.len()].copy_from_slice(values);
    vector
}

/// Writes a vector to the start of `values`, or as much of it as fits there.
#[inline(always)]
pub fn store<S: Simd, T: Real>(vector: T::Native<S>, values: &mut [T]) {
    if values.len() >= T::Native::<S>::LEN {
        vector.store_slice(&mut values[..T::Native::<S>::LEN]);
    } else {
        values.copy_from_slice(&vector.as_slice()[..values.len()]);
    }
}
