//! `husky`: trains and judges photo classifiers.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use trainer::{
    activations, attack, audit, calibrate, compare, evaluate, explain, explore, export, gather, import, output,
    predict, quantize, report, sign, summary, train, verify,
};

/// Training makes and drops the same large buffers at every step; the system's allocator gives them back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains and judges photo classifiers that answer in the browser
#[derive(Parser)]
#[command(name = "husky", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Gather(gather::GatherArgs),
    Explore(explore::ExploreArgs),
    Audit(audit::AuditArgs),
    Train(Box<train::TrainArgs>),
    Compare(compare::CompareArgs),
    Report(report::ReportArgs),
    Evaluate(evaluate::EvaluateArgs),
    Predict(predict::PredictArgs),
    Explain(explain::ExplainArgs),
    Activations(activations::ActivationsArgs),
    Attack(attack::AttackArgs),
    Summary(summary::SummaryArgs),
    Calibrate(calibrate::CalibrateArgs),
    Quantize(quantize::QuantizeArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Sign(sign::SignArgs),
    Verify(verify::VerifyArgs),
}

/// The command line, read again where it names a preset, now with its recipe for what is not said.
fn parse() -> clap::error::Result<Cli> {
    let first = Cli::try_parse()?;
    let Command::Train(args) = &first.command else { return Ok(first) };
    let Some(preset) = args.preset() else { return Ok(first) };
    let command = Cli::command().mut_subcommand("train", |train| preset.set_defaults(train));
    Cli::from_arg_matches(&command.try_get_matches()?)
}

/// A recipe is forty options, and clap names all of them where one is in the way.
fn shorten(mut error: clap::Error) -> clap::Error {
    let recipe = |option: &String| option.starts_with("--preset");
    if matches!(error.get(ContextKind::PriorArg), Some(ContextValue::Strings(all)) if all.iter().any(recipe)) {
        let recipe = "DATA and the options of a recipe: the run's config.toml holds them";
        error.insert(ContextKind::PriorArg, ContextValue::String(recipe.to_owned()));
    }
    error
}

fn main() -> ExitCode {
    let cli = parse().unwrap_or_else(|error| shorten(error).exit());
    let result = match cli.command {
        Command::Gather(args) => gather::run(args),
        Command::Explore(args) => explore::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Train(args) => train::run(*args),
        Command::Compare(args) => compare::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Activations(args) => activations::run(&args),
        Command::Attack(args) => attack::run(&args),
        Command::Summary(args) => summary::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    result.unwrap_or_else(|error| {
        output::say(format_args!("husky: {error:#}"));
        ExitCode::FAILURE
    })
}
