//! What is measured beside the classifier and is written in Rust: candle, the engine's kernels one by one and the
//! processor's own limit, natively and in the browser.

pub mod candle;
mod fused;
pub mod kernels;
mod peak;
pub mod random;
#[cfg(target_arch = "wasm32")]
mod web;
