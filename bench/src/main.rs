//! `cargo xtask bench`: Husky AI beside its peers. Every figure is a ratio within one run.

mod browser;
mod driver;
mod models;
mod peers;
mod table;
mod train;

use std::process::ExitCode;

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
    /// Training steps of `classic`: ours, Keras, PyTorch.
    Train {
        /// What to install and train beside ours.
        #[arg(long, value_delimiter = ',', value_name = "PEER,…")]
        peers: Vec<Peer>,
        /// Processes of each.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Browser { model, launches } => browser::run(model, launches),
        Command::Train { peers, rounds } => train::run(&peers, rounds),
    };
    result.map_or_else(
        |error: anyhow::Error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
