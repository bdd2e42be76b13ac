//! The model file: what is written is read again, bit by bit.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use half::f16;
use husky::{
    Classifier, Error, Pixels, Spec, Weights,
    shipped::{SHIPPED, may_be},
    spec::{Activation, Layer},
    weights::{MAX_FILE, Precision, digest, precision, read, write},
};

#[test]
fn a_written_model_is_read_again() {
    let spec = common::classic();
    let weights = common::weights(&spec, 1);
    let bytes = write(&spec, &weights, Precision::F32).unwrap();
    assert_eq!(read(&bytes).unwrap(), (spec.clone(), weights.clone()));
    assert_eq!(precision(&bytes).unwrap(), Precision::F32);
    assert_eq!(write(&spec, &weights, Precision::F32).unwrap(), bytes, "equal models are equal files");
}

#[test]
fn sixteen_bits_keep_eleven_digits() {
    let spec = common::classic();
    let weights = common::weights(&spec, 1);
    let bytes = write(&spec, &weights, Precision::F16).unwrap();
    assert_eq!(precision(&bytes).unwrap(), Precision::F16);
    let (_, read) = read(&bytes).unwrap();
    for (exact, half) in weights.get("dense_1.weight").iter().zip(read.get("dense_1.weight")) {
        assert!((exact - half).abs() <= exact.abs() / 2048.0 + 3e-8, "{exact} became {half}");
    }
}

#[test]
fn every_sixteen_bits_are_read_as_half_reads_them() {
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|half| half.is_finite()).collect();
    let (spec, mut tensors) = tiny();
    // Nine at a time.
    for halves in halves.chunks_exact(9) {
        let exact: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
        tensors.insert("dense_1.weight".to_owned(), exact.clone());
        let bytes = write(&spec, &Weights::new(&spec, tensors.clone()).unwrap(), Precision::F16).unwrap();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(read(&bytes).unwrap().1.get("dense_1.weight")), bits(&exact));
    }
}

#[test]
fn eight_bits_are_off_by_half_a_step_of_their_channel() {
    let spec = common::classic();
    let weights = common::weights(&spec, 1);
    let bytes = write(&spec, &weights, Precision::I8).unwrap();
    assert_eq!(precision(&bytes).unwrap(), Precision::I8);
    let (_, read) = read(&bytes).unwrap();
    for (layer, channels) in [("conv2d_2", 64), ("dense_1", 128), ("dense_2", 1)] {
        let (weight, bias) = (format!("{layer}.weight"), format!("{layer}.bias"));
        assert_eq!(read.get(&bias), weights.get(&bias), "biases keep 32 bits");
        let (exact, read) = (weights.get(&weight), read.get(&weight));
        for channel in 0..channels {
            let of = |values: &[f32]| values.iter().skip(channel).step_by(channels).copied().collect::<Vec<f32>>();
            let (exact, read) = (of(exact), of(read));
            let step = exact.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
            for (exact, read) in exact.into_iter().zip(read) {
                assert!((exact - read).abs() <= 0.5001 * step, "{weight}, channel {channel}: {exact} became {read}");
            }
        }
    }
}

#[test]
fn a_channel_of_zeros_stays_zero_in_eight_bits() {
    let (spec, mut tensors) = tiny();
    tensors.insert("dense_1.weight".to_owned(), [0.0, 1.0, -2.0].repeat(3));
    let weights = Weights::new(&spec, tensors).unwrap();
    assert_eq!(read(&write(&spec, &weights, Precision::I8).unwrap()).unwrap().1, weights);
}

#[test]
fn floats_can_be_read_in_place() {
    let spec = common::classic();
    let bytes = write(&spec, &common::weights(&spec, 1), Precision::F32).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(header % 8, 0);
}

