//! The weights in a file of Keras', in the order of its layers.
//!
//! Sources: `keras/src/legacy/saving/legacy_h5_format.py` for .h5 of versions 2 and 3, `keras/src/saving/saving_lib.py` for
//! .keras and .weights.h5 of version 3.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use hdf5_pure::{Dataset, File, Group};
use husky::spec::Parameters;

/// Weights and biases under our names.
///
/// # Errors
/// A layer's weights are missing, have another shape, or there are more of them.
pub fn read(file: &File, parameters: &[&Parameters]) -> Result<BTreeMap<String, Vec<f32>>> {
    let layers = layers(file, parameters)?;
    ensure!(
        layers.len() == parameters.len(),
        "has weights of {} layers where the network has {}",
        layers.len(),
        parameters.len()
    );
    let mut tensors = BTreeMap::new();
    for (layer, p) in layers.into_iter().zip(parameters) {
        let Layer { name, tensors: datasets } = layer;
        let [kernel, rest @ ..] = &datasets[..] else { bail!("its layer {name} has no weights") };
        ensure!(rest.len() <= 1, "its layer {name} has more than weights and a bias");
        let values = |dataset: &Dataset, wanted: &[usize]| {
            let shape = dataset.shape()?;
            // A depthwise kernel has a last dimension of its own: the channels that each makes.
            let own = wanted.iter().map(|&length| length as u64).chain((wanted.len() == 3).then_some(1));
            ensure!(
                own.eq(shape.iter().copied()),
                "its layer {name} has weights {shape:?} where the network has {wanted:?}"
            );
            Ok(dataset.read_f32()?)
        };
        tensors.insert(p.weight_name(), values(kernel, &p.shape)?);
        let bias = match rest {
            [bias] => values(bias, &[p.bias_len()])?,
            _ => vec![0.0; p.bias_len()],
        };
        tensors.insert(p.bias_name(), bias);
    }
    Ok(tensors)
}

/// A layer that has weights, and these in Keras' order.
struct Layer {
    name: String,
    tensors: Vec<Dataset>,
}

fn layers(file: &File, parameters: &[&Parameters]) -> Result<Vec<Layer>> {
    let root = file.root();
    // `save` puts them into a group, version 2's `save_weights` does not.
    let group = root.group("model_weights").unwrap_or(root);
    let mut layers = match names(&group, "layer_names")? {
        Some(names) => names.into_iter().map(|name| listed(&group, name)).collect::<Result<Vec<_>>>()?,
        None => numbered(&file.group("layers").context("has no weights that Keras 2 or 3 would write")?, parameters)?,
    };
    layers.retain(|layer| !layer.tensors.is_empty());
    Ok(layers)
}

/// A layer of a .h5 file, whose attribute lists its weights.
fn listed(group: &Group, name: String) -> Result<Layer> {
    let layer = group.group(&name).with_context(|| format!("its layer {name} is missing"))?;
    let paths = names(&layer, "weight_names")?.unwrap_or_default();
    let dataset = |path: &String| layer.dataset(path).with_context(|| format!("its weights {name}/{path} are missing"));
    Ok(Layer { tensors: paths.iter().map(dataset).collect::<Result<_>>()?, name })
}

/// The layers of a .weights.h5 file, which says nothing of their order: `conv2d`, `conv2d_1`, … by kind, which are our names but
/// for where counting begins. Those of the network come first.
fn numbered(group: &Group, parameters: &[&Parameters]) -> Result<Vec<Layer>> {
    let keras_name = |p: &&Parameters| match p.layer.rsplit_once('_') {
        Some((kind, "1")) => kind.to_owned(),
        Some((kind, number)) => format!("{kind}_{}", number.parse().unwrap_or(0_usize).saturating_sub(1)),
        None => p.layer.clone(),
    };
    let mut names: Vec<String> = parameters.iter().map(keras_name).collect();
    let others: Vec<String> = group.groups()?.into_iter().filter(|name| !names.contains(name)).collect();
    names.extend(others);
    let layer = |name: String| {
        let vars = group.group(&format!("{name}/vars"));
        let dataset = |i: usize| vars.as_ref().ok().and_then(|vars| vars.dataset(&i.to_string()).ok());
        Layer { tensors: (0..).map_while(dataset).collect(), name }
    };
    Ok(names.into_iter().map(layer).collect())
}

/// An attribute that is a list of names; an empty list has no type.
fn names(group: &Group, attribute: &str) -> Result<Option<Vec<String>>> {
    let attributes = group.attrs()?;
    Ok(attributes.get(attribute).map(|value| value.as_strings().unwrap_or_default().to_vec()))
}
