//! An architecture worked out for an input size: shapes, names and costs of all layers.

use super::{Architecture, Layer, Op, Parameters, Shape, Step, Window};
use crate::{Error, Result};

/// Values of the longest vector of any machine, so that a file is refused on all of them or on none.
const MOST_LANES: usize = 16;
/// Values of a browser's vector.
const BROWSER_LANES: usize = 4;

impl Architecture {
    /// The most layers a model may have.
    pub const MAX_LAYERS: usize = 256;
    /// The most trained values, where channels, filters and units fill whole vectors.
    pub const MAX_PARAMETERS: usize = 64 << 20;
    /// The most values that may flow between two layers, likewise, with the margin that padding adds.
    pub const MAX_ACTIVATIONS: usize = 64 << 20;
    /// The most multiplications for one photo, as vectors do them: about two seconds in a browser.
    pub const MAX_MULTIPLICATIONS: u64 = 40_000_000_000;

    /// Shapes and names of all layers, with each max pool fused into its convolution.
    ///
    /// # Errors
    /// [`Error::ModelLayerCount`], [`Error::ModelLayer`] and [`Error::ModelCost`]. They count layers from 0, a residual
    /// block before the layers in it.
    pub fn steps(&self, size: u32) -> Result<Vec<Step>> {
        let layers = count(&self.0);
        if !(1..=Self::MAX_LAYERS).contains(&layers) {
            return Err(Error::ModelLayerCount(layers));
        }
        let size = size as usize;
        Tally::default().steps(&self.0, Shape::Image { height: size, width: size, channels: 3 })
    }
}

/// Layers, with those inside of residual blocks.
fn count(layers: &[Layer]) -> usize {
    layers.iter().map(|layer| if let Layer::Residual { layers } = layer { 1 + count(layers) } else { 1 }).sum()
}

/// Why a layer can't stand behind the picture's end.
const NO_PICTURE: &str = "needs a picture, and a vector reaches it";

/// What has been counted on the way through the layers.
#[derive(Default)]
struct Tally {
    layers: usize,
    conv2d: usize,
    depthwise_conv2d: usize,
    dense: usize,
    parameters: usize,
    multiplications: u64,
}

