//! `bench train`: a training step of a network on random pictures, ours beside Keras and PyTorch.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use xtask::{
    dist::target_folder,
    process::{cargo, read, run as run_command},
};

use crate::{
    peers,
    table::{Samples, Table},
};

/// A framework to train beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Keras on TensorFlow.
    Keras,
    /// PyTorch, channels last, fused Adam; 5 GB to download.
    Torch,
}

/// A network to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// The article's, 128x128 pixels.
    Classic,
    /// EfficientNet-Lite0, 160x160 pixels.
    EfficientnetLite0,
}

impl Network {
    fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::EfficientnetLite0 => "efficientnet-lite0",
        }
    }
}

/// Photos a step.
const BATCH: &str = "32";
/// Steps of a round; the rate is that of the median step, so that those of the warm-up don't count.
const STEPS: &str = "25";
/// Lets the C library keep what is freed, for all alike: without it the peers take and return their buffers step by step.
/// Ours brings its own allocator, which does so by itself.
const MALLOC: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "4294967296"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

#[derive(Deserialize)]
struct Round {
    images_per_second: f64,
    megabytes: f64,
}

/// Something that trains, with what its rounds gave.
struct Trainer {
    title: String,
    program: PathBuf,
    script: Option<PathBuf>,
    rate: Samples,
    memory: Samples,
}

/// Steps of a real epoch: long enough that `husky train` says how fast it is, which it does every 15 seconds.
const EPOCH_STEPS: &str = "300";

/// The rate of `husky train` in an epoch of `classic` on photos: decoding, distorting and training, without what comes
/// before the first step and after the last.
fn epoch(husky: &Path, photos: &Path) -> Result<f64> {
    let folder = peers::folder()?.join("epoch");
    let _ = fs::remove_dir_all(&folder);
    let options = ["--epochs", "1", "--batch-size", BATCH, "--steps-per-epoch", EPOCH_STEPS];
    let output = Command::new(husky).arg("train").arg(photos).arg("--out").arg(&folder).args(options).output()?;
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "husky train failed: {lines}");
    let step = lines.lines().rfind(|line| line.contains("  step "));
    let rate = step.and_then(|line| line.split("  ").find_map(|part| part.strip_suffix(" images/s")));
    rate.and_then(|rate| rate.parse().ok()).with_context(|| format!("husky train named no rate: {lines}"))
}

impl Trainer {
    fn ours() -> Result<Self> {
        let build = ["bench", "--quiet", "--package=trainer", "--bench=train", "--no-run", "--message-format=json"];
        let messages = read(cargo().args(build))?;
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        // Among them is the command `husky`, too.
        let mut programs = messages.filter(|message| message["target"]["name"] == "train");
        let program = programs.find_map(|message| message["executable"].as_str().map(PathBuf::from));
        let program = program.context("cargo named no benchmark")?;
        Ok(Self {
            title: "Husky AI".into(),
            program,
            script: None,
            rate: Samples::default(),
            memory: Samples::default(),
        })
    }

    fn peer(peer: Peer) -> Result<Self> {
        let (title, requirements, package, script) = match peer {
            Peer::Keras => ("Keras, TensorFlow", "requirements-keras.txt", "tensorflow-cpu", "train_keras.py"),
            Peer::Torch => ("PyTorch", "requirements-torch.txt", "torch", "train_torch.py"),
        };
        Ok(Self {
            title: format!("{title} {}", peers::version(requirements, package)?),
            program: peers::install_python(requirements)?,
            script: Some(peers::sources().join("python").join(script)),
            rate: Samples::default(),
            memory: Samples::default(),
        })
    }

    fn round(&mut self, network: Network) -> Result<()> {
        let output =
            read(Command::new(&self.program).args(&self.script).args([network.name(), BATCH, STEPS]).envs(MALLOC))?;
        let line = output.lines().last().unwrap_or_default();
        let round: Round = serde_json::from_str(line).with_context(|| format!("{} printed {line:?}", self.title))?;
        self.rate.0.push(round.images_per_second);
        self.memory.0.push(round.megabytes);
        Ok(())
    }
}

/// Measures, prints the table and writes it beside the peers.
///
/// # Errors
/// A peer can't be installed or does not know the network, or a training fails.
pub fn run(network: Network, others: &[Peer], photos: Option<&Path>, rounds: usize) -> Result<()> {
    ensure!(photos.is_none() || network == Network::Classic, "a real epoch is one of classic here");
    let both = network == Network::Classic || !others.contains(&Peer::Keras);
    ensure!(both, "Keras trains classic only here: compare {} with PyTorch", network.name());
    let mut trainers = vec![Trainer::ours()?];
    for &peer in others {
        trainers.push(Trainer::peer(peer)?);
    }
    if photos.is_some() {
        run_command(cargo().args(["build", "--quiet", "--release", "--package=trainer", "--bin=husky"]))?;
    }
    let husky = target_folder()?.join("release/husky");
    let mut epochs = Samples::default();
    let count = trainers.len();
    for round in 0..rounds {
        eprintln!("Round {} of {rounds}.", round + 1);
        for i in 0..count {
            trainers[(i + round) % count].round(network)?;
        }
        if let Some(photos) = photos {
            epochs.0.push(epoch(&husky, photos)?);
        }
    }
    let mut table = Table::new(&["trainer", "images/s", "ours to it", "peak memory, MB"]);
    for trainer in &trainers {
        let ratio = format!("{:.2}x", trainers[0].rate.ratio(&trainer.rate));
        table.row([trainer.title.clone(), trainer.rate.to_string(), ratio, trainer.memory.to_string()]);
    }
    if photos.is_some() {
        let ratio = format!("{:.2}x", trainers[0].rate.ratio(&epochs));
        table.row(["`husky train`, an epoch of photos".into(), epochs.to_string(), ratio, "-".into()]);
    }
    let names: Vec<_> = others.iter().filter_map(ValueEnum::to_possible_value).collect();
    let names: Vec<_> = names.iter().map(|name| name.get_name()).collect();
    let option = if names.is_empty() { String::new() } else { format!(" --peers {}", names.join(",")) };
    let option = option + if photos.is_some() { " --photos DATA" } else { "" };
    let network = network.name();
    let report = format!(
        "Training `{network}`, batch {BATCH}, dropout, Adam, random pictures, all cores of {}: `cargo xtask bench \
         train --network {network}{option} --rounds {rounds}`. Medians of {rounds} processes each, in rotated order, each of {STEPS} steps \
         (smallest–largest); ratios within a round; all with {}.\n\n{table}",
        peers::machine()?,
        MALLOC.map(|(name, value)| format!("{name}={value}")).join(" "),
    );
    let path = peers::folder()?.join(format!("train-{network}.md"));
    fs::write(&path, &report)?;
    println!("{report}\nThe table is in {}", path.display());
    Ok(())
}
