//! What is measured beside the classifier and is written in Rust: candle, natively and in the browser, and the
//! processor's own limit.

pub mod candle;
#[cfg(target_arch = "wasm32")]
mod peak;
#[cfg(target_arch = "wasm32")]
mod web;
