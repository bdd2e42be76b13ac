//! Heat maps and feature maps are what the network computes with, not pictures that merely look right.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used)]

mod common;

use common::{conv, dense, noise, spec, weights};
use husky::{
    Classifier, Pixels, Spec, Weights,
    engine::{FeatureMaps, Heat, Network},
    explain::{mosaic, overlay},
    spec::{Activation, Layer, Padding, Shape, Step},
    weights::Precision,
};

fn network(spec: &Spec, weights: &Weights) -> Network {
    Network::new(&spec.steps().unwrap(), &mut |name| weights.get(name).to_vec().into())
}

/// A network with a residual block and channels that fill no vector, whose head is `head`.
fn with_head(head: &[Layer]) -> Spec {
    let same =
        |filters, activation| Layer::Conv2d { filters, kernel: 3, stride: 1, padding: Padding::Same, activation };
    let block = Layer::Residual { layers: vec![same(5, Activation::Relu), same(5, Activation::Linear)] };
    let depthwise =
        Layer::DepthwiseConv2d { kernel: 3, stride: 2, padding: Padding::Same, activation: Activation::Relu6 };
    spec(13, 3, [&[conv(5, 3), Layer::MaxPool2d, block, depthwise, conv(19, 1)], head].concat())
}

fn input(spec: &Spec) -> Vec<f32> {
    noise(3).take((spec.input.size * spec.input.size * 3) as usize).collect()
}

/// Under a head that is linear, the heat is all of a logit but the bias, wherever it lies.
#[test]
fn the_heat_adds_up_to_the_logit() {
    let dense = dense(3, Activation::Linear);
    for head in [vec![Layer::GlobalAveragePool2d, dense.clone()], vec![Layer::Flatten, dense]] {
        let spec = with_head(&head);
        let weights = weights(&spec, 1);
        let (network, input) = (network(&spec, &weights), input(&spec));
        let expected = network.forward(&input);
        for output in 0..3 {
            let (logits, heat) = network.explain(&input, |_| output);
            assert_eq!(logits, expected);
            assert_eq!((heat.height, heat.width, heat.values.len()), (3, 3, 9));
            let sum = heat.values.iter().sum::<f32>() + weights.get("dense_1.bias")[output];
            assert!((sum - logits[output]).abs() < 1e-5, "{sum} is not {}", logits[output]);
        }
    }
}

/// Under a head with a ReLU in it, or one that takes kinds together, the heat is value times derivative: here of the pixels,
/// with finite differences.
#[test]
fn the_heat_is_the_derivative_times_the_value() {
    let hidden = vec![Layer::Flatten, dense(9, Activation::Relu), dense(7, Activation::Relu6)];
    let kinds = |groups: Vec<u32>| vec![dense(groups.iter().sum(), Activation::Linear), Layer::LogSumExp { groups }];
    let ends = [
        (3, vec![dense(2, Activation::Linear), dense(3, Activation::Linear)]),
        (3, kinds(vec![2, 4, 1])),
        (2, kinds(vec![2, 3])),
    ];
    for (labels, end) in ends {
        let spec = spec(4, labels, [hidden.clone(), end].concat());
        let network = network(&spec, &weights(&spec, 2));
        let input = input(&spec);
        let output = labels - 2;
        let (_, heat) = network.explain(&input, |_| output);
        let step = 1e-2;
        for (place, &heat) in heat.values.iter().enumerate() {
            let slope = |i: usize| {
                let moved = |by: f32| {
                    let mut moved = input.clone();
                    moved[i] += by;
                    network.forward(&moved)[output]
                };
                (moved(step) - moved(-step)) / (2.0 * step)
            };
            let expected: f32 = (3 * place..3 * place + 3).map(|i| input[i] * slope(i)).sum();
            assert!((heat - expected).abs() < 1e-3, "place {place}: {heat}, by differences {expected}");
        }
    }
}

