//! Husky AI: a photo classifier that is trained natively and answers in the browser, offline.
//!
//! **The code that judges a photo exists once**, here. Decoding, orientation, colour, resize, normalisation, the
//! network's forward pass, calibration and the threshold are pure Rust without I/O, clock, randomness or threads; the
//! trainer's `evaluate` and `predict` and the web page call the same functions, so they cannot disagree.
//!
//! ```text
//! photo bytes -> decode -> resize -> engine -> verdict
//! model bytes -> weights (checked against its spec) -> engine
//! ```
//!
//! ```no_run
//! let model = std::fs::read("models/classic.safetensors")?;
//! let photo = std::fs::read("photo.jpg")?;
//! let verdict = husky::Classifier::load(&model)?.classify(&photo)?;
//! println!("{}: {:.1} %", verdict.label, 100.0 * verdict.probability);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod classifier;
#[cfg(any(feature = "jpeg", feature = "png"))]
pub mod decode;
mod error;
pub mod explain;
mod gate;
pub mod hidden;
mod json;
mod pixels;
pub mod resize;
pub mod shipped;
pub mod spec;
mod verdict;
#[cfg(target_arch = "wasm32")]
pub mod web;
pub mod weights;

pub use classifier::Classifier;
pub use error::Error;
/// The forward pass.
pub use husky_engine as engine;
pub use pixels::Pixels;
pub use spec::Spec;
pub use verdict::{Verdict, argmax};
pub use weights::Weights;

/// The result of everything that can fail in this crate.
pub type Result<T> = std::result::Result<T, Error>;
