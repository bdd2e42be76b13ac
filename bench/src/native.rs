//! `bench native`: the engine beside candle and ONNX Runtime on the CPU, one thread each.

use std::{fs, hint::black_box, path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use bench::candle;
use husky::{Classifier, Pixels};
use serde::Deserialize;
use xtask::process::{read, run as run_command};

use crate::{
    models::Model,
    peers,
    table::{Samples, Table, median},
};

/// The largest difference of two engines' probabilities.
const TOLERANCE: f64 = 1e-4;
/// Forward passes of a round, after as many that don't count.
const RUNS: usize = 50;

/// What an engine did in a round.
#[derive(Deserialize)]
struct Round {
    logit: f64,
    milliseconds: Vec<f64>,
}

/// Measures, prints the table and writes it beside the peers.
///
/// # Errors
/// A peer can't be installed, or two engines disagree.
pub fn run(model: Model, rounds: usize) -> Result<()> {
    // candle asks the environment for its threads, once.
    if std::env::var_os("RAYON_NUM_THREADS").is_none() {
        let arguments = std::env::args_os().skip(1);
        return run_command(Command::new(std::env::current_exe()?).args(arguments).env("RAYON_NUM_THREADS", "1"));
    }
    let python = peers::install_python("requirements.txt")?;
    let files = model.convert(&python, &peers::folder()?.join("models"))?;
    let bytes = fs::read(files.folder.join("model.safetensors"))?;
    let classifier = Classifier::load(&bytes)?;
    let (spec, weights) = husky::weights::read(&bytes)?;
    let network = candle::Network::new(&spec, &weights, false)?;
    let rgba: Vec<u8> = (0..files.size * files.size * 4).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let pixels = Pixels::from_rgba(files.size, files.size, &rgba)?;
    let input = spec.input.normalize(pixels.rgb());
    let candle_input = network.input(&input)?;
    let path = files.folder.join("input.f32");
    fs::write(&path, input.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())?;

    let husky = || {
        timed(|| {
            let probability = f64::from(classifier.classify_pixels(&pixels)?.probabilities[0]);
            Ok(f64::from(spec.temperature) * (probability / (1.0 - probability)).ln())
        })
    };
    let candle = || timed(|| Ok(f64::from(network.logit(&candle_input)?)));
    let onnx = || onnx(&python, &files.folder, &path);
    let engines: [(String, &dyn Fn() -> Result<Round>); 3] = [
        ("Husky AI".into(), &husky),
        (format!("ONNX Runtime {}", peers::version("requirements.txt", "onnxruntime")?), &onnx),
        ("candle, stock".into(), &candle),
    ];
    let mut milliseconds = vec![Samples::default(); engines.len()];
    let mut probabilities = vec![f64::NAN; engines.len()];
    for round in 0..rounds {
        eprintln!("Round {} of {rounds}.", round + 1);
        for i in 0..engines.len() {
            let i = (i + round) % engines.len();
            let result = engines[i].1()?;
            milliseconds[i].0.push(median(&result.milliseconds));
            probabilities[i] = 1.0 / (1.0 + (-result.logit / f64::from(spec.temperature)).exp());
        }
    }
    let mut table = Table::new(&["engine", "ms", "to ours"]);
    for (((title, _), milliseconds_of), probability) in engines.iter().zip(&milliseconds).zip(&probabilities) {
        let equal = (probability - probabilities[0]).abs() <= TOLERANCE;
        ensure!(equal, "{title} answers {probability} where ours answers {}", probabilities[0]);
        let ratio = format!("{:.2}x", milliseconds_of.ratio(&milliseconds[0]));
        table.row([title.clone(), milliseconds_of.to_string(), ratio]);
    }
    let name = model.name();
    let report = format!(
        "`{name}`, native, batch 1, one thread, {}: `cargo xtask bench native {name} --rounds {rounds}`. Medians of \
         {rounds} rounds of {RUNS} photos (smallest–largest); ratios within a round; answers equal to {TOLERANCE}.\n\n\
         {table}\n{:.1} GFLOP/s of direct convolution.\n",
        peers::machine()?,
        2.0 * files.multiplications / milliseconds[0].median() / 1e6,
    );
    let path = peers::folder()?.join(format!("native-{name}.md"));
    fs::write(&path, &report)?;
    println!("{report}\nThe table is in {}", path.display());
    Ok(())
}

fn timed(mut act: impl FnMut() -> Result<f64>) -> Result<Round> {
    let mut round = Round { logit: f64::NAN, milliseconds: Vec::new() };
    for i in 0..2 * RUNS {
        let start = Instant::now();
        round.logit = black_box(act()?);
        if i >= RUNS {
            round.milliseconds.push(start.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(round)
}

fn onnx(python: &Path, folder: &Path, input: &Path) -> Result<Round> {
    let script = peers::sources().join("python/native.py");
    let output =
        read(Command::new(python).arg(script).arg(folder.join("model.onnx")).arg(input).arg(RUNS.to_string()))?;
    serde_json::from_str(&output).with_context(|| format!("native.py printed {output:?}"))
}
