//! What is written for other programs, read by them: models by ONNX' checker and ONNX Runtime, Keras and TensorFlow.js, a run's
//! events by TensorBoard. They are installed from PyPI and npm, so this is no part of a plain `cargo test`: `cargo xtask test`
//! runs it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{draw, kinds_model, mixed_model, small_classic, waves};
use husky::Classifier;
use husky::shipped::SHIPPED;
use husky::weights::{self, Precision};
use trainer::config::Config;
use trainer::presets::Preset;
use trainer::train::Run;
use xtask::peers::{install_javascript, install_python};
use xtask::process::{read, run};

const PHOTOS: u32 = 3;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// Exports models by the command, has the peer answer about pictures, and holds its answers to ours.
fn compare(format: &str, file: &str, peer: impl Fn() -> Command, limit: f32) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let shipped = SHIPPED.iter().map(|(file, _)| models.join(file));
    for (i, (spec, weights)) in [mixed_model(), small_classic(), kinds_model()].iter().enumerate() {
        fs::write(path(&format!("{i}.safetensors")), weights::write(spec, weights, Precision::F32).unwrap()).unwrap();
    }
    for model in (0..3).map(|i| path(&format!("{i}.safetensors"))).chain(shipped) {
        run(Command::new(env!("CARGO_BIN_EXE_husky"))
            .args(["export", "--format", format, "--out"])
            .args([&path(file), &model]))
        .unwrap();
        let classifier = Classifier::load(&fs::read(&model).unwrap()).unwrap();
        let size = classifier.spec().input.size;
        let photos: Vec<_> = (0..PHOTOS).map(|number| waves(size, number)).collect();
        fs::write(path("photos"), photos.iter().flat_map(|photo| photo.rgb()).copied().collect::<Vec<u8>>()).unwrap();
        let mut command = peer();
        command.args([path(file), path("photos")]).arg(size.to_string());
        // A list of probabilities for each photo; of two labels, the first's alone will do.
        let theirs: Vec<Vec<f32>> = serde_json::from_str(read(&mut command).unwrap().lines().last().unwrap()).unwrap();
        assert_eq!(theirs.len(), photos.len());
        for (photo, theirs) in photos.iter().zip(theirs) {
            let ours = classifier.classify_pixels(photo).unwrap().probabilities;
            assert!(theirs.len() == ours.len() || ours.len() == 2 && theirs.len() == 1, "{theirs:?}");
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a - b).abs() <= limit, "{}: {ours:?}, {theirs:?}", model.display());
            }
        }
    }
}

fn python(requirements: &str, name: &str, script: &str) -> impl Fn() -> Command {
    let python = install_python(&sources().join(requirements), name).unwrap();
    let script = sources().join(script);
    move || {
        let mut command = Command::new(&python);
        command.arg(&script);
        command
    }
}

#[test]
fn onnx_is_valid_and_onnx_runtime_answers_alike() {
    compare("onnx", "model.onnx", python("requirements-onnx.txt", "exchange-onnx", "onnx_runtime.py"), 1e-5);
}

#[test]
fn keras_answers_alike() {
    compare("keras", "model.h5", python("requirements-keras.txt", "exchange-keras", "keras_model.py"), 1e-5);
}

#[test]
fn tensorflow_js_answers_alike() {
    let packages = install_javascript(&sources().join("package.json"), "exchange").unwrap();
    let node = || {
        let mut command = Command::new("node");
        command.arg(sources().join("tfjs.cjs")).env("NODE_PATH", &packages);
        command
    };
    compare("tfjs", "tfjs", node, 1e-4);
}

#[test]
fn tensorboard_reads_a_runs_events() {
    let folder = tempfile::tempdir().unwrap();
    let [data, run] = ["data", "run"].map(|name| folder.path().join(name));
    draw(&data.join("training"), 1, 12);
    draw(&data.join("validation"), 2, 6);
    let config = Config { epochs: 3, steps_per_epoch: 2, ..Config::new(&data, Preset::Quick).unwrap() };
    Run::start(&run, config).unwrap().train().unwrap();
    let peer = python("requirements-tensorboard.txt", "exchange-tensorboard", "tensorboard_events.py");
    let events = read(peer().arg(&run)).unwrap();
    // A list of steps and values for each tag.
    let events: BTreeMap<String, Vec<(u32, f64)>> = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    let mut metrics = csv::Reader::from_path(run.join("metrics.csv")).unwrap();
    let rows: Vec<BTreeMap<String, String>> = metrics.deserialize().map(Result::unwrap).collect();
    let columns = [
        ("loss/training", "loss"),
        ("loss/validation", "validation_loss"),
        ("accuracy/training", "accuracy"),
        ("accuracy/validation", "validation_accuracy"),
        ("roc_auc/validation", "validation_roc_auc"),
    ];
    assert_eq!(events.len(), columns.len());
    for (tag, column) in columns {
        let expected: Vec<(u32, f64)> = rows
            .iter()
            .map(|row| (row["epoch"].parse().unwrap(), f64::from(row[column].parse::<f64>().unwrap() as f32)))
            .collect();
        assert_eq!(events[tag], expected, "{tag}");
        assert_eq!(expected.len(), 3);
    }
}
