use serde::Serialize;

use crate::{Error, Result, Spec};

/// The answer about one photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The label that is answered. Of two labels it is the first where its probability reaches the model's threshold;
    /// of more, the most probable.
    pub label: String,
    /// The probability of `label`, in `0..=1`.
    pub probability: f32,
    /// The probability of every label, in the order of the model's labels. They sum to 1.
    pub probabilities: Vec<f32>,
}

impl Verdict {
    /// Turns the network's logits into an answer: divides them by the temperature, applies the sigmoid (two labels, one
    /// logit, which speaks for the first label) or the softmax, and compares with the threshold.
    ///
    /// # Errors
    /// [`Error::ModelAnswer`] for a logit that is not finite, as weights that are finite but huge can give.
    pub fn from_logits(spec: &Spec, logits: &[f32]) -> Result<Self> {
        if !logits.iter().all(|z| z.is_finite()) {
            return Err(Error::ModelAnswer);
        }
        let probabilities = probabilities(logits, spec.temperature);
        let winner = match probabilities[..] {
            [first, _] => usize::from(first < spec.threshold),
            _ => argmax(&probabilities),
        };
        Ok(Self { label: spec.labels[winner].clone(), probability: probabilities[winner], probabilities })
    }
}

/// Sigmoid of one logit (and its complement) or softmax of several, after division by `temperature`.
fn probabilities(logits: &[f32], temperature: f32) -> Vec<f32> {
    if let [logit] = logits {
        let z = logit / temperature;
        // Each side from its own exponential, so that neither loses its digits next to 1.
        return vec![1.0 / (1.0 + (-z).exp()), 1.0 / (1.0 + z.exp())];
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = logits.iter().map(|z| ((z - largest) / temperature).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / sum).collect()
}

/// The index of the largest value; the first of equals.
fn argmax(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}
