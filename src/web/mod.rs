//! The browser rim: the only place that knows JavaScript. It carries bytes, files and clicks to the classifier and
//! answers back; nothing about a photo is decided here.
//!
//! ```text
//! page                                     worker
//! widget -> photos, camera -> bridge  <=>  worker -> Classifier
//! ```
//!
//! One WebAssembly module serves both sides: the page compiles it once and hands the compiled module to the worker.

mod bridge;
mod camera;
mod card;
mod classifier;
mod display;
mod dom;
mod failure;
mod model;
mod photos;
mod widget;
mod worker;

use std::panic::PanicHookInfo;

use wasm_bindgen::prelude::*;

pub use classifier::{Answer, Classifier, DecodedBy, ModelInfo};
pub use failure::Failure;
pub use widget::Widget;
pub use worker::{Request, answer};

/// Runs when the module is instantiated, on the page and in the worker.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(throw));
}

/// A panic becomes a JavaScript error that says where, instead of the bare trap `unreachable`.
fn throw(panic: &PanicHookInfo) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
    wasm_bindgen::throw_val(Failure::new("panic", format!("the classifier has a bug{place}: {message}")).into());
}
