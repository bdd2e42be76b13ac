//! The models that ship answer as their card says.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use husky::{Classifier, Pixels};
use trainer::evaluate::Report;
use trainer::judge::judge;

/// What was recorded of a model.
struct Record {
    name: &'static str,
    /// The logarithm of the two labels' probabilities' ratio for [`picture`]s 0 to 3.
    logits: [f32; 4],
    /// On the 846 validation photos.
    roc_auc: f64,
    balanced_accuracy: f64,
}

const RECORDS: [Record; 4] = [
    Record {
        name: "husky",
        logits: [-10.4790, -11.9532, -12.5786, -12.9736],
        roc_auc: 0.9927,
        balanced_accuracy: 0.9763,
    },
    Record {
        name: "tiny",
        logits: [-14.0983, -21.2852, -16.5411, -9.9504],
        roc_auc: 0.9845,
        balanced_accuracy: 0.9481,
    },
    Record {
        name: "compact",
        logits: [-4.2396, -3.9250, -4.4668, -4.8042],
        roc_auc: 0.9649,
        balanced_accuracy: 0.9134,
    },
    Record {
        name: "classic",
        logits: [-20.4937, -17.5564, -25.6640, -20.2327],
        roc_auc: 0.8764,
        balanced_accuracy: 0.8015,
    },
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

fn load(name: &str) -> Classifier {
    Classifier::load(&fs::read(folder().join(format!("{name}.safetensors"))).unwrap()).unwrap()
}

/// Waves in three colours, of another length for each number.
fn picture(number: u32) -> Pixels {
    let wave = |a: u32, b: u32| (127.5 + 127.5 * ((a * (number + 1)) as f32 / 40.0 + b as f32 / 25.0).sin()) as u8;
    let rgb = (0..300 * 200).flat_map(|i| [wave(i % 300, i / 300), wave(i / 300, i % 300), wave(i % 300, 0)]).collect();
    Pixels::from_rgb(300, 200, rgb).unwrap()
}

#[test]
fn every_model_that_ships_has_a_record() {
    let mut files: Vec<String> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|file| file.ends_with(".safetensors"));
    files.sort();
    let mut names: Vec<String> = RECORDS.iter().map(|record| format!("{}.safetensors", record.name)).collect();
    names.sort();
    assert_eq!(files, names);
    let bytes: u64 = files.iter().map(|file| fs::metadata(folder().join(file)).unwrap().len()).sum();
    assert!(bytes <= 25_000_000, "{bytes}");
}

#[test]
fn drawn_pictures_get_the_recorded_answers() {
    for Record { name, logits, .. } in RECORDS {
        let classifier = load(name);
        let logit = |number| {
            let verdict = classifier.classify_pixels(&picture(number)).unwrap();
            (verdict.probabilities[0] / verdict.probabilities[1]).ln()
        };
        let found: Vec<f32> = (0..4).map(logit).collect();
        let near = found.iter().zip(&logits).all(|(found, recorded)| (found - recorded).abs() <= 1e-3);
        assert!(near, "{name}: {found:?}");
    }
}

#[test]
fn validation_photos_get_the_recorded_figures() {
    let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/husky/validation");
    if !photos.is_dir() {
        println!("the research photos are not at {}: nothing was compared", photos.display());
        return;
    }
    for Record { name, roc_auc, balanced_accuracy, .. } in RECORDS {
        let classifier = load(name);
        let (judged, _) = judge(&classifier, &photos).unwrap();
        let report = Report::new(classifier.spec(), &judged, 0);
        let found = [report.figures.roc_auc.unwrap(), report.figures.balanced_accuracy];
        // As many digits as the card has.
        let near =
            found.iter().zip([roc_auc, balanced_accuracy]).all(|(found, recorded)| (found - recorded).abs() < 1e-3);
        assert!(near, "{name}: {found:?}");
    }
}
