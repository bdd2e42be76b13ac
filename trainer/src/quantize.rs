//! `husky quantize`: a model file in fewer bytes.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use husky::{Classifier, weights};

use crate::files::{self, write_atomically};
use crate::judge::{judge, judged};
use crate::{model_file, output};

/// Write a model file with its weights in fewer bits
///
/// Half precision halves the file, 8-bit weights halve it again. What that changes is measured where --data names photos.
///
/// Example: husky quantize model.safetensors --precision int8 --data photos --out small.safetensors
#[derive(clap::Args, Debug)]
pub struct QuantizeArgs {
    /// The model file
    model: PathBuf,
    /// How the weights are to lie in the new file
    #[arg(long, value_enum)]
    precision: Precision,
    /// The new file
    #[arg(long, value_name = "FILE", value_parser = files::new_file())]
    out: PathBuf,
    /// Folder with one folder of photos for each label, or a data set with a `validation`: judge them with both files, and
    /// print every figure of each
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
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
/// One sentence that names the file: the model is bad, or a weight is too large for 16 bits; or the photos are.
pub fn run(args: &QuantizeArgs) -> Result<ExitCode> {
    let precision = match args.precision {
        Precision::F16 => weights::Precision::F16,
        Precision::F32 => weights::Precision::F32,
        Precision::Int8 => weights::Precision::I8,
    };
    files::ensure_other(&args.out, [&args.model])?;
    let file = model_file::read(&args.model)?;
    let quantized = weights::read(&file).and_then(|(spec, weights)| weights::write(&spec, &weights, precision));
    let bytes = quantized.with_context(|| args.model.display().to_string())?;
    let mut text = format!("{}: {} bytes, from {}\n", args.out.display(), bytes.len(), file.len());
    if let Some(folder) = &args.data {
        let classifiers = [Classifier::load(&file)?, Classifier::load(&bytes)?];
        let (before, after) = (judge(&classifiers[0], folder)?.0, judge(&classifiers[1], folder)?.0);
        let labels = &classifiers[0].spec().labels;
        let figures = [&before, &after].map(|photos| judged(photos, labels).figures().rows());
        text += &format!("\n{:<36} {:>7} {:>8}\n", format!("{} photos", before.len()), "before", "after");
        for ((name, before), (_, after)) in figures[0].into_iter().zip(figures[1]) {
            let shown = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.4}"));
            text += &format!("{name:<36} {:>7} {:>8}\n", shown(before), shown(after));
        }
        let pairs = || before.iter().zip(&after);
        let flips = pairs().filter(|(a, b)| a.verdict.label != b.verdict.label).count();
        let change = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = pairs().map(|(a, b)| change(&a.verdict.probabilities, &b.verdict.probabilities));
        text += &format!("\nanswers that differ: {flips}\n");
        text += &format!("largest change of a probability: {:.4}\n", largest.fold(0.0, f32::max));
    }
    write_atomically(&args.out, &bytes)?;
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