#[test]
fn a_model_judges_a_picture() {
    let spec = common::classic();
    let bytes = write(&spec, &common::weights(&spec, 1), Precision::F32).unwrap();
    let classifier = Classifier::load(&bytes).unwrap();
    let rgb = common::noise(2).map(|x| (x * 127.0 + 128.0) as u8).take(300 * 200 * 3).collect();
    let pixels = Pixels::from_rgb(300, 200, rgb).unwrap();
    let verdict = classifier.classify_pixels(&pixels).unwrap();
    assert!((verdict.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    let (label, probability) = if verdict.probabilities[0] >= 0.5 { (0, 0) } else { (1, 1) };
    assert_eq!(verdict.label, spec.labels[label]);
    assert_eq!(verdict.probability, verdict.probabilities[probability]);
}

type Tensors = BTreeMap<String, Vec<f32>>;

/// A network of one dense layer with three units, and its weights.
fn tiny() -> (Spec, Tensors) {
    let spec = common::spec(1, 3, vec![Layer::Flatten, common::dense(3, Activation::Linear)]);
    let tensors = [("dense_1.weight", vec![0.5; 9]), ("dense_1.bias", vec![0.0; 3])];
    (spec, tensors.map(|(name, values)| (name.to_owned(), values)).into())
}

#[test]
fn weights_are_those_of_the_spec_or_an_error() {
    let (spec, good) = tiny();
    let with = |edit: &dyn Fn(&mut Tensors)| {
        let mut tensors = good.clone();
        edit(&mut tensors);
        Weights::new(&spec, tensors).map(|_| ())
    };
    let (weight, bias) = ("dense_1.weight".to_owned(), "dense_1.bias".to_owned());
    assert_eq!(with(&|_| {}), Ok(()));
    assert_eq!(with(&|t| drop(t.remove(&bias))), Err(Error::ModelTensorMissing(bias.clone())));
    assert_eq!(with(&|t| drop(t.insert("x".into(), vec![]))), Err(Error::ModelTensorUnknown("x".into())));
    let short = Error::ModelTensorLength { tensor: weight.clone(), expected: 9, found: 8 };
    assert_eq!(with(&|t| t.get_mut(&weight).unwrap().truncate(8)), Err(short));
    let infinite = Error::ModelTensorValue { tensor: bias.clone(), index: 2, value: f32::INFINITY };
    assert_eq!(with(&|t| t.get_mut(&bias).unwrap()[2] = f32::INFINITY), Err(infinite));
}

#[test]
fn a_weight_too_large_for_sixteen_bits_is_an_error() {
    let (spec, mut tensors) = tiny();
    // The largest f16 is 65,504, and what is nearer to it than to 65,536 becomes it.
    tensors.get_mut("dense_1.bias").unwrap()[1] = 65_519.0;
    let fits = Weights::new(&spec, tensors.clone()).unwrap();
    assert_eq!(read(&write(&spec, &fits, Precision::F16).unwrap()).unwrap().1.get("dense_1.bias")[1], 65_504.0);
    tensors.get_mut("dense_1.bias").unwrap()[1] = -65_520.0;
    let weights = Weights::new(&spec, tensors).unwrap();
    let expected = Error::ModelHalfRange { tensor: "dense_1.bias".to_owned(), value: -65_520.0 };
    assert_eq!(write(&spec, &weights, Precision::F16), Err(expected));
    assert!(write(&spec, &weights, Precision::F32).is_ok());
}

#[test]
fn a_file_over_the_limit_is_refused_unread() {
    assert_eq!(read(&vec![0; MAX_FILE + 1]), Err(Error::ModelTooLarge(MAX_FILE + 1)));
}

#[test]
fn huge_weights_give_an_error_instead_of_a_probability() {
    let (spec, mut tensors) = tiny();
    tensors.insert("dense_1.weight".to_owned(), vec![3e38; 9]);
    let bytes = write(&spec, &Weights::new(&spec, tensors).unwrap(), Precision::F32).unwrap();
    let white = Pixels::from_rgb(1, 1, vec![255; 3]).unwrap();
    assert_eq!(Classifier::load(&bytes).unwrap().classify_pixels(&white), Err(Error::ModelAnswer));
}

/// What the page has compiled in is what lies in `models`.
#[test]
fn the_models_that_ship_are_those_that_the_page_knows() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.push((name, digest(&std::fs::read(&path).unwrap()).unwrap()));
        }
    }
    found.sort();
    let known: Vec<_> = SHIPPED.iter().map(|&(name, digest)| (name.to_owned(), digest.to_owned())).collect();
    assert_eq!(found, known, "src/shipped.rs has to say what is left");
}

/// Whichever bit of a shipped model is another, the page refuses the file: half of them in the header, which the checksum
/// does not cover.
#[test]
fn no_bit_of_a_shipped_model_can_be_changed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny.safetensors");
    let mut model = std::fs::read(path).unwrap();
    let is_accepted = |model: &[u8]| read(model).is_ok() && may_be(path, &digest(model).unwrap());
    assert!(is_accepted(&model));
    let header = 8 + u64::from_le_bytes(*model.first_chunk().unwrap()) as usize;
    let places: Vec<f32> = common::noise(1).take(10_000).map(|place| (place + 1.0) / 2.0).collect();
    for (i, place) in places.into_iter().enumerate() {
        let bits = 8 * if i % 2 == 0 { header } else { model.len() };
        let bit = ((f64::from(place) * bits as f64) as usize).min(bits - 1);
        model[bit / 8] ^= 1 << (bit % 8);
        assert!(!is_accepted(&model), "bit {bit}");
        model[bit / 8] ^= 1 << (bit % 8);
    }
}
