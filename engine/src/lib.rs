//! The forward pass: the few operations that the architectures need, fused, for the vectors of the machine that it runs
//! on. Every kernel is generic over the vector type: SSE, AVX2, AVX-512, NEON and WebAssembly's run one source, and so
//! does the code without SIMD that tests hold them to.
//!
//! It is a crate of its own because of the compiler, which optimises crate by crate: in the browser this one is built to
//! be fast, and everything around it to be small.

mod conv;
mod dense;
mod depthwise;
mod explain;
mod filters;
mod hash;
mod log_sum_exp;
mod picture;
mod resize;
mod step;
mod texture;
mod values;
mod winograd;

use std::{
    slice::{from_mut, from_ref},
    sync::{Mutex, PoisonError},
};

pub use fearless_simd::Level;
use fearless_simd::{dispatch, prelude::*};

use conv::Conv;
use dense::Dense;
use depthwise::Depthwise;
use filters::{Filters, Finish};
use picture::{Buffers, Layout, Margins, Picture};
use winograd::Winograd;

pub use explain::{FeatureMaps, Heat};
pub use hash::blake3;
pub use resize::resize;
pub use step::{Activation, Op, Padding, Parameters, Shape, Step, Window};
pub use texture::Texture;
pub use values::{Values, from_integers, normalize, normalize_pixel, over_white};

/// A network ready to run.
pub struct Network {
    level: Level,
    input: Layout,
    layers: Vec<Layer>,
    /// One set for each thread that classifies at the same time.
    buffers: Mutex<Vec<Buffers>>,
}

struct Layer {
    kernel: Kernel,
    output: Layout,
}

enum Kernel {
    Conv(Conv),
    Winograd(Winograd),
    Depthwise(Depthwise),
    Residual(Vec<Layer>),
    Mean,
    Dense(Dense),
    LogSumExp(Vec<usize>),
}

impl Network {
    /// Packs the weights for the kernels. `weights` gives a tensor's values by its name, and is asked once for each.
    ///
    /// # Panics
    /// If there are no steps that compute something, or the weights were made for others.
    pub fn new(steps: &[Step], weights: &mut dyn FnMut(&str) -> Values) -> Self {
        Self::with_level(Level::new(), steps, weights)
    }

    /// As [`Network::new`], for the vectors of `level` instead of this machine's best: the tests hold SIMD to the code
    /// without.
    ///
    /// # Panics
    /// As [`Network::new`].
    pub fn with_level(level: Level, steps: &[Step], weights: &mut dyn FnMut(&str) -> Values) -> Self {
        let mut builder = Builder { weights, lanes: dispatch!(level, simd => lanes(simd)) };
        // Both read any number of channels: three are not filled up for them.
        let reads_any = |step: &&Step| matches!(step.op, Op::Conv2d { .. } | Op::Dense { .. });
        let lanes = if computing(steps).first().is_some_and(reads_any) { 1 } else { builder.lanes };
        let (layers, margins) = builder.layers(steps, lanes, Margins::default());
        let input = Layout::new(steps[0].input, margins, lanes);
        Self { level, input, layers, buffers: Mutex::default() }
    }

    /// The logits of `input`, `[height, width, 3]` normalised values.
    ///
    /// # Panics
    /// If `input` has another length.
    pub fn forward(&self, input: &[f32]) -> Vec<f32> {
        self.forward_all(&[input]).swap_remove(0)
    }

    /// As [`Network::forward`], of several inputs, to the same numbers and faster: dense layers read their weights once.
    ///
    /// # Panics
    /// As [`Network::forward`].
    pub fn forward_all(&self, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
        let is_dense = |layer: &Layer| matches!(layer.kernel, Kernel::Dense(_));
        let cut = self.layers.iter().position(is_dense).unwrap_or(self.layers.len());
        // One by one as long as what lies between the layers is large, and shall stay in the cache.
        let (body, head) = self.layers.split_at(cut);
        self.with_buffers(|buffers| {
            dispatch!(self.level, simd => {
                let mut pictures: Vec<_> = inputs.iter().map(|input| {
                    let picture = self.picture(input, buffers);
                    run(simd, body, picture, buffers, &mut |_, _| {})
                }).collect();
                for layer in head {
                    let outputs = layer.forward_all(simd, &pictures, buffers);
                    pictures.drain(..).for_each(|picture| buffers.give_back(picture.values));
                    pictures = outputs;
                }
                let logits = pictures.iter().map(|output| output.values[..output.layout.channels].to_vec()).collect();
                pictures.drain(..).for_each(|picture| buffers.give_back(picture.values));
                logits
            })
        })
    }

