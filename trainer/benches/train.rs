//! How fast `classic` trains on random pictures, without decoding, and in how much memory, as JSON: `cargo xtask bench
//! train` runs it beside other frameworks and says with how many photos a step, and how many steps.

use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::Optimizer as _;
use trainer::network::Network;
use trainer::ops::{CrossEntropy, DropoutKey};
use trainer::optimizer::{Algorithm, Optimizer, Settings};
use trainer::presets::Preset;

fn main() -> Result<()> {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let [batch, steps] = numbers[..] else { anyhow::bail!("usage: train BATCH STEPS") };
    let spec = Preset::Classic.spec(vec!["yes".into(), "no".into()]);
    let network = Network::new(&spec, 1)?;
    let settings = Settings { algorithm: Algorithm::Adam, learning_rate: 5e-4, momentum: 0.0 };
    let mut optimizer = Optimizer::new(network.parameters().values().cloned().collect(), settings)?;
    let size = spec.input.size as usize;
    let pictures = Tensor::zeros((batch as usize, size, size, 3), DType::F32, &Device::Cpu)?.rand_like(0.0, 1.0)?;
    let mut seconds = Vec::new();
    for step in 0..steps {
        let start = Instant::now();
        let key = DropoutKey { seed: 1, epoch: 1, first_sample: step * batch };
        let labels = (0..batch as usize).map(|i| i % 2).collect();
        optimizer.backward_step(&network.forward(&pictures, Some(key))?.apply_op1(CrossEntropy::new(labels))?)?;
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
