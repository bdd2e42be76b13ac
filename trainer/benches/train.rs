//! How fast a network trains on random pictures, without decoding, and in how much memory, as JSON: `cargo xtask bench
//! train` runs it beside other frameworks and says which network, with how many photos a step, and how many steps.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use candle_nn::Optimizer as _;
use husky_ops::{CrossEntropy, one_hot};
use trainer::network::{DropoutKey, Frozen, Network};
use trainer::optimizer::{Algorithm, Optimizer, Settings};
use trainer::presets::Preset;

/// As in the command `husky`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [network, batch, steps] = &arguments[..] else { bail!("usage: train classic|efficientnet-lite0 BATCH STEPS") };
    let (batch, steps): (u64, u64) = (batch.parse()?, steps.parse()?);
    let labels = vec!["yes".into(), "no".into()];
    let spec = match &network[..] {
        "classic" => Preset::Classic.spec(labels, None),
        "efficientnet-lite0" => Preset::Lite0.spec(labels, Some(160)),
        other => bail!("there is no network {other:?} to train"),
    };
    let network = Network::new(&spec, Network::fresh(&spec, 1)?, Frozen::default())?;
    let settings = Settings { algorithm: Algorithm::Adam, learning_rate: 5e-4, momentum: 0.0, weight_decay: 0.0 };
    let mut optimizer = Optimizer::new(network.parameters().values().cloned().collect(), settings)?;
    let size = spec.input.size as usize;
    let pictures = Tensor::zeros((batch as usize, size, size, 3), DType::F32, &Device::Cpu)?.rand_like(0.0, 1.0)?;
    let mut seconds = Vec::new();
    for step in 0..steps {
        let start = Instant::now();
        let key = DropoutKey { seed: 1, epoch: 1, first_sample: step * batch };
        let labels: Vec<usize> = (0..batch as usize).map(|i| i % 2).collect();
        optimizer.step(
            &network
                .gradients(&pictures, |outputs| outputs.apply_op1(CrossEntropy::new(one_hot(&labels, 2))), key)?
                .gradients,
        )?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let rate = batch as f64 / seconds[seconds.len() / 2];
    println!("{{\"images_per_second\": {rate}, \"megabytes\": {}}}", peak_memory()?);
    Ok(())
}

/// The most memory that was ever resident, in MB.
fn peak_memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is read from Linux' /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1000.0)
}
