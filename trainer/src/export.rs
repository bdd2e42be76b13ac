//! `husky export`: a model for other programs.

pub(crate) mod keras;
mod onnx;
mod tfjs;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use husky::spec::Step;
use husky::{Spec, Weights, weights};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::files::{self, little_endian, write_atomically};
use crate::{model_file, output};

/// Write a model for other programs
///
/// Each file takes a photo as `[batch, size, size, 3]`, 0 to 255, RGB, and normalises it itself; what is left to its user is to
/// stretch the photo to the square with an antialiased triangle filter, as Pillow's BILINEAR does. Weights are 32-bit floats,
/// whatever the model file has. It does not say "unsure".
///
/// Example: husky export models/husky.safetensors --format onnx --out husky.onnx
#[derive(clap::Args, Debug)]
pub struct ExportArgs {
    /// The model file
    model: PathBuf,
    /// For which program
    #[arg(long, value_enum, required_unless_present = "weights_only")]
    format: Option<Format>,
    /// Write nothing but the weights, as safetensors, which `husky import --like MODEL` reads again; the article's `save_weights`
    #[arg(long, conflicts_with = "format")]
    weights_only: bool,
    /// The new file; for tfjs a folder
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// ONNX Runtime and others (opset 17): outputs `logits` and `probabilities`, one for each label
    Onnx,
    /// TensorFlow.js' layers: `model.json` and its weights, for `tf.loadLayersModel`
    Tfjs,
    /// Keras' .h5, for `keras.models.load_model`, of version 2 or 3
    Keras,
}

/// Runs the command.
///
/// # Errors
/// One sentence for a model that can't be read or has what the format has not, or a file that can't be written.
pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let named = || args.model.display().to_string();
    files::ensure_other(&args.out, [&args.model])?;
    let file = model_file::read(&args.model)?;
    let (spec, weights) = weights::read(&file).with_context(named)?;
    match args.format {
        None => write_atomically(&args.out, &tensors(&spec, &weights)?)?,
        Some(Format::Onnx) => write_atomically(&args.out, &onnx::file(&spec, &weights, &weights::digest(&file)?)?)?,
        Some(Format::Keras) => {
            let layers = keras::layers(&spec, &weights).with_context(named)?;
            write_atomically(&args.out, &keras::file(&layers, &spec.labels)?)?;
        }
        Some(Format::Tfjs) => {
            fs::create_dir_all(&args.out).with_context(|| format!("{}: cannot be made", args.out.display()))?;
            let [model, values] = tfjs::files(&keras::layers(&spec, &weights).with_context(named)?);
            write_atomically(&args.out.join(tfjs::WEIGHTS), &values)?;
            write_atomically(&args.out.join("model.json"), &model)?;
        }
    }
    output::print(&format!("{}: {}\n", args.out.display(), what(args, &spec)))?;
    Ok(ExitCode::SUCCESS)
}

/// What was written, and what is to be known about it.
fn what(args: &ExportArgs, spec: &Spec) -> String {
    let size = spec.input.size;
    let labels = &spec.labels;
    match args.format {
        None => "the weights alone".to_owned(),
        Some(Format::Onnx) => {
            format!("from pixels [batch, {size}, {size}, 3] to probabilities of {}", labels.join(", "))
        }
        Some(_) if labels.len() == 2 => format!(
            "from [batch, {size}, {size}, 3] to the probability of {}, which is answered from {} on",
            labels[0], spec.threshold
        ),
        Some(_) => format!("from [batch, {size}, {size}, 3] to probabilities of {}", labels.join(", ")),
    }
}

/// All tensors as 32-bit floats under the model file's names, in a safetensors file without metadata.
fn tensors(spec: &Spec, weights: &Weights) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for p in spec.steps()?.iter().flat_map(Step::parameters) {
        for (name, shape) in [(p.weight_name(), p.shape.clone()), (p.bias_name(), vec![p.bias_len()])] {
            let bytes = little_endian(weights.get(&name));
            tensors.push((name, shape, bytes));
        }
    }
    let views =
        tensors.iter().map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
}
