//! `husky export` and `husky import`: models for and from other programs. The programs themselves are asked in `peers.rs`.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fail, husky, mixed_model, small_classic, succeed, waves};
use husky::weights::{self, Precision};
use husky::{Classifier, Spec, Weights};
use serde::Deserialize;
use tempfile::TempDir;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// A folder with the model in `model.safetensors`.
fn folder((spec, weights): &(Spec, Weights)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("model.safetensors"), spec, weights);
    folder
}

fn write(path: &Path, spec: &Spec, weights: &Weights) {
    fs::write(path, weights::write(spec, weights, Precision::F32).unwrap()).unwrap();
}

fn probabilities(model: &Path) -> Vec<Vec<f32>> {
    let classifier = Classifier::load(&fs::read(model).unwrap()).unwrap();
    let size = classifier.spec().input.size;
    (0..4).map(|number| classifier.classify_pixels(&waves(size, number)).unwrap().probabilities).collect()
}

/// In the order of the model's labels.
fn assert_close(a: &[Vec<f32>], b: &[Vec<f32>], limit: f32) {
    let largest = a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.len() == b.len() && largest <= limit, "{largest}: {a:?}, {b:?}");
    let spread = a.iter().flatten().fold(0.0_f32, |spread, p| spread.max((p - a[0][0]).abs()));
    assert!(spread > 0.01, "all the same: {a:?}");
}

#[test]
fn weights_alone_come_back_as_the_same_file() {
    for model in [mixed_model(), small_classic()] {
        let folder = folder(&model);
        let path = folder.path();
        succeed(path, &["export", "model.safetensors", "--weights-only", "--out", "weights.safetensors"]);
        let whole = fs::read(path.join("model.safetensors")).unwrap();
        assert!(fs::read(path.join("weights.safetensors")).unwrap().len() < whole.len());
        let import = ["import", "weights.safetensors", "--like", "model.safetensors", "--out", "again.safetensors"];
        succeed(path, &import);
        assert_eq!(fs::read(path.join("again.safetensors")).unwrap(), whole);
    }
}

#[test]
fn what_is_exported_to_keras_can_be_imported() {
    let folder = folder(&small_classic());
    let path = folder.path();
    let note = succeed(path, &["export", "model.safetensors", "--format", "keras", "--out", "model.h5"]);
    assert!(note.contains("probability of husky"), "{note}");
    // The file says itself that its output is the first label's, and has the temperature in its weights.
    for rest in [["--labels", "husky,nothusky"], ["--like", "model.safetensors"]] {
        succeed(path, &[&["import", "model.h5", "--out", "again.safetensors"], &rest[..]].concat());
        let [before, after] = ["model.safetensors", "again.safetensors"].map(|file| probabilities(&path.join(file)));
        assert_close(&before, &after, 1e-6);
    }
}

/// What the fixtures' networks answer: that of two labels the probability of Keras' class 1, that of three one for each.
#[derive(Deserialize)]
struct KerasAnswers {
    answers: Vec<f32>,
    mixed: Vec<Vec<f32>>,
}

fn keras_answers() -> KerasAnswers {
    serde_json::from_slice(&fs::read(format!("{FIXTURES}/keras.json")).unwrap()).unwrap()
}