    /// Lends memory that was used before.
    fn with_buffers<T>(&self, act: impl FnOnce(&mut Buffers) -> T) -> T {
        // Another thread's panic leaves nothing half done here: buffers hold no state.
        let pool = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffers = pool().pop().unwrap_or_default();
        let result = act(&mut buffers);
        pool().push(buffers);
        result
    }

    /// `input`, laid out for the first layer.
    fn picture(&self, input: &[f32], buffers: &mut Buffers) -> Picture {
        let Layout { height, width, channels, depth, .. } = self.input;
        assert_eq!(input.len(), height * width * channels, "input of the network");
        let mut picture = buffers.picture(self.input);
        for (row, values) in picture.rows_mut().zip(input.chunks_exact(width * channels)) {
            for (pixel, values) in row.chunks_exact_mut(depth).zip(values.chunks_exact(channels)) {
                pixel[..channels].copy_from_slice(values);
                pixel[channels..].fill(0.0);
            }
        }
        picture
    }
}

#[inline(always)]
fn lanes<S: Simd>(_: S) -> usize {
    S::f32s::LEN
}

/// The steps at which something is computed: nothing is dropped at inference, and a picture without a margin is a vector.
fn computing(steps: &[Step]) -> Vec<&Step> {
    steps.iter().filter(|step| !matches!(step.op, Op::Dropout { .. } | Op::Flatten)).collect()
}

/// Makes kernels of steps.
struct Builder<'a> {
    /// A tensor's values by its name.
    weights: &'a mut dyn FnMut(&str) -> Values,
    /// Values in a vector.
    lanes: usize,
}

impl Builder<'_> {
    /// Kernels for `steps`, the first of which reads channels filled up to a multiple of `first`, and the last of which
    /// writes the margin `after`. The margin that they want themselves comes with them.
    fn layers(&mut self, steps: &[Step], first: usize, after: Margins) -> (Vec<Layer>, Margins) {
        let mut margins = after;
        let mut layers = Vec::new();
        for (i, step) in computing(steps).into_iter().enumerate().rev() {
            let output = Layout::new(step.output, margins, self.lanes);
            let kernel;
            (kernel, margins) = self.kernel(step, if i == 0 { first } else { self.lanes }, output);
            layers.push(Layer { kernel, output });
        }
        layers.reverse();
        (layers, margins)
    }

    /// A step's kernel, and the margin that it wants.
    fn kernel(&mut self, step: &Step, lanes: usize, output: Layout) -> (Kernel, Margins) {
        let input = Layout::new(step.input, Margins::default(), lanes);
        match &step.op {
            &Op::Conv2d { ref parameters, window, activation, pool } => {
                let (weights, finish) = self.take(parameters, activation);
                if Winograd::fits(window, input.channels) {
                    let margins = Winograd::margins(window, input.height, input.width);
                    let winograd = Winograd::new(self.lanes, &weights.into_singles(), finish, pool, &input, &output);
                    return (Kernel::Winograd(winograd), margins);
                }
                let filters = Filters::new(self.lanes, &weights.into_singles(), &input, &output);
                let Window { kernel, stride, .. } = window;
                (Kernel::Conv(Conv { filters, finish, kernel, stride, pool }), Margins::new(window, &input))
            }
            &Op::DepthwiseConv2d { ref parameters, window, activation } => {
                let (weights, finish) = self.take(parameters, activation);
                let depthwise = Depthwise::new(self.lanes, window, &weights.into_singles(), finish, &output);
                (Kernel::Depthwise(depthwise), Margins::new(window, &input))
            }
            Op::Residual { steps } => {
                let (layers, margins) = self.layers(steps, self.lanes, output.margins);
                (Kernel::Residual(layers), margins)
            }
            Op::GlobalAveragePool2d => (Kernel::Mean, Margins::default()),
            &Op::Dense { ref parameters, activation } => {
                let (weights, finish) = self.take(parameters, activation);
                let dense = Dense::new(weights, finish, &output);
                (Kernel::Dense(dense), Margins::default())
            }
            Op::LogSumExp { groups } => (Kernel::LogSumExp(groups.clone()), Margins::default()),
            Op::Dropout { .. } | Op::Flatten => unreachable!("nothing is computed there"),
        }
    }

    /// A layer's weights, and what follows their sums.
    fn take(&mut self, parameters: &Parameters, activation: Activation) -> (Values, Finish) {
        let bias = (self.weights)(&parameters.bias_name()).into_singles();
        ((self.weights)(&parameters.weight_name()), Finish::new(self.lanes, bias, activation))
    }
}

