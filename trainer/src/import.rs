//! `husky import`: a model file of weights that another program trained.

mod layers;
mod tensors;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use candle_core::DType;
use hdf5_pure::{AttrValue, File};
use husky::spec::{Parameters, Provenance, Step};
use husky::weights::{self, MAX_FILE, Precision};
use husky::{Error, Spec, Weights};
use serde_json::Value;
use zip::ZipArchive;

use crate::export::keras::OUTPUT;
use crate::files::{self, read_file, write_atomically};
use crate::{model_file, output};

/// Make a model file of weights from another program
///
/// Reads what Keras 2 or 3 saved, .h5 and .keras: a Sequential model of the article's kinds of layers. Where the file has weights
/// alone (Keras' `save_weights`, or `husky export --weights-only`), --like names a model of the same network. Colours are
/// divided by 255, as in the article, unless the network begins with a Rescaling layer. What Keras saved answers as it does in
/// Keras, without a temperature: `husky calibrate` fits one.
///
/// Example: husky import huskymodel.h5 --labels husky,nothusky --out husky.safetensors
#[derive(clap::Args, Debug)]
pub struct ImportArgs {
    /// A .h5, .keras, .weights.h5 or .safetensors file
    file: PathBuf,
    /// The labels by Keras' class numbers, 0 first: the names of the folders in alphabetical order
    #[arg(long, value_name = "LABEL,LABEL", value_delimiter = ',', required_unless_present = "like")]
    labels: Vec<String>,
    /// The label that a single output is the probability of [default: what `husky export` wrote down, or else the second, which
    /// is Keras' class 1]
    #[arg(long, value_name = "LABEL")]
    output: Option<String>,
    /// A model file that has everything but the weights: network, labels, preprocessing and calibration, of which Keras' files
    /// bring the temperature
    #[arg(long, value_name = "MODEL", conflicts_with = "labels")]
    like: Option<PathBuf>,
    /// The new file
    #[arg(long, value_name = "FILE", value_parser = files::new_file())]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// One sentence that names the file and says what can't be read of it.
pub fn run(args: &ImportArgs) -> Result<ExitCode> {
    files::ensure_other(&args.out, args.like.iter().chain([&args.file]))?;
    let like = args.like.as_deref().map(model_file::load).transpose()?;
    let file = read_file(&args.file, MAX_FILE, Error::ModelTooLarge);
    let read = file.and_then(|file| read(args, file, like.as_ref().map(husky::Classifier::spec)));
    let (spec, weights, note) = read.with_context(|| args.file.display().to_string())?;
    write_atomically(&args.out, &weights::write(&spec, &weights, Precision::F32)?)?;
    output::print(&format!("{}: {}{note}\n", args.out.display(), spec.labels.join(", ")))?;
    Ok(ExitCode::SUCCESS)
}

/// The model, and a note to whoever imports it.
fn read(args: &ImportArgs, file: Vec<u8>, like: Option<&Spec>) -> Result<(Spec, Weights, String)> {
    if hdf5_pure::is_hdf5_bytes(&file) {
        let file = File::from_bytes(file)?;
        let attributes = file.root().attrs()?;
        let text = |name: &str| attributes.get(name).and_then(AttrValue::as_str);
        return keras(args, text("model_config"), text(OUTPUT), &file, like);
    }
    if let Ok(mut archive) = ZipArchive::new(Cursor::new(&file)) {
        let config = String::from_utf8(entry(&mut archive, "config.json")?).context("its config.json is no text")?;
        let weights = File::from_bytes(entry(&mut archive, "model.weights.h5")?)?;
        return keras(args, Some(&config), None, &weights, like);
    }
    let Some(spec) = like else {
        bail!("is no file of Keras'; of weights alone, --like names a model of the same network")
    };
    let tensors = candle_core::safetensors::load_buffer(&file, &candle_core::Device::Cpu)
        .map_err(|_| anyhow::anyhow!("is neither a file of Keras' nor of safetensors"))?;
    let mut values = BTreeMap::new();
    for (name, tensor) in tensors {
        values.insert(name, tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?);
    }
    Ok((spec.clone(), Weights::new(spec, values)?, String::new()))
}

/// A file in a .keras archive.
fn entry(archive: &mut ZipArchive<Cursor<&Vec<u8>>>, name: &str) -> Result<Vec<u8>> {
    let file = archive.by_name(name).with_context(|| format!("is an archive without {name}, so none of Keras'"))?;
    let mut bytes = Vec::new();
    // What unpacks to more is no model, whatever it says about its length.
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= MAX_FILE, "its {name} is longer than {MAX_FILE} bytes");
    Ok(bytes)
}

fn keras(
    args: &ImportArgs,
    config: Option<&str>,
    output: Option<&str>,
    file: &File,
    like: Option<&Spec>,
) -> Result<(Spec, Weights, String)> {
    let mut spec = match (like, config) {
        (Some(spec), _) => spec.clone(),
        (None, None) => bail!("has weights alone: --like names a model of the same network"),
        (None, Some(config)) => {
            let config: Value = serde_json::from_str(config).context("its configuration is no JSON")?;
            spec_of(&config, args.labels.clone())?
        }
    };
    // Where these weights were trained nobody says. A temperature is in them.
    (spec.provenance, spec.temperature) = (Provenance::default(), 1.0);
    let steps = spec.steps()?;
    let parameters: Vec<&Parameters> = steps.iter().flat_map(Step::parameters).collect();
    let mut tensors = tensors::read(file, &parameters)?;
    if spec.labels.len() > 2 {
        ensure!(args.output.is_none(), "--output is for two labels, which share one output");
        return Ok((spec.clone(), Weights::new(&spec, tensors)?, String::new()));
    }
    // Those of Keras' classes, whichever of them the model looks for.
    let mut classes = spec.labels.clone();
    if like.is_some() {
        classes.sort();
    }
    let label = args.output.as_deref().or(output).unwrap_or(&classes[1]);
    ensure!(
        classes.iter().any(|class| class == label),
        "the output {label} is none of the labels {}: name one with --output",
        classes.join(", ")
    );
    if let (Some(last), true) = (parameters.last(), label == spec.labels[1]) {
        // The first label's probability is what is left.
        let names = [last.weight_name(), last.bias_name()];
        tensors
            .iter_mut()
            .filter(|(name, _)| names.contains(name))
            .flat_map(|(_, values)| values)
            .for_each(|v| *v = -*v);
    }
    let note = format!("; the network's output was taken for the probability of {label}");
    let weights = Weights::new(&spec, tensors)?;
    Ok((spec, weights, note))
}

/// What a model is by its configuration.
fn spec_of(config: &Value, labels: Vec<String>) -> Result<Spec> {
    let (architecture, input) = layers::read(config)?;
    Ok(Spec {
        name: config["config"]["name"].as_str().unwrap_or("keras").to_owned(),
        input,
        architecture,
        labels,
        temperature: 1.0,
        threshold: 0.5,
        unsure: None,
        provenance: Provenance::default(),
    })
}