#[test]
fn keras_files_answer_as_keras_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let KerasAnswers { answers, mixed } = keras_answers();
    let both = |of_second: &[f32]| of_second.iter().map(|&p| vec![1.0 - p, p]).collect::<Vec<_>>();
    for file in ["keras.h5", "keras.keras", "keras2.h5"] {
        let file = format!("{FIXTURES}/{file}");
        let note = succeed(path, &["import", &file, "--labels", "husky,nothusky", "--out", "model.safetensors"]);
        assert!(note.contains("taken for the probability of nothusky"), "{note}");
        assert_close(&probabilities(&path.join("model.safetensors")), &both(&answers), 1e-6);

        let arguments = ["--labels", "husky,nothusky", "--output", "husky", "--out", "other.safetensors"];
        succeed(path, &[&["import", &file], &arguments[..]].concat());
        let other: Vec<f32> = answers.iter().map(|p| 1.0 - p).collect();
        assert_close(&probabilities(&path.join("other.safetensors")), &both(&other), 1e-6);
    }
    for weights in ["keras.weights.h5", "keras2_weights.h5"] {
        let weights = format!("{FIXTURES}/{weights}");
        succeed(path, &["import", &weights, "--like", "model.safetensors", "--out", "like.safetensors"]);
        assert_close(&probabilities(&path.join("like.safetensors")), &both(&answers), 1e-6);
    }
    let file = format!("{FIXTURES}/mixed.keras");
    succeed(path, &["import", &file, "--labels", "cat,dog,husky", "--out", "mixed.safetensors"]);
    assert_close(&probabilities(&path.join("mixed.safetensors")), &mixed, 1e-6);
    let file = format!("{FIXTURES}/mixed.weights.h5");
    succeed(path, &["import", &file, "--like", "mixed.safetensors", "--out", "like.safetensors"]);
    assert_close(&probabilities(&path.join("like.safetensors")), &mixed, 1e-6);
}

#[test]
fn what_cannot_be_imported_is_said_in_a_sentence() {
    let folder = folder(&mixed_model());
    let path = folder.path();
    let fixture = |name: &str| PathBuf::from(FIXTURES).join(name).to_str().unwrap().to_owned();
    let out = ["--out", "out.safetensors"];
    let import = |file: &str, rest: &[&str]| fail(path, &[&["import", file], rest, &out[..]].concat());

    let error = import(&fixture("keras.weights.h5"), &["--labels", "a,b"]);
    assert!(error.contains("--like names a model of the same network"), "{error}");
    let error = import(&fixture("keras.weights.h5"), &["--like", "model.safetensors"]);
    assert!(error.contains("weights of 5 layers where the network has 8"), "{error}");
    let error = import(&fixture("keras.h5"), &["--labels", "a,b,c"]);
    assert!(error.contains("keras.h5"), "{error}");
    let error = import(&fixture("keras.h5"), &["--labels", "a,b", "--output", "c"]);
    assert!(error.contains("the output c is none of the labels a, b"), "{error}");
    let error = import(&fixture("mixed.keras"), &["--labels", "a,b,c", "--output", "c"]);
    assert!(error.contains("--output is for two labels"), "{error}");
    let error = import(&fixture("keras.json"), &["--labels", "a,b"]);
    assert!(error.contains("is no file of Keras'"), "{error}");
    let error = import("missing.h5", &["--labels", "a,b"]);
    assert!(error.contains("missing.h5"), "{error}");
    // A network that branches.
    succeed(path, &["export", "model.safetensors", "--format", "keras", "--out", "mixed.h5"]);
    let error = import("mixed.h5", &["--labels", "cat,dog,husky"]);
    assert!(error.contains("only Sequential"), "{error}");

    // Broken files: an error or the same model, never a panic.
    for name in ["keras.h5", "keras.keras"] {
        let whole = fs::read(fixture(name)).unwrap();
        for step in 0..24 {
            let mut broken = whole.clone();
            match step % 2 {
                0 => broken.truncate(whole.len() * step / 24),
                _ => broken[whole.len() * step / 24 % 4096] ^= 0x55,
            }
            fs::write(path.join("broken"), broken).unwrap();
            let output = husky(path, &["import", "broken", "--labels", "a,b", "--out", "out.safetensors"]);
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(
                matches!(output.status.code(), Some(0 | 1)) && !error.contains("panicked"),
                "{name} {step}: {error}"
            );
        }
    }
}

#[test]
fn what_the_format_cannot_say_is_refused() {
    let (mut spec, weights) = small_classic();
    spec.input.mean = [1.0, 2.0, 3.0];
    let folder = folder(&(spec, weights));
    let error = fail(folder.path(), &["export", "model.safetensors", "--format", "keras", "--out", "model.h5"]);
    assert!(error.contains("model.safetensors") && error.contains("take onnx"), "{error}");
    assert!(!folder.path().join("model.h5").exists());
}
