//! `husky`: trains and judges photo classifiers.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use trainer::{calibrate, evaluate, predict, quantize, summary, train};

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
    Calibrate(calibrate::CalibrateArgs),
    Quantize(quantize::QuantizeArgs),
}

/// The command line, read again where it names a preset, now with its recipe for what is not said.
fn parse() -> clap::error::Result<Cli> {
    let first = Cli::try_parse()?;
    let Command::Train(args) = &first.command else { return Ok(first) };
    let recipe = args.recipe();
    let command = Cli::command().mut_subcommand("train", |train| {
        recipe.into_iter().fold(train, |train, (knob, value)| train.mut_arg(knob, |arg| arg.default_value(value)))
    });
    Cli::from_arg_matches(&command.try_get_matches()?)
}

fn main() -> ExitCode {
    let cli = parse().unwrap_or_else(|error| error.exit());
    let result = match cli.command {
        Command::Train(args) => train::run(*args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Summary(args) => summary::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Quantize(args) => quantize::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("husky: {error:#}");
        ExitCode::FAILURE
    })
}
