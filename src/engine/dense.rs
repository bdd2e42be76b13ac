use crate::{Weights, spec::Parameters};

/// Inputs that are added in one pass over the sums.
const INPUTS: usize = 4;

/// A matrix product, bias and optional ReLU.
pub(super) struct Dense {
    units: usize,
    relu: bool,
    /// `[inputs, units]`
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Dense {
    pub(super) fn new(parameters: &Parameters, weights: &Weights, relu: bool) -> Self {
        let (bias, weights) =
            (weights.get(&parameters.bias_name()).to_vec(), weights.get(&parameters.weight_name()).to_vec());
        Self { units: bias.len(), relu, weights, bias }
    }

    /// `[inputs]` to `[units]`.
    pub(super) fn forward(&self, input: &[f32]) -> Vec<f32> {
        assert_eq!(input.len() * self.units, self.weights.len(), "input of a dense layer");
        let mut sums = self.bias.clone();
        // The weights are read once, in memory order; the sums stay in the first-level cache.
        let (fours, rest) = input.as_chunks::<INPUTS>();
        let (rows, rest_rows) = self.weights.split_at(fours.len() * INPUTS * self.units);
        for (&[a, b, c, d], rows) in fours.iter().zip(rows.chunks_exact(INPUTS * self.units)) {
            let (wa, rows) = rows.split_at(self.units);
            let (wb, rows) = rows.split_at(self.units);
            let (wc, wd) = rows.split_at(self.units);
            for ((((sum, wa), wb), wc), wd) in sums.iter_mut().zip(wa).zip(wb).zip(wc).zip(wd) {
                *sum += (a * wa + b * wb) + (c * wc + d * wd);
            }
        }
        for (value, row) in rest.iter().zip(rest_rows.chunks_exact(self.units)) {
            for (sum, w) in sums.iter_mut().zip(row) {
                *sum += value * w;
            }
        }
        if self.relu {
            for sum in &mut sums {
                *sum = sum.max(0.0);
            }
        }
        sums
    }
}