/// Sees what each layer makes, those in residual blocks, too.
type Watch<'a> = &'a mut dyn FnMut(&Layer, &Picture);

fn run<S: Simd>(simd: S, layers: &[Layer], input: Picture, buffers: &mut Buffers, watch: Watch) -> Picture {
    layers.iter().fold(input, |picture, layer| {
        let output = layer.forward(simd, &picture, buffers, watch);
        buffers.give_back(picture.values);
        output
    })
}

impl Layer {
    // Once for each kind of vector: inlined, it would bring all kernels to each of its callers.
    #[inline(never)]
    fn forward<S: Simd>(&self, simd: S, input: &Picture, buffers: &mut Buffers, watch: Watch) -> Picture {
        if let Kernel::Residual(layers) = &self.kernel {
            let (first, rest) = layers.split_first().expect("no residual block does nothing");
            let output = first.forward(simd, input, buffers, watch);
            let mut output = run(simd, rest, output, buffers, watch);
            for (sums, values) in output.rows_mut().zip(input.rows()) {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            watch(self, &output);
            return output;
        }
        let mut output = buffers.picture(self.output);
        match &self.kernel {
            Kernel::Conv(conv) => conv.forward(simd, input, &mut output),
            Kernel::Winograd(winograd) => winograd.forward(simd, input, &mut output, buffers),
            Kernel::Depthwise(depthwise) => depthwise.forward(simd, input, &mut output),
            Kernel::Dense(dense) => dense.forward(simd, from_ref(input), from_mut(&mut output), buffers),
            Kernel::Mean => mean(input, &mut output),
            Kernel::LogSumExp(groups) => {
                let sums = log_sum_exp::forward(groups, &input.values);
                output.values[..sums.len()].copy_from_slice(&sums);
            }
            Kernel::Residual(_) => unreachable!("returned above"),
        }
        watch(self, &output);
        output
    }

    /// As [`Layer::forward`], of several pictures.
    fn forward_all<S: Simd>(&self, simd: S, inputs: &[Picture], buffers: &mut Buffers) -> Vec<Picture> {
        if let Kernel::Dense(dense) = &self.kernel {
            let mut outputs: Vec<_> = inputs.iter().map(|_| buffers.picture(self.output)).collect();
            dense.forward(simd, inputs, &mut outputs, buffers);
            return outputs;
        }
        inputs.iter().map(|input| self.forward(simd, input, buffers, &mut |_, _| {})).collect()
    }
}

/// Does a piece of a kernel's work in a function of its own, compiled for the vectors of `S`. It had better be short: a
/// browser begins with code that it compiled in haste, and what it optimises meanwhile takes over where a function is
/// called the next time. A kernel that were one call would be slow for all of the first answer.
#[inline(never)]
fn piece<S: Simd, R>(simd: S, work: impl FnOnce() -> R) -> R {
    simd.vectorize(work)
}

/// The mean of each channel.
fn mean(input: &Picture, output: &mut Picture) {
    let Layout { height, width, depth, .. } = input.layout;
    let sums = &mut output.values[..depth];
    sums.fill(0.0);
    for pixel in input.rows().flat_map(|row| row.chunks_exact(depth)) {
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += value;
        }
    }
    let pixels = (height * width) as f32;
    for sum in sums {
        *sum /= pixels;
    }
}
