//! How fast a network trains on random pictures, without decoding, and in how much memory, as JSON: `cargo xtask bench
//! train` runs it beside other frameworks and says which network, with how many photos a step, and how many steps.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use candle_nn::Optimizer as _;
use husky::Spec;
use husky::spec::{Activation, Architecture, Layer, Padding};
use trainer::network::Network;
use trainer::ops::DropoutKey;
use trainer::optimizer::{Algorithm, Optimizer, Settings};
use trainer::presets::Preset;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [network, batch, steps] = &arguments[..] else { bail!("usage: train classic|efficientnet-lite0 BATCH STEPS") };
    let (batch, steps): (u64, u64) = (batch.parse()?, steps.parse()?);
    let classic = Preset::Classic.spec(vec!["yes".into(), "no".into()]);
    let spec = match &network[..] {
        "classic" => classic,
        "efficientnet-lite0" => efficientnet_lite0(classic),
        other => bail!("there is no network {other:?} to train"),
    };
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
        optimizer.step(&network.gradients(&pictures, labels, key)?.gradients)?;
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

/// EfficientNet-Lite0 for 160x160 pixels, with a single output.
fn efficientnet_lite0(mut spec: Spec) -> Spec {
    let conv = |filters, kernel, stride, activation| Layer::Conv2d {
        filters,
        kernel,
        stride,
        padding: Padding::Same,
        activation,
    };
    let mut layers = vec![conv(32, 3, 2, Activation::Relu6)];
    let mut channels = 32;
    // Of each stage: expansion, window, stride of the first block, output channels, blocks.
    for (expansion, kernel, stride, filters, blocks) in [
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ] {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let expand = (expansion > 1).then(|| conv(expansion * channels, 1, 1, Activation::Relu6));
            let activation = Activation::Relu6;
            let depthwise = Layer::DepthwiseConv2d { kernel, stride, padding: Padding::Same, activation };
            let block: Vec<_> =
                expand.into_iter().chain([depthwise, conv(filters, 1, 1, Activation::Linear)]).collect();
            if stride == 1 && channels == filters {
                layers.push(Layer::Residual { layers: block });
            } else {
                layers.extend(block);
            }
            channels = filters;
        }
    }
    let output = Layer::Dense { units: 1, activation: Activation::Linear };
    layers.extend([
        conv(1280, 1, 1, Activation::Relu6),
        Layer::GlobalAveragePool2d,
        Layer::Dropout { percent: 20 },
        output,
    ]);
    spec.name = "efficientnet-lite0".into();
    spec.input.size = 160;
    spec.architecture = Architecture(layers);
    spec
}
