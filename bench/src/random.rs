//! Networks whose weights come from a seed: for the time that they take, these are as good as any.

use std::collections::BTreeMap;

use husky::{
    Error, Spec, Weights,
    spec::{Architecture, Input, Layer, Provenance, Resize, Step},
};

/// A network of two labels for pictures of `size` pixels a side.
///
/// # Errors
/// The layers don't fit together, or don't end in one logit.
pub fn network(name: &str, size: u32, layers: Vec<Layer>) -> Result<(Spec, Weights), Error> {
    let spec = Spec {
        name: name.to_owned(),
        input: Input { size, mean: [127.0; 3], scale: [1.0 / 128.0; 3], resize: Resize::StretchTriangle },
        architecture: Architecture(layers),
        labels: vec!["husky".to_owned(), "nothusky".to_owned()],
        temperature: 1.0,
        threshold: 0.5,
        unsure: None,
        provenance: Provenance::default(),
    };
    let mut noise = noise();
    let mut tensors = BTreeMap::new();
    for p in spec.steps()?.iter().flat_map(Step::parameters) {
        let count: usize = p.shape.iter().product();
        // He's scale: values keep their size from layer to layer.
        let scale = (6.0 / (count / p.bias_len()) as f32).sqrt();
        tensors.insert(p.weight_name(), noise.by_ref().take(count).map(|value| value * scale).collect());
        tensors.insert(p.bias_name(), noise.by_ref().take(p.bias_len()).map(|value| value * 0.1).collect());
    }
    let weights = Weights::new(&spec, tensors)?;
    Ok((spec, weights))
}

/// Values between -1 and 1, always the same.
pub fn noise() -> impl Iterator<Item = f32> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(1), next).skip(1).map(|state| state as f32 / u32::MAX as f32 * 2.0 - 1.0)
}
