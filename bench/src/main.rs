//! `cargo xtask bench`: Husky AI beside its peers. Every figure is a ratio within one run.

mod browser;
mod driver;
mod kernel_table;
mod lite0;
mod memory;
mod models;
mod native;
mod peers;
mod photo;
mod predict;
mod site;
mod table;
mod train;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use models::Model;
use train::Peer;

/// Measures speed and memory beside other engines, which are installed from npm and PyPI into cargo's target folder.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
enum Command {
    /// One photo in headless Chromium: ours, TensorFlow.js, ONNX Runtime Web, candle.
    Browser {
        /// The network.
        #[arg(default_value = "classic")]
        model: Model,
        /// Fresh starts of the browser.
        #[arg(long, default_value_t = 10)]
        launches: usize,
    },
    /// The engine's kernels one by one, natively and in headless Chromium: GFLOP/s and share of the peak.
    Kernels {
        /// Fresh starts of the browser.
        #[arg(long, default_value_t = 5)]
        launches: usize,
    },
    /// 10,000 answers in one page: WebAssembly memory before and after.
    Memory {
        /// The network.
        #[arg(default_value = "classic")]
        model: Model,
    },
    /// One photo natively, one thread each: ours, ONNX Runtime, candle.
    Native {
        /// The network.
        #[arg(default_value = "classic")]
        model: Model,
        /// Rounds, in which each engine takes its turn.
        #[arg(long, default_value_t = 10)]
        rounds: usize,
    },
    /// A folder of photos: `husky predict` beside Pillow and ONNX Runtime.
    Predict {
        /// A folder of photos.
        #[arg(long)]
        photos: PathBuf,
        /// How many photos to judge; the folder is gone through again and again.
        #[arg(long, default_value_t = 10_000)]
        count: usize,
        /// Processes of each.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// From a JPEG file of 12 megapixels, and from camera frames, to the answer in the browser, for each model that ships.
    Photo {
        /// Fresh starts of the browser.
        #[arg(long, default_value_t = 10)]
        launches: usize,
    },
    /// Training steps of a network: ours, Keras, PyTorch.
    Train {
        /// What to train.
        #[arg(long, value_enum, default_value = "classic")]
        network: train::Network,
        /// What to install and train beside ours.
        #[arg(long, value_delimiter = ',', value_name = "PEER,…")]
        peers: Vec<Peer>,
        /// Also a real epoch of `classic`: photos of this folder, decoded and distorted on the way.
        #[arg(long, value_name = "DATA")]
        photos: Option<PathBuf>,
        /// Processes of each.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Browser { model, launches } => browser::run(model, launches),
        Command::Kernels { launches } => kernel_table::run(launches),
        Command::Memory { model } => memory::run(model),
        Command::Native { model, rounds } => native::run(model, rounds),
        Command::Predict { photos, count, rounds } => predict::run(&photos, count, rounds),
        Command::Photo { launches } => photo::run(launches),
        Command::Train { network, peers, photos, rounds } => train::run(network, &peers, photos.as_deref(), rounds),
    };
    result.map_or_else(
        |error: anyhow::Error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