/// Each convolution has its maps, in order; and from the last ones the answer follows.
#[test]
fn feature_maps_are_what_the_network_computes_with() {
    let spec = with_head(&[Layer::GlobalAveragePool2d, dense(3, Activation::Linear)]);
    let weights = weights(&spec, 1);
    let (network, input) = (network(&spec, &weights), input(&spec));
    let maps = network.feature_maps(&input);
    let shapes: Vec<_> = maps.iter().map(|maps| (maps.height, maps.width, maps.channels)).collect();
    assert_eq!(shapes, [(5, 5, 5), (5, 5, 5), (5, 5, 5), (3, 3, 5), (3, 3, 19)]);
    let last = maps.last().unwrap();
    let logits = network.forward(&input);
    for (output, logit) in logits.iter().enumerate() {
        let weight = |channel: usize| weights.get("dense_1.weight")[channel * 3 + output];
        let sum: f32 = last.values.iter().enumerate().map(|(i, value)| value * weight(i % 19)).sum();
        let expected = sum / 9.0 + weights.get("dense_1.bias")[output];
        assert!((logit - expected).abs() < 1e-5, "{logit} is not {expected}");
    }
    let convolutions = spec.steps().unwrap().iter().flat_map(Step::parameters).count() - 1;
    assert_eq!(maps.len(), convolutions);
    assert!(matches!(spec.steps().unwrap()[0].output, Shape::Image { height: 5, channels: 5, .. }));
}

/// A classifier that looks for bright red, and two pictures of it.
fn red() -> Classifier {
    let spec = Spec {
        labels: vec!["red".to_owned(), "notred".to_owned()],
        ..spec(32, 2, vec![conv(1, 1), Layer::GlobalAveragePool2d, dense(1, Activation::Linear)])
    };
    let tensors = [
        ("conv2d_1.weight", vec![1.0, -1.0, -1.0]),
        ("conv2d_1.bias", vec![-0.5]),
        ("dense_1.weight", vec![10.0]),
        ("dense_1.bias", vec![-0.1]),
    ];
    let tensors = tensors.map(|(name, values)| (name.to_owned(), values)).into();
    let file = husky::weights::write(&spec, &Weights::new(&spec, tensors).unwrap(), Precision::F32).unwrap();
    Classifier::load(&file).unwrap()
}

/// A grey picture with a red patch in the quadrant.
fn with_patch(quadrant: usize) -> Pixels {
    let is_inside = |place: usize, half: usize| (16 * half + 3..16 * half + 14).contains(&place);
    let pixel = |i: usize| {
        let inside = is_inside(i / 32, quadrant / 2) && is_inside(i % 32, quadrant % 2);
        if inside { [250, 10, 20] } else { [120, 130, 125] }
    };
    Pixels::from_rgb(32, 32, (0..32 * 32).flat_map(pixel).collect()).unwrap()
}

/// The share of what speaks for the label that lies in a quadrant.
fn share(heat: &Heat, quadrant: usize) -> f32 {
    let (mut inside, mut all) = (0.0, 0.0);
    for (i, value) in heat.values.iter().map(|value| value.max(0.0)).enumerate() {
        let half = |place: usize, length: usize| usize::from(2 * place >= length);
        let own = 2 * half(i / heat.width, heat.height) + half(i % heat.width, heat.width);
        all += value;
        inside += if own == quadrant { value } else { 0.0 };
    }
    inside / all
}

#[test]
fn the_heat_lies_on_the_object() {
    let classifier = red();
    for quadrant in 0..4 {
        let explained = classifier.explain(&with_patch(quadrant), None).unwrap();
        assert_eq!(explained.label, "red");
        assert!(share(&explained.heat, quadrant) > 0.6);
        let colors = overlay(&explained.heat);
        let alpha: Vec<u8> = colors.iter().skip(3).step_by(4).copied().collect();
        assert_eq!(alpha.len(), explained.heat.values.len());
        for (alpha, value) in alpha.iter().zip(&explained.heat.values) {
            assert_eq!(*alpha > 0, *value > 0.0, "what speaks for the label is seen, and nothing else");
        }
        // What speaks for one of two labels speaks against the other.
        let against = classifier.explain(&with_patch(quadrant), Some(1)).unwrap();
        assert_eq!((against.label.as_str(), &against.verdict), ("notred", &explained.verdict));
        assert!(against.heat.values.iter().zip(&explained.heat.values).all(|(a, b)| *a == -*b));
    }
}

