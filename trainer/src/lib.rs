//! Trains and judges Husky AI's models: a folder of photos goes in, a model file comes out.
//!
//! The command `husky` is a thin layer over this crate: each of its subcommands is a module with a function `run`. To train
//! from a program of your own:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use trainer::config::Config;
//! use trainer::presets::Preset;
//! use trainer::train::Run;
//!
//! // The knobs are those of `husky train`, and so is what holds where nothing is said.
//! let config = Config { seed: 7, ..Config::new(Path::new("photos"), Preset::Quick)? };
//! let run = Run::start(Path::new("runs/mine"), config)?;
//! // Here a callback of yours may be added: `run.add(…)`.
//! run.train()?;
//! let classifier = trainer::model_file::load(Path::new("runs/mine/model.safetensors"))?;
//! println!("{:?}", classifier.classify(&std::fs::read("photo.jpg")?)?);
//! # anyhow::Ok(())
//! ```
//!
//! # Map
//! | where | what |
//! |---|---|
//! | [`train`], [`config`], [`callback`], [`presets`] | a run: [`train::Run`], its knobs ([`config::Config`]), what is done at each epoch's end ([`callback::Callback`]), the networks by name |
//! | [`dataset`], [`photos`], [`pixel_store`], [`augment`], [`loader`] | a folder → checked, decoded photos → batches in the background |
//! | [`network`], [`husky_ops`], [`optimizer`] | a spec as operations, and the way back through them; the rule that turns gradients into steps |
//! | [`backbone`], [`head`], [`kinds`] | weights to begin with; the last layer fitted to the features, of labels or of their kinds |
//! | [`checkpoint`], [`curves`], [`tensorboard`], [`run_folder`] | what a run writes about itself, and what is read of it again |
//! | [`metrics`], [`calibrate`], [`judge`] | figures with intervals; temperature and threshold; a folder's photos, judged |
//! | [`scan`] | a folder's photos, each looked at once |
//! | [`gather`], [`explore`], [`audit`], [`compare`], [`report`], [`evaluate`], [`predict`], [`explain`], [`activations`], [`attack`], [`summary`], [`quantize`], [`export`], [`import`], [`sign`], [`verify`] | the other commands |
//! | [`model_file`], [`files`], [`captions`], [`html`], [`output`], [`progress`], [`random`] | what they share |
//!
//! Errors are [`anyhow`]'s: one sentence that names the file, says what is wrong and what to do. The model files are read,
//! judged by and written with the crate [`husky`].

// `output` writes without a panic where nobody reads.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod activations;
pub mod attack;
pub mod audit;
pub mod augment;
pub mod backbone;
pub mod calibrate;
pub mod callback;
pub mod captions;
pub mod checkpoint;
pub mod compare;
pub mod config;
pub mod curves;
pub mod dataset;
pub mod evaluate;
pub mod explain;
pub mod explore;
pub mod export;
pub mod files;
pub mod gather;
pub mod head;
pub mod html;
pub mod import;
pub mod judge;
pub mod kinds;
pub mod loader;
pub mod metrics;
pub mod model_file;
pub mod network;
pub mod optimizer;
pub mod output;
pub mod photos;
pub mod pixel_store;
pub mod predict;
pub mod presets;
pub mod progress;
pub mod quantize;
pub mod random;
pub mod report;
pub mod run_folder;
pub mod scan;
pub mod sign;
pub mod summary;
pub mod tensorboard;
pub mod train;
pub mod verify;

/// Its examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/library.md")]
struct LibraryDocs;
