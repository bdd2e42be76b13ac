//! `husky export`: a model file in another precision.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use husky::weights;

use crate::files::write_atomically;
use crate::model_file;

/// Write a model file with its weights in another precision
///
/// Half precision halves the file, 8-bit weights halve it again. Whether that changes an answer, `husky evaluate` tells.
#[derive(clap::Args, Debug)]
pub struct ExportArgs {
    /// The model file
    model: PathBuf,
    /// How the weights are to lie in the new file
    #[arg(long, value_enum)]
    precision: Precision,
    /// The new file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Precision {
    /// 16-bit floats
    F16,
    /// 32-bit floats
    F32,
    /// Weights as 8-bit integers, with a 32-bit scale for each output channel
    Int8,
}

/// Reads, checks and writes the model.
///
/// # Errors
/// One sentence that names the file: the model is bad, or a weight is too large for 16 bits.
pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let precision = match args.precision {
        Precision::F16 => weights::Precision::F16,
        Precision::F32 => weights::Precision::F32,
        Precision::Int8 => weights::Precision::I8,
    };
    let file = model_file::read(&args.model)?;
    let exported = weights::read(&file).and_then(|(spec, weights)| weights::write(&spec, &weights, precision));
    let bytes = exported.with_context(|| args.model.display().to_string())?;
    write_atomically(&args.out, &bytes)?;
    Ok(ExitCode::SUCCESS)
}
