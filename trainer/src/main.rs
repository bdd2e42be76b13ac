//! `husky`: trains and judges photo classifiers.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trainer::{evaluate, export, predict, summary, train};

/// Trains and judges photo classifiers that answer in the browser
#[derive(Parser)]
#[command(name = "husky", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<train::TrainArgs>),
    Evaluate(evaluate::EvaluateArgs),
    Predict(predict::PredictArgs),
    Summary(summary::SummaryArgs),
    Export(export::ExportArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train(args) => train::run(*args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Summary(args) => summary::run(&args),
        Command::Export(args) => export::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("husky: {error:#}");
        ExitCode::FAILURE
    })
}
