//! `bench train`: a training step of a network on random pictures, ours beside Keras and PyTorch.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use xtask::process::{cargo, read};

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
pub fn run(network: Network, others: &[Peer], rounds: usize) -> Result<()> {
    let both = network == Network::Classic || !others.contains(&Peer::Keras);
    ensure!(both, "Keras trains classic only here: compare {} with PyTorch", network.name());
    let mut trainers = vec![Trainer::ours()?];
    for &peer in others {
        trainers.push(Trainer::peer(peer)?);
    }
    let count = trainers.len();
    for round in 0..rounds {
        eprintln!("Round {} of {rounds}.", round + 1);
        for i in 0..count {
            trainers[(i + round) % count].round(network)?;
        }
    }
    let mut table = Table::new(&["trainer", "images/s", "ours to it", "peak memory, MB"]);
    for trainer in &trainers {
        let ratio = format!("{:.2}x", trainers[0].rate.ratio(&trainer.rate));
        table.row([trainer.title.clone(), trainer.rate.to_string(), ratio, trainer.memory.to_string()]);
    }
    let names: Vec<_> = others.iter().filter_map(ValueEnum::to_possible_value).collect();
    let names: Vec<_> = names.iter().map(|name| name.get_name()).collect();
    let option = if names.is_empty() { String::new() } else { format!(" --peers {}", names.join(",")) };
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
