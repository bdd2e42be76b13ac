//! The engine's kernels one by one, each in a network as small as the engine takes it.
//!
//! A layer's time is that of a network with it less that of the same network without it. Before it, a convolution of
//! 1x1 makes as many channels as the layer wants; after it, one that strides over the whole picture makes a single
//! pixel of its first, which takes no time.

use std::hint::black_box;

use husky::{
    Error,
    engine::Network,
    spec::{Activation, Layer, Op, Padding, Shape, Step},
};

use crate::{peak, random};

/// What is measured of each kernel in one call of [`measure`].
pub const ROUNDS: usize = 15;
/// What each network runs in a round, in milliseconds, and ten times as long before the first.
const ROUND: f64 = 10.0;

/// A kernel of the engine on a layer of one of the networks.
pub struct Kernel {
    /// What it does.
    pub name: &'static str,
    /// Shape of the layer's input.
    pub input: Shape,
    /// Shape of its output, after the pool.
    pub output: Shape,
    /// Floating-point operations of direct convolution.
    pub operations: f64,
    with: Network,
    without: Network,
    picture: Vec<f32>,
}

/// Every kernel, on layers of `classic` and EfficientNet-Lite0.
///
/// # Errors
/// None, but for a bug.
pub fn all() -> Result<Vec<Kernel>, Error> {
    let valid = |filters, kernel| conv(filters, kernel, 1, Padding::Valid, Activation::Relu);
    let point = |filters| conv(filters, 1, 1, Padding::Same, Activation::Relu6);
    let depthwise = |kernel, stride| Layer::DepthwiseConv2d {
        kernel,
        stride,
        padding: Padding::Same,
        activation: Activation::Relu6,
    };
    let pooled = |filters| vec![valid(filters, 3), Layer::MaxPool2d];
    let stem = conv(32, 3, 2, Padding::Same, Activation::Relu6);
    let dense = Layer::Dense { units: 128, activation: Activation::Relu };
    [
        ("convolution 3x3, pool", 128, 3, pooled(32)),
        ("convolution 3x3, stride 2", 224, 3, vec![stem]),
        ("convolution 1x1", 14, 112, vec![point(672)]),
        ("convolution 1x1", 14, 480, vec![conv(112, 1, 1, Padding::Same, Activation::Linear)]),
        ("Winograd 3x3, pool", 63, 32, pooled(64)),
        ("Winograd 3x3, pool", 30, 64, pooled(128)),
        ("depthwise 3x3", 112, 32, vec![depthwise(3, 1)]),
        ("depthwise 3x3, stride 2", 112, 96, vec![depthwise(3, 2)]),
        ("depthwise 5x5", 14, 480, vec![depthwise(5, 1)]),
        ("depthwise 5x5, stride 2", 56, 144, vec![depthwise(5, 2)]),
        ("dense", 14, 128, vec![Layer::Flatten, dense]),
    ]
    .into_iter()
    .map(|(name, size, channels, layers)| Kernel::new(name, size, channels, layers))
    .collect()
}

fn conv(filters: u32, kernel: u32, stride: u32, padding: Padding, activation: Activation) -> Layer {
    Layer::Conv2d { filters, kernel, stride, padding, activation }
}

impl Kernel {
    fn new(name: &'static str, size: u32, channels: u32, layers: Vec<Layer>) -> Result<Self, Error> {
        let picture = random::noise().take((size * size * 3) as usize).collect();
        let before =
            if channels == 3 { vec![] } else { vec![conv(channels, 1, 1, Padding::Valid, Activation::Linear)] };
        let corner = [conv(1, 1, size, Padding::Valid, Activation::Linear), Layer::Flatten];
        let logit = [Layer::Dense { units: 1, activation: Activation::Linear }];
        let flat = layers.contains(&Layer::Flatten);
        let network = |layers: &[Layer], flat: bool| {
            let after = if flat { &[] } else { &corner[..] };
            random::network(name, size, [&before[..], layers, after, &logit].concat())
        };
        let (spec, weights) = network(&layers, flat)?;
        let steps = spec.steps()?;
        let measured = &steps[before.len()..steps.len() - 1 - if flat { 0 } else { corner.len() }];
        let (first, last) = (&measured[0], &measured[measured.len() - 1]);
        let with = Network::new(&steps, &mut |name| weights.get(name).to_vec().into());
        let (input, output, operations) = (first.input, last.output, operations(last));
        let (spec, weights) = network(&[], false)?;
        let without = Network::new(&spec.steps()?, &mut |name| weights.get(name).to_vec().into());
        Ok(Self { name, input, output, operations, with, without, picture })
    }
}

/// Two for each multiplication.
fn operations(step: &Step) -> f64 {
    let weights: usize = step.parameters().iter().flat_map(|p| &p.shape[..]).product();
    let sums = match (step.output, &step.op) {
        (Shape::Vector(_), _) => 1,
        (Shape::Image { height, width, .. }, Op::Conv2d { pool: true, .. }) => 4 * height * width,
        (Shape::Image { height, width, .. }, _) => height * width,
    };
    2.0 * (weights * sums) as f64
}

/// Measures `kernels` beside the peak loop: for each, and each of [`ROUNDS`], the operations a millisecond of the kernel
/// and of the loop. `now` is a clock in milliseconds.
pub fn measure(kernels: &[Kernel], now: impl Fn() -> f64) -> Vec<[f64; 2]> {
    let loop_operations = 1e6;
    let peak = || {
        black_box(peak::multiply_add(loop_operations));
    };
    let mut rates = Vec::new();
    for kernel in kernels {
        let with = || forward(&kernel.with, &kernel.picture);
        let without = || forward(&kernel.without, &kernel.picture);
        let runs = [warm_up(&now, without), warm_up(&now, with), warm_up(&now, peak)];
        for _ in 0..ROUNDS {
            let without = time(&now, without, runs[0]);
            let with = time(&now, with, runs[1]);
            rates.push([kernel.operations / (with - without), loop_operations / time(&now, peak, runs[2])]);
        }
    }
    rates
}

// Never a part of its caller: what a browser has optimised is run from the next call on.
#[inline(never)]
fn forward(network: &Network, picture: &[f32]) {
    black_box(network.forward(black_box(picture)));
}

/// Runs `act` for a while; returns how often it runs in a round.
fn warm_up(now: impl Fn() -> f64, act: impl Fn()) -> usize {
    let (start, mut runs) = (now(), 0);
    while now() - start < 10.0 * ROUND {
        act();
        runs += 1;
    }
    (runs / 10).max(1)
}

/// Milliseconds of `act`, run `runs` times.
fn time(now: impl Fn() -> f64, act: impl Fn(), runs: usize) -> f64 {
    let start = now();
    for _ in 0..runs {
        act();
    }
    (now() - start) / runs as f64
}
