use std::ops::Range;

use fearless_simd::prelude::*;

use crate::{
    filters::Finish,
    picture::{Buffers, Layout, Picture},
    piece,
    values::{Values, from_half},
};

/// Inputs that are added in one pass over the sums.
const INPUTS: usize = 4;
/// Inputs whose weights lie in the first-level caches while they serve each picture.
const BLOCK: usize = 128;

/// A matrix product, bias and activation. What takes the time is reading the weights: so 16-bit ones stay what they are,
/// and those that meet a zero, which a ReLU before it makes of many inputs, are not read. Several pictures share what is
/// read and expanded.
pub(crate) struct Dense {
    /// `[inputs, depth]`
    weights: Values,
    finish: Finish,
}

/// A weight as it lies in memory.
trait Weight: Copy + Default {
    fn value(self) -> f32;
}

impl Weight for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
}

/// The bits of a 16-bit float.
impl Weight for u16 {
    #[inline(always)]
    fn value(self) -> f32 {
        from_half(self)
    }
}

impl Dense {
    /// `weights` are `[inputs, units]`.
    pub(crate) fn new(weights: Values, finish: Finish, output: &Layout) -> Self {
        let weights = match weights {
            Values::Singles(weights) => Values::Singles(fill_up(weights, output)),
            Values::Halves(weights) => Values::Halves(fill_up(weights, output)),
        };
        Self { weights, finish }
    }

    pub(crate) fn forward<S: Simd>(&self, simd: S, inputs: &[Picture], outputs: &mut [Picture], buffers: &mut Buffers) {
        let Some((Picture { layout, .. }, others)) = inputs.split_first() else { return };
        let units = outputs[0].layout.depth;
        outputs.iter_mut().for_each(|output| output.values[..units].fill(0.0));
        let mut singles = buffers.take(if others.is_empty() { 0 } else { BLOCK * units });
        let mut rows = 0..0;
        for places in blocks(layout) {
            rows = rows.end..rows.end + places.len() * units;
            piece(
                simd,
                #[inline(always)]
                || match &self.weights {
                    Values::Singles(weights) => add_products(inputs, outputs, places, &weights[rows.clone()]),
                    Values::Halves(weights) if others.is_empty() => {
                        add_products(inputs, outputs, places, &weights[rows.clone()]);
                    }
                    Values::Halves(weights) => {
                        for (single, half) in singles.iter_mut().zip(&weights[rows.clone()]) {
                            *single = half.value();
                        }
                        add_products(inputs, outputs, places, &singles[..rows.len()]);
                    }
                },
            );
        }
        buffers.give_back(singles);
        for output in outputs {
            for (i, values) in output.values[..units].chunks_exact_mut(S::f32s::LEN).enumerate() {
                let sum = S::f32s::from_slice(simd, values) + self.finish.bias(simd, i * S::f32s::LEN);
                self.finish.activate(simd, sum).store_slice(values);
            }
        }
    }
}

impl Dense {
    /// The derivative by each input, from that by each unit of `output`.
    pub(crate) fn gradient(&self, output: &Picture, mut gradient: Vec<f32>) -> Vec<f32> {
        let [low, high] = self.finish.range();
        for (gradient, &value) in gradient.iter_mut().zip(&output.values) {
            // Where the activation is flat, nothing comes through.
            if value <= low || value >= high {
                *gradient = 0.0;
            }
        }
        let weights = self.weights.singles();
        let rows = weights.chunks_exact(output.layout.depth);
        rows.map(|row| row.iter().zip(&gradient).map(|(weight, gradient)| weight * gradient).sum()).collect()
    }
}

/// Fills rows of weights up to whole vectors.
fn fill_up<W: Weight>(weights: Vec<W>, output: &Layout) -> Vec<W> {
    let (units, depth) = (output.channels, output.depth);
    if depth == units {
        return weights;
    }
    let rows = weights.chunks_exact(units);
    rows.flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(W::default(), depth - units))).collect()
}

/// The values of a picture, read as a vector, without the channels that fill it up.
fn blocks(layout: &Layout) -> impl Iterator<Item = Range<usize>> {
    let Layout { height, width, channels, .. } = *layout;
    let pixels = (0..height).flat_map(move |y| (0..width).map(move |x| layout.pixel(y, x)));
    pixels.flat_map(move |first| {
        (0..channels).step_by(BLOCK).map(move |channel| first + channel..first + channels.min(channel + BLOCK))
    })
}

/// Adds the products of a block of each input, where `places` is, and its weights, `[places, units]`, to the outputs.
#[inline(always)]
fn add_products<W: Weight>(inputs: &[Picture], outputs: &mut [Picture], places: Range<usize>, weights: &[W]) {
    let units = weights.len() / places.len();
    let row = |(value, i): (f32, usize)| (value, &weights[i * units..][..units]);
    for (input, output) in inputs.iter().zip(outputs) {
        let sums = &mut output.values[..units];
        // First which rows are read, without a branch: a processor that guesses wrong fetches the wrong rows.
        let mut meeting = [(0.0, 0); BLOCK];
        let mut count = 0;
        for (i, &value) in input.values[places.clone()].iter().enumerate() {
            meeting[count] = (value, i);
            count += usize::from(value != 0.0);
        }
        // Where they are not a multiple of four, the first is read again and counts nothing.
        let whole = count.next_multiple_of(INPUTS);
        meeting[count..whole].fill((0.0, 0));
        for &[a, b, c, d] in meeting[..whole].as_chunks::<INPUTS>().0 {
            add_rows(sums, [row(a), row(b), row(c), row(d)]);
        }
    }
}

/// Adds rows of weights, each times its input, to the sums. The compiler makes vectors of it, for either type of weight.
#[inline(always)]
fn add_rows<W: Weight>(sums: &mut [f32], rows: [(f32, &[W]); INPUTS]) {
    let [(a, wa), (b, wb), (c, wc), (d, wd)] = rows;
    for ((((sum, wa), wb), wc), wd) in sums.iter_mut().zip(wa).zip(wb).zip(wc).zip(wd) {
        *sum += (wa.value() * a + wb.value() * b) + (wc.value() * c + wd.value() * d);
    }
}