/// As above, with the model that ships: a husky in one quadrant, photos of something else in the other three.
/// `HUSKY_PHOTOS=DATA/validation cargo test --release --test explain -- --ignored --nocapture`
#[test]
#[ignore = "needs photos in HUSKY_PHOTOS/husky and HUSKY_PHOTOS/nothusky"]
fn the_heat_lies_on_the_husky() {
    let folder = std::env::var("HUSKY_PHOTOS").expect("HUSKY_PHOTOS names a folder of labels");
    let photos = |label: &str| {
        let mut paths: Vec<_> =
            std::fs::read_dir(format!("{folder}/{label}")).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let quarter = |path: &std::path::PathBuf| {
        let photo = husky::decode::decode(&std::fs::read(path).unwrap(), 240).unwrap();
        husky::resize::resize(&photo, 120)
    };
    let classifier = Classifier::load(include_bytes!("../models/husky.safetensors")).unwrap();
    let objects: Vec<_> =
        photos("nothusky").into_iter().filter(|path| path.display().to_string().contains("object")).collect();
    let (mut shares, mut sure) = (Vec::new(), Vec::new());
    for (i, husky) in photos("husky").iter().enumerate() {
        let quadrant = i % 4;
        let quarters: Vec<Pixels> = (0..4)
            .map(|q| if q == quadrant { quarter(husky) } else { quarter(&objects[(3 * i + q) % objects.len()]) })
            .collect();
        let row = |y: usize| {
            (0..2).flat_map({
                let quarters = &quarters;
                move |half| quarters[2 * (y / 120) + half].rgb()[360 * (y % 120)..360 * (y % 120 + 1)].iter().copied()
            })
        };
        let picture = Pixels::from_rgb(240, 240, (0..240).flat_map(row).collect()).unwrap();
        let explained = classifier.explain(&picture, Some(0)).unwrap();
        shares.push(share(&explained.heat, quadrant));
        if explained.verdict.label == "husky" {
            sure.push(share(&explained.heat, quadrant));
        }
    }
    let report = |name: &str, shares: &[f32]| {
        let mean = shares.iter().sum::<f32>() / shares.len() as f32;
        let hits = shares.iter().filter(|share| **share > 0.6).count();
        println!(
            "{name}: {} pictures, {:.0} % of the heat on the husky, more than 60 % in {hits}",
            shares.len(),
            100.0 * mean
        );
        mean
    };
    report("where the answer is husky", &sure);
    assert!(report("all", &shares) > 0.6);
}

#[test]
fn a_mosaic_has_a_tile_for_each_map() {
    let maps = |height, width, channels| FeatureMaps {
        height,
        width,
        channels,
        values: noise(1).take(height * width * channels).collect(),
    };
    // 5 and 3 maps, two a row, no more than 4 of a layer: 2 and 2 rows.
    let mosaic_of = mosaic(&[maps(7, 9, 5), maps(1, 1, 3)], 8, 2, 4).unwrap();
    assert_eq!((mosaic_of.width(), mosaic_of.height()), (18, 36));
    let pixel = |x: usize, y: usize| &mosaic_of.rgb()[3 * (y * 18 + x)..][..3];
    assert_eq!(pixel(8, 3), [0; 3], "between the tiles");
    assert_eq!(pixel(12, 30), [0; 3], "where there is no map");
    assert_ne!(pixel(3, 3), [0; 3]);
    assert!(mosaic(&[], 8, 2, 4).is_err());
    assert!(mosaic(&[maps(7, 9, 5)], 0, 2, 4).is_err() && mosaic(&[maps(7, 9, 5)], 8, 0, 4).is_err());
}
