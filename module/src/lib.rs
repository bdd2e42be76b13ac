//! The WebAssembly modules that the page downloads: [`husky`]'s browser rim, linked.
//!
//! It is a crate of its own because link-time optimisation works by the settings of the crate that is linked. At
//! `husky`'s own, for size, no loop of the engine or the decoders becomes vectors; here it does.

#[cfg(target_arch = "wasm32")]
pub use husky::web;
