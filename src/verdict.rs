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
    /// Whether the answer had better not be relied on: too near the threshold, of a picture that is no photo, or of one that
    /// hides another.
    pub unsure: bool,
    /// Whether careless programs would see [another picture](crate::hidden) in the photo than people do.
    pub hides_another: bool,
}

impl Verdict {
    /// The answer in a word: the label or, where it had better not be relied on, *unsure*.
    pub fn answer(&self) -> &str {
        if self.unsure { "unsure" } else { &self.label }
    }

    /// Turns the network's logits into an answer: divides them by the temperature, applies the sigmoid (two labels, one
    /// logit, which speaks for the first label) or the softmax, and compares with the threshold.
    ///
    /// # Errors
    /// [`Error::ModelAnswer`] for a logit that is not finite, as weights that are finite but huge can give.
    pub fn from_logits(spec: &Spec, logits: &[f32]) -> Result<Self> {
        if !logits.iter().all(|z| z.is_finite()) {
            return Err(Error::ModelAnswer);
        }
        let probabilities = Self::probabilities(logits, spec.temperature);
        let (winner, unsure) = match probabilities[..] {
            [first, _] => {
                let unsure = spec.unsure.is_some_and(|[low, high]| first > low && first < high);
                (usize::from(first < spec.threshold), unsure)
            }
            _ => (argmax(&probabilities), false),
        };
        Ok(Self {
            label: spec.labels[winner].clone(),
            probability: probabilities[winner],
            probabilities,
            unsure,
            hides_another: false,
        })
    }

    /// The probability of every label: the sigmoid of one logit and its complement, or the softmax of several, after
    /// division by `temperature`.
    pub fn probabilities(logits: &[f32], temperature: f32) -> Vec<f32> {
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
}

/// The index of the largest value; the first of equals.
pub fn argmax(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spec::tests::classic;

    fn verdict(threshold: f32, temperature: f32, labels: &[&str], logits: &[f32]) -> Verdict {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        Verdict::from_logits(&Spec { labels, threshold, temperature, ..classic() }, logits).unwrap()
    }

    #[test]
    fn one_logit_speaks_for_the_first_of_two_labels() {
        let yes = verdict(0.5, 1.0, &["yes", "no"], &[3.0_f32.ln()]);
        assert_eq!(yes.label, "yes");
        assert!((yes.probability - 0.75).abs() < 1e-6);
        assert!((yes.probabilities[1] - 0.25).abs() < 1e-6);
        let no = verdict(0.5, 1.0, &["yes", "no"], &[-(3.0_f32.ln())]);
        assert_eq!(no.label, "no");
        assert!((no.probability - 0.75).abs() < 1e-6, "the probability is that of the answer");
    }

    #[test]
    fn a_probability_at_the_threshold_is_the_first_label() {
        assert_eq!(verdict(0.5, 1.0, &["yes", "no"], &[0.0]).label, "yes");
        let exact = verdict(0.5, 1.0, &["yes", "no"], &[1.25]).probabilities[0];
        assert_eq!(verdict(exact, 1.0, &["yes", "no"], &[1.25]).label, "yes");
        assert_eq!(verdict(exact.next_up(), 1.0, &["yes", "no"], &[1.25]).label, "no");
    }

    #[test]
    fn between_two_probabilities_it_is_unsure() {
        let unsure = |range, logit| {
            let spec = Spec { unsure: range, ..classic() };
            Verdict::from_logits(&spec, &[logit]).unwrap().unsure
        };
        // Probabilities of 0.27, 0.5 and 0.73.
        assert_eq!([-1.0, 0.0, 1.0].map(|logit| unsure(Some([0.4, 0.6]), logit)), [false, true, false]);
        assert_eq!([-1.0, 0.0, 1.0].map(|logit| unsure(Some([0.2, 0.5]), logit)), [true, false, false]);
        assert_eq!([-1.0, 0.0, 1.0].map(|logit| unsure(None, logit)), [false; 3]);
    }

    #[test]
    fn the_temperature_divides_the_logits() {
        let labels = ["a", "b", "c"];
        assert_eq!(verdict(0.5, 2.0, &labels[..2], &[3.0]), verdict(0.5, 1.0, &labels[..2], &[1.5]));
        assert_eq!(verdict(0.5, 2.0, &labels, &[3.0, 1.0, 2.0]), verdict(0.5, 1.0, &labels, &[1.5, 0.5, 1.0]));
    }

    #[test]
    fn several_logits_are_a_softmax() {
        let verdict = verdict(0.99, 1.0, &["a", "b", "c"], &[1.0_f32.ln(), 5.0_f32.ln(), 4.0_f32.ln()]);
        assert_eq!(verdict.label, "b", "the threshold is for two labels only");
        for (got, expected) in verdict.probabilities.iter().zip([0.1, 0.5, 0.4]) {
            assert!((got - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(verdict(0.5, 1.0, &["a", "b", "c"], &[1.0, 2.0, 2.0]).label, "b");
    }

    #[test]
    fn huge_logits_are_certain_and_small_probabilities_keep_their_digits() {
        assert_eq!(verdict(0.5, 1.0, &["a", "b"], &[3e38]).probabilities, [1.0, 0.0]);
        assert_eq!(verdict(0.5, 1e-30, &["a", "b"], &[-3e38]).probabilities, [0.0, 1.0]);
        assert_eq!(verdict(0.5, 1e-30, &["a", "b", "c"], &[3e38, -3e38, 0.0]).probabilities, [1.0, 0.0, 0.0]);
        let small = verdict(0.5, 1.0, &["a", "b"], &[30.0]).probabilities[1];
        assert!((small / (-30.0_f32).exp() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_logit_that_is_no_number_is_an_error() {
        for logit in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(Verdict::from_logits(&classic(), &[logit]), Err(Error::ModelAnswer));
        }
    }
}
