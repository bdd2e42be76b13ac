use fearless_simd::prelude::*;

use crate::{
    filters::Finish,
    picture::{Layout, Picture},
    piece,
    values::{Values, from_half},
};

/// Inputs that are added in one pass over the sums.
const INPUTS: usize = 4;

/// A matrix product, bias and activation. What takes the time is reading the weights: so 16-bit ones stay what they are,
/// and those that meet a zero, which a ReLU before it makes of many inputs, are not read.
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

    pub(crate) fn forward<S: Simd>(&self, simd: S, input: &Picture, output: &mut Picture) {
        let sums = &mut output.values[..output.layout.depth];
        sums.fill(0.0);
        match &self.weights {
            Values::Singles(weights) => multiply(simd, sums, input, weights),
            Values::Halves(weights) => multiply(simd, sums, input, weights),
        }
        for (i, values) in sums.chunks_exact_mut(S::f32s::LEN).enumerate() {
            let sum = S::f32s::from_slice(simd, values) + self.finish.bias(simd, i * S::f32s::LEN);
            self.finish.activate(simd, sum).store_slice(values);
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

/// Adds the product of a picture and weights, `[inputs, sums]`, to the sums.
#[inline(always)]
fn multiply<S: Simd, W: Weight>(simd: S, sums: &mut [f32], input: &Picture, weights: &[W]) {
    let Layout { width, channels, depth, .. } = input.layout;
    let mut meeting = vec![(0.0, 0); width * channels];
    for (inputs, weights) in input.rows().zip(weights.chunks_exact(width * channels * sums.len())) {
        // A picture is read as a vector, without the channels that fill it up.
        let inputs = inputs.chunks_exact(depth).flat_map(|pixel| &pixel[..channels]);
        piece(
            simd,
            #[inline(always)]
            || add_products(sums, inputs, weights, &mut meeting),
        );
    }
}

/// Adds the product of inputs and weights, `[inputs, sums]`, to the sums. `meeting` has room for all inputs.
#[inline(always)]
fn add_products<'a, W: Weight>(
    sums: &mut [f32],
    inputs: impl Iterator<Item = &'a f32>,
    weights: &[W],
    meeting: &mut [(f32, usize)],
) {
    // First which rows are read, without a branch: a processor that guesses wrong fetches the wrong rows.
    let mut count = 0;
    for (i, &value) in inputs.enumerate() {
        meeting[count] = (value, i);
        count += usize::from(value != 0.0);
    }
    let units = sums.len();
    let row = |(value, i): (f32, usize)| (value, &weights[i * units..][..units]);
    let (whole, rest) = meeting[..count].as_chunks::<INPUTS>();
    for &[a, b, c, d] in whole {
        let rows = [row(a), row(b), row(c), row(d)];
        add_rows(sums, rows);
    }
    let mut last = [(0.0, 0); INPUTS];
    last[..rest.len()].copy_from_slice(rest);
    let [a, b, c, d] = last;
    add_rows(sums, [row(a), row(b), row(c), row(d)]);
}

/// Adds rows of weights, each times its input, to the sums. The compiler makes vectors of it, for either type of weight.
#[inline(always)]
fn add_rows<W: Weight>(sums: &mut [f32], rows: [(f32, &[W]); INPUTS]) {
    let [(a, wa), (b, wb), (c, wc), (d, wd)] = rows;
    for ((((sum, wa), wb), wc), wd) in sums.iter_mut().zip(wa).zip(wb).zip(wc).zip(wd) {
        *sum += (wa.value() * a + wb.value() * b) + (wc.value() * c + wd.value() * d);
    }
}