impl Tally {
    fn steps(&mut self, layers: &[Layer], input: Shape) -> Result<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        let mut shape = input;
        for layer in layers {
            let index = self.layers;
            self.layers += 1;
            let wrong = |reason| Error::ModelLayer { index, reason };
            if *layer == Layer::MaxPool2d {
                shape = fuse_pool(steps.last_mut(), shape).map_err(wrong)?;
                continue;
            }
            let follows_dense = steps.last().is_some_and(|last| matches!(last.op, Op::Dense { .. }));
            if matches!(layer, Layer::LogSumExp { .. }) && !follows_dense {
                return Err(wrong("does not follow a dense layer"));
            }
            let input = shape;
            let op = if let Layer::Residual { layers } = layer {
                if matches!(input, Shape::Vector(_)) {
                    return Err(wrong(NO_PICTURE));
                }
                let steps = self.steps(layers, input)?;
                if steps.iter().all(|step| step.parameters().is_empty()) {
                    return Err(wrong("has no trained layer in it"));
                }
                if steps.last().is_none_or(|last| last.output != input) {
                    return Err(wrong("adds what has different shapes"));
                }
                Op::Residual { steps }
            } else {
                let (op, output) = self.step(layer, input).map_err(wrong)?;
                shape = output;
                op
            };
            self.add_cost(&op, input, shape).ok_or(Error::ModelCost { index })?;
            steps.push(Step { op, input, output: shape });
        }
        Ok(steps)
    }

    /// One layer's operation and output; the error is the reason why it can't stand there.
    fn step(&mut self, layer: &Layer, input: Shape) -> std::result::Result<(Op, Shape), &'static str> {
        let named = |name: &str, count: &mut usize, shape: &[usize]| {
            *count += 1;
            Parameters { layer: format!("{name}_{count}"), shape: shape.to_vec() }
        };
        Ok(match (layer, input) {
            (
                &Layer::Conv2d { filters, kernel, stride, padding, activation },
                Shape::Image { height, width, channels },
            ) => {
                let window = Window { kernel: kernel as usize, stride: stride as usize, padding };
                let (height, width) = window.outputs(height, width)?;
                let filters = filters as usize;
                if filters == 0 {
                    return Err("has no filters");
                }
                let shape = [window.kernel, window.kernel, channels, filters];
                let parameters = named("conv2d", &mut self.conv2d, &shape);
                (
                    Op::Conv2d { parameters, window, activation, pool: false },
                    Shape::Image { height, width, channels: filters },
                )
            }
            (
                &Layer::DepthwiseConv2d { kernel, stride, padding, activation },
                Shape::Image { height, width, channels },
            ) => {
                if !matches!((kernel, stride), (3 | 5, 1 | 2)) {
                    return Err("has a window other than 3x3 or 5x5, or a stride other than 1 or 2");
                }
                let window = Window { kernel: kernel as usize, stride: stride as usize, padding };
                let (height, width) = window.outputs(height, width)?;
                let shape = [window.kernel, window.kernel, channels];
                let parameters = named("depthwise_conv2d", &mut self.depthwise_conv2d, &shape);
                (Op::DepthwiseConv2d { parameters, window, activation }, Shape::Image { height, width, channels })
            }
            (Layer::GlobalAveragePool2d, Shape::Image { channels, .. }) => {
                (Op::GlobalAveragePool2d, Shape::Vector(channels))
            }
            (&Layer::Dropout { percent }, _) => {
                if percent > 99 {
                    return Err("drops everything");
                }
                (Op::Dropout { rate: f32::from(percent) / 100.0 }, input)
            }
            (Layer::Flatten, Shape::Image { .. }) => (Op::Flatten, Shape::Vector(input.len())),
            (&Layer::Dense { units, activation }, Shape::Vector(length)) => {
                if units == 0 {
                    return Err("has no units");
                }
                let units = units as usize;
                let parameters = named("dense", &mut self.dense, &[length, units]);
                (Op::Dense { parameters, activation }, Shape::Vector(units))
            }
            (Layer::LogSumExp { groups }, Shape::Vector(length)) => {
                let groups: Vec<usize> = groups.iter().map(|&count| count as usize).collect();
                let sum = groups.iter().try_fold(0_usize, |sum, &count| sum.checked_add(count));
                if groups.len() < 2 || groups.contains(&0) || sum != Some(length) {
                    return Err("has groups that are not two or more parts of what reaches it");
                }
                let outputs = if groups.len() == 2 { 1 } else { groups.len() };
                (Op::LogSumExp { groups }, Shape::Vector(outputs))
            }
            (Layer::Dense { .. } | Layer::LogSumExp { .. }, Shape::Image { .. }) => {
                return Err("needs a flatten or a global average pool before it");
            }
            (_, Shape::Vector(_)) => return Err(NO_PICTURE),
            (Layer::MaxPool2d | Layer::Residual { .. }, _) => unreachable!("`steps` takes these itself"),
        })
    }

    /// Nothing where the limits are passed.
    fn add_cost(&mut self, op: &Op, input: Shape, output: Shape) -> Option<()> {
        if let Some(p) = op.parameters() {
            // Three channels are not filled up for the layer that reads the photo.
            let reads_photo = self.parameters == 0;
            let weights = weights_len(op, p, reads_photo, MOST_LANES)?;
            let positions =
                if let Shape::Image { height, width, .. } = output { height.checked_mul(width)? } else { 1 };
            self.parameters = self.parameters.checked_add(weights)?.checked_add(p.bias_len())?;
            let work = (weights_len(op, p, reads_photo, BROWSER_LANES)? as u64).checked_mul(positions as u64)?;
            self.multiplications = self.multiplications.checked_add(work)?;
        }
        let margin = |length: usize| match op {
            Op::Conv2d { window, .. } | Op::DepthwiseConv2d { window, .. } => window.margins(length).iter().sum(),
            _ => 0,
        };
        let within = self.parameters <= Architecture::MAX_PARAMETERS
            && picture_len(input, margin)?.max(picture_len(output, |_| 0)?) <= Architecture::MAX_ACTIVATIONS
            && self.multiplications <= Architecture::MAX_MULTIPLICATIONS;
        within.then_some(())
    }
}

/// Weights, where a convolution's filters fill two vectors, and what else a vector goes along fills one.
fn weights_len(op: &Op, p: &Parameters, reads_photo: bool, lanes: usize) -> Option<usize> {
    let mut shape = p.shape.clone();
    let [.., inputs, outputs] = &mut shape[..] else { return None };
    let is_conv = matches!(op, Op::Conv2d { .. });
    if is_conv && !reads_photo {
        *inputs = inputs.checked_next_multiple_of(lanes)?;
    }
    *outputs = outputs.checked_next_multiple_of(if is_conv { 2 * lanes } else { lanes })?;
    shape.into_iter().try_fold(1_usize, usize::checked_mul)
}

/// Values in memory of what flows between two layers, with a `margin` of so many rows and columns.
fn picture_len(shape: Shape, margin: impl Fn(usize) -> usize) -> Option<usize> {
    let Shape::Image { height, width, channels } = shape else { return Some(shape.len()) };
    let side = |length: usize| length.checked_add(margin(length));
    side(height)?.checked_mul(side(width)?)?.checked_mul(channels.checked_next_multiple_of(MOST_LANES)?)
}

/// Lets the convolution before a max pool do its work; the error is the reason why it can't.
fn fuse_pool(before: Option<&mut Step>, shape: Shape) -> std::result::Result<Shape, &'static str> {
    let Shape::Image { height, width, channels } = shape else {
        return Err(NO_PICTURE);
    };
    let Some(Step { op: Op::Conv2d { pool, .. }, output, .. }) = before else {
        return Err("does not follow a convolution");
    };
    if std::mem::replace(pool, true) {
        return Err("follows another max pool");
    }
    if height.min(width) < 2 {
        return Err("has a window larger than the picture that reaches it");
    }
    *output = Shape::Image { height: height / 2, width: width / 2, channels };
    Ok(*output)
}
