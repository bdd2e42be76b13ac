//! What the tensors beside a layer's weights are called.

use husky::spec::{Op, Parameters, Step};

/// What stands beside a layer's weights, by the tensors' names, which are Keras'.
pub(super) enum Names {
    Bias(String),
    BatchNorm { gamma: String, beta: String, mean: String, variance: String },
}

impl Names {
    /// Those of a layer of a network that is `normed` or not: where it is, its convolutions have batch norm.
    pub(super) fn of(parameters: &Parameters, normed: bool) -> Self {
        if !normed || parameters.shape.len() == 2 {
            return Self::Bias(parameters.bias_name());
        }
        let name = |what| format!("{}.{what}", parameters.layer);
        Self::BatchNorm {
            gamma: name("gamma"),
            beta: name("beta"),
            mean: name("moving_mean"),
            variance: name("moving_variance"),
        }
    }

    /// Name and first value of each tensor, which has a value a channel.
    pub(super) fn vectors(&self) -> Vec<(String, f32)> {
        match self {
            Self::Bias(bias) => vec![(bias.clone(), 0.0)],
            Self::BatchNorm { gamma, beta, mean, variance } => {
                vec![(gamma.clone(), 1.0), (beta.clone(), 0.0), (mean.clone(), 0.0), (variance.clone(), 1.0)]
            }
        }
    }

    pub(super) fn is_statistic(&self, name: &str) -> bool {
        matches!(self, Self::BatchNorm { mean, variance, .. } if mean == name || variance == name)
    }
}

/// The layers that have weights, and what stands beside these.
pub(super) fn layers(steps: &[Step]) -> Vec<(Parameters, Names)> {
    let normed = is_normed(steps);
    let parameters = steps.iter().flat_map(Step::parameters);
    parameters.map(|parameters| (parameters.clone(), Names::of(parameters, normed))).collect()
}

pub(super) fn is_normed(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step.op, Op::Residual { .. } | Op::DepthwiseConv2d { .. }))
}
