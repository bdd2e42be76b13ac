//! The browser rim: the only place that knows JavaScript. It carries bytes, files and clicks to the classifier and
//! answers back; nothing about a photo is decided here.
//!
//! ```text
//! page                                     worker
//! widget -> photos, camera -> bridge  <=>  worker -> Classifier
//!                                                 -> decoder (modules of its own)
//! ```
//!
//! The WebAssembly modules are builds of this crate. `husky` (feature `page`) serves page and worker: the page compiles it
//! once and hands the compiled module to the worker. What reads photo files the worker loads when the first of a kind
//! comes, and the camera never needs it: `husky_jpeg` and `husky_png` (features `jpeg` and `png`) for most files,
//! `husky_decoder` (feature `decode`), which is larger, for what these leave to it.

#[cfg(feature = "page")]
mod bridge;
#[cfg(feature = "page")]
mod camera;
#[cfg(feature = "page")]
mod card;
#[cfg(feature = "page")]
mod classifier;
#[cfg(any(feature = "jpeg", feature = "png"))]
mod decoder;
#[cfg(feature = "page")]
mod display;
#[cfg(feature = "page")]
mod dom;
mod failure;
#[cfg(feature = "page")]
mod model;
#[cfg(feature = "page")]
mod photos;
#[cfg(feature = "page")]
mod widget;
#[cfg(feature = "page")]
mod worker;

use std::panic::PanicHookInfo;

use wasm_bindgen::prelude::*;

#[cfg(any(feature = "jpeg", feature = "png"))]
pub use decoder::{Picture, decode};
pub use failure::Failure;
#[cfg(feature = "page")]
pub use {
    classifier::{Answer, Classifier, DecodedPhoto, ModelInfo},
    widget::Widget,
    worker::{Decoders, Reply, Request, answer},
};

/// Runs when the module is instantiated, on the page and in the worker.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(throw));
}

/// A panic becomes a JavaScript error that says where, instead of the bare trap `unreachable`.
fn throw(panic: &PanicHookInfo) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
    wasm_bindgen::throw_val(Failure::new(Failure::PANIC, format!("the classifier has a bug{place}: {message}")).into());
}
