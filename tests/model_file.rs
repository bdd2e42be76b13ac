//! The model file: what is written is read again, bit by bit.
#![allow(clippy::unwrap_used)]

mod common;

use husky::{
    Classifier, Pixels,
    weights::{Precision, precision, read, write},
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
