//! `husky evaluate`, `predict` and `summary`, as a user runs them.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use common::husky;
use husky::{
    Classifier, Spec, Weights,
    spec::{Activation, Architecture, Input, Layer, Provenance, Resize},
    weights::{self, Precision},
};
use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

/// A model that knows bright from dark: its logit is -4 for black, 4 for white, and it answers `bright` from 0.5 on, and is
/// unsure between 0.05 and 0.95.
fn model() -> Vec<u8> {
    let spec = Spec {
        name: "brightness".to_owned(),
        input: Input { size: 4, mean: [127.5; 3], scale: [1.0 / 127.5; 3], resize: Resize::StretchTriangle },
        architecture: Architecture(vec![Layer::Flatten, Layer::Dense { units: 1, activation: Activation::Linear }]),
        labels: vec!["bright".to_owned(), "dark".to_owned()],
        temperature: 1.0,
        threshold: 0.5,
        unsure: Some([0.05, 0.95]),
        provenance: Provenance {
            version: "0.1.0".to_owned(),
            date: Some("2026-11-22".to_owned()),
            seed: 7,
            epoch: 12,
            data: "0123abcd".to_owned(),
            training_photos: vec![1234, 5],
            validation_photos: vec![6, 7],
        },
    };
    let tensors =
        BTreeMap::from([("dense_1.weight".to_owned(), vec![4.0 / 48.0; 48]), ("dense_1.bias".to_owned(), vec![0.0])]);
    weights::write(&spec, &Weights::new(&spec, tensors).unwrap(), Precision::F32).unwrap()
}

fn grey(path: &Path, brightness: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(8, 6, Rgb([brightness; 3])).save(path).unwrap();
}

/// The model, and photos of which it gets one wrong: `dark/odd_1.png` is bright.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("model.safetensors"), model()).unwrap();
    for (file, brightness) in [
        ("photos/bright/sun_1.png", 255),
        ("photos/bright/sun_2.png", 200),
        ("photos/bright/snow/a_b.png", 230),
        ("photos/dark/night.png", 0),
        ("photos/dark/odd_1.png", 240),
        ("photos/dark/odd_2.png", 30),
    ] {
        grey(&root.join(file), brightness);
    }
    folder
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn evaluate_counts_what_the_model_gets_right() {
    let folder = folder();
    fs::write(folder.path().join("photos/dark/broken.jpg"), "no picture").unwrap();
    let output = husky(folder.path(), &["evaluate", "model.safetensors", "photos", "--json", "report.json"]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stderr).contains("photos/dark/broken.jpg: "), "{output:?}");
    assert!(text(&output.stdout).contains("balanced accuracy                    0.8333"), "{}", text(&output.stdout));

    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let mut keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    keys.sort();
    let expected = "accuracy balanced_accuracy confusion coverage ece groups intervals labels log_loss n recall_at_1pct_fpr roc_auc skipped sure_balanced_accuracy threshold";
    assert_eq!(keys, expected.split(' ').collect::<Vec<_>>());
    assert_eq!(report["n"], 6);
    assert_eq!(report["skipped"], 1);
    assert_eq!(report["confusion"], serde_json::json!([[3, 0], [1, 2]]));
    let near = |value: &Value, expected: f64| assert!((value.as_f64().unwrap() - expected).abs() < 1e-6, "{value}");
    near(&report["accuracy"], 5.0 / 6.0);
    // The model gives 0.91 for brightness 200.
    near(&report["coverage"], 5.0 / 6.0);
    near(&report["balanced_accuracy"], (1.0 + 2.0 / 3.0) / 2.0);
    // Scores: 255 230 200 bright; 240 30 0 dark. 7 of 9 pairs; above the first dark one lies one bright one of three.
    near(&report["roc_auc"], 7.0 / 9.0);
    near(&report["recall_at_1pct_fpr"], 1.0 / 3.0);
    let z = |brightness: f64| 4.0 * (brightness / 127.5 - 1.0);
    let loss = |margin: f64| (-margin).exp().ln_1p();
    let losses = [z(255.0), z(200.0), z(230.0), -z(0.0), -z(240.0), -z(30.0)].map(loss);
    assert!((report["log_loss"].as_f64().unwrap() - losses.iter().sum::<f64>() / 6.0).abs() < 1e-5, "{report}");
    let groups = serde_json::json!({
        "dark": {"n": 1, "positive_rate": 0.0, "sure_positive_rate": 0.0, "unsure_rate": 0.0},
        "odd": {"n": 2, "positive_rate": 0.5, "sure_positive_rate": 0.5, "unsure_rate": 0.0},
        "snow": {"n": 1, "positive_rate": 1.0, "sure_positive_rate": 1.0, "unsure_rate": 0.0},
        "sun": {"n": 2, "positive_rate": 1.0, "sure_positive_rate": 0.5, "unsure_rate": 0.5},
    });
    assert_eq!(report["groups"], groups);
}

#[test]
fn evaluate_judges_distorted_photos_too() {
    let folder = folder();
    let arguments = ["evaluate", "model.safetensors", "photos", "--robustness", "--json", "report.json"];
    let output = husky(folder.path(), &arguments);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let rows = report["robustness"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["distortion"] == name).unwrap();
    assert!(text(&output.stdout).contains("half as bright"), "{}", text(&output.stdout));
    // To this model a mirrored photo is the same, and one half as bright is dark.
    assert_eq!((&row("mirrored")["changed"], &row("mirrored")["roc_auc"]), (&0.0.into(), &report["roc_auc"]));
    assert_eq!(row("half as bright")["changed"], 4.0 / 6.0);
}

#[test]
fn evaluate_writes_a_page_that_needs_nothing_else() {
    let folder = folder();
    let output = husky(folder.path(), &["evaluate", "model.safetensors", "photos", "--html", "report.html"]);
    assert!(output.status.success(), "{output:?}");
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    let answered =
        "<p>answered &quot;bright&quot; from probability 0.5000 on, surely enough for 83.3 % of the photos</p>";
    for part in [
        answered,
        "<td>balanced accuracy of sure answers<td",
        "<td>ROC AUC<td class=n>0.7778",
        ">Precision and recall<",
        ">Calibration<",
        "The worst of 1 errors",
    ] {
        assert!(page.contains(part) || page.contains(part.trim_matches(['<', '>'])), "{part} is missing");
    }
    // The one error, as a picture, and its probability: dark is 1 / (1 + exp(z)) with z = 4 (240 / 127.5 - 1).
    assert!(page.contains("odd_1.png<br>is dark, and got 2.8 % for it"), "{page}");
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,/9j/").count(), 1);
    // Nothing is loaded from anywhere.
    assert!(!page.contains("href=") && !page.contains("src=\"http") && !page.contains("<script"));
}

/// The names of the groups come from files, whose names may be anything, and the same under two labels.
#[test]
fn evaluate_escapes_names_of_groups_and_tells_them_apart() {
    let folder = folder();
    grey(&folder.path().join("photos/bright/odd_9.png"), 255);
    grey(&folder.path().join("photos/dark/<b>&_1.png"), 255);
    let output = husky(folder.path(), &["evaluate", "model.safetensors", "photos", "--html", "report.html"]);
    assert!(output.status.success(), "{output:?}");
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(!page.contains("<b>") && page.contains("&lt;b&gt;&amp;_1.png"), "{page}");
    assert!(page.contains("bright/odd (1)") && page.contains("dark/odd (2)") && page.contains("sun (2)"), "{page}");
}

#[test]
fn calibrate_moves_threshold_and_temperature_and_nothing_else() {
    let folder = folder();
    let calibrate = |rule: &str| {
        let output = husky(
            folder.path(),
            &["calibrate", "model.safetensors", "photos", "--threshold-rule", rule, "--out", "new.safetensors"],
        );
        assert!(output.status.success(), "{output:?}");
        let (spec, weights) = weights::read(&fs::read(folder.path().join("new.safetensors")).unwrap()).unwrap();
        let (old, old_weights) = weights::read(&model()).unwrap();
        assert!(spec.temperature != old.temperature && weights == old_weights);
        // Six photos are too few to say where to be unsure.
        assert_eq!(spec.unsure, None);
        let Spec { temperature, threshold, unsure, .. } = old;
        assert_eq!(Spec { temperature, threshold, unsure, ..spec.clone() }, old);
        // As a grey from 0 to 255.
        let logit = (spec.threshold / (1.0 - spec.threshold)).ln() * spec.temperature;
        (logit / 4.0 + 1.0) * 127.5
    };
    // bright 255 230 200; dark 240 30 0. Without a false alarm only 255 is found; else all three beside one.
    assert!((240.0..255.0).contains(&calibrate("fpr=0")));
    assert!((30.0..200.0).contains(&calibrate("fpr=0.34")));
    assert!((30.0..200.0).contains(&calibrate("balanced")));
    let wrong =
        husky(folder.path(), &["calibrate", "model.safetensors", "photos", "--threshold-rule", "best", "--out", "x"]);
    assert!(text(&wrong.stderr).contains("none of balanced, f1, and fpr=RATE"), "{wrong:?}");
    let size = husky(folder.path(), &["calibrate", "model.safetensors", "photos", "--size", "8", "--out", "x"]);
    assert!(text(&size.stderr).contains("has weights for 4 pixels a side and no other --size"), "{size:?}");
    let end = || {
        let output = husky(folder.path(), &["calibrate", "model.safetensors", "photos", "--out", "x"]);
        text(&output.stdout).to_owned()
    };
    assert!(!end().contains("no other temperature"));
    // Without the one that is called wrong, every answer may as well be certain.
    fs::remove_file(folder.path().join("photos/dark/odd_1.png")).unwrap();
    assert!(end().starts_with("temperature 0.1000") && end().contains("no other temperature"), "{}", end());
    fs::remove_dir_all(folder.path().join("photos/bright")).unwrap();
    let one = husky(folder.path(), &["calibrate", "model.safetensors", "photos", "--out", "x"]);
    assert!(text(&one.stderr).contains("photos of one label alone tell nothing"), "{one:?}");
}

#[test]
fn quantize_says_what_it_changes() {
    let folder = folder();
    let quantize = |precision: &str| {
        let arguments = ["quantize", "model.safetensors", "--precision", precision, "--out", "small.safetensors"];
        let output = husky(folder.path(), &[&arguments[..], &["--data", "photos"]].concat());
        assert!(output.status.success(), "{output:?}");
        let small = fs::read(folder.path().join("small.safetensors")).unwrap();
        (text(&output.stdout).to_owned(), weights::precision(&small).unwrap())
    };
    for (name, precision) in [("f16", Precision::F16), ("int8", Precision::I8), ("f32", Precision::F32)] {
        let (told, found) = quantize(name);
        assert_eq!(found, precision);
        assert!(told.contains("ROC AUC                               0.7778   0.7778"), "{told}");
        assert!(told.contains("answers that differ: 0"), "{told}");
    }
}

#[test]
fn evaluate_takes_the_validation_part_of_a_data_set() {
    let folder = folder();
    grey(&folder.path().join("data/training/bright/a.png"), 0);
    grey(&folder.path().join("data/validation/bright/a.png"), 255);
    let output = husky(folder.path(), &["evaluate", "model.safetensors", "data", "--json", "report.json"]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["n"], &report["accuracy"]), (&Value::from(1), &Value::from(1.0)));
    // One label alone has no curve.
    assert_eq!((&report["roc_auc"], &report["intervals"]["roc_auc"]), (&Value::Null, &Value::Null));
}

#[test]
fn evaluate_refuses_what_it_cannot_judge() {
    let folder = folder();
    let error = |arguments: &[&str]| {
        let output = husky(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr).to_owned()
    };
    assert!(error(&["evaluate", "nowhere", "photos"]).contains("nowhere: "));
    assert!(error(&["evaluate", "photos/dark/night.png", "photos"]).contains("night.png: is a photo, not a model"));
    assert!(error(&["evaluate", "model.safetensors", "photos/dark"]).contains("name the folder above"));
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    assert!(error(&["evaluate", "pipe", "photos"]).contains("pipe: the model: is a pipe"));
    fs::create_dir(folder.path().join("photos/grey")).unwrap();
    let unknown = error(&["evaluate", "model.safetensors", "photos"]);
    assert!(unknown.contains("photos/grey") && unknown.contains("bright"), "{unknown}");
    fs::create_dir_all(folder.path().join("data/training/dark")).unwrap();
    assert!(error(&["evaluate", "model.safetensors", "data"]).contains("name data/training to judge what trains"));
    fs::create_dir_all(folder.path().join("none/dark")).unwrap();
    assert!(error(&["evaluate", "model.safetensors", "none"]).contains("no photo that can be read"));
}

#[test]
fn predict_gives_a_line_a_photo_in_order() {
    let folder = folder();
    let arguments = ["predict", "model.safetensors", "photos/dark/night.png", "photos/bright"];
    let output = husky(folder.path(), &arguments);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    let starts = ["dark          98.2 %", "bright        96.1 %", "bright        98.2 %", "unsure        90.7 %"];
    let files = ["dark/night.png", "bright/snow/a_b.png", "bright/sun_1.png", "bright/sun_2.png"];
    assert_eq!(lines.len(), 4);
    for ((line, start), file) in lines.iter().zip(starts).zip(files) {
        assert!(line.starts_with(start) && line.ends_with(file) && line.contains(" ms "), "{line:?} {start:?}");
    }
}

#[test]
fn predict_as_json_is_the_classifiers_own_answer() {
    let folder = folder();
    let output = husky(folder.path(), &["predict", "--json", "model.safetensors", "photos"]);
    assert!(output.status.success(), "{output:?}");
    let classifier = Classifier::load(&model()).unwrap();
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    for line in lines {
        let mut keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        keys.sort();
        let expected = ["file", "hides_another", "label", "milliseconds", "probabilities", "probability", "unsure"];
        assert_eq!(keys, expected);
        assert_eq!(line["hides_another"], false);
        let bytes = fs::read(folder.path().join(line["file"].as_str().unwrap())).unwrap();
        // Through text, as the line: a value made from an f32 directly has the digits of an f64.
        let verdict = serde_json::to_string(&classifier.classify(&bytes).unwrap()).unwrap();
        let verdict: Value = serde_json::from_str(&verdict).unwrap();
        for key in ["label", "probability", "probabilities", "unsure"] {
            assert_eq!(line[key], verdict[key]);
        }
        assert!(line["milliseconds"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn predict_goes_on_after_a_bad_photo() {
    let folder = folder();
    fs::write(folder.path().join("photos/bright/bad.jpg"), "").unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe.jpg")).status().unwrap().success());
    let arguments = ["model.safetensors", "nowhere.jpg", "photos/bright", "pipe.jpg", "photos/dark/night.png"];
    let output = husky(folder.path(), &[&["predict"], &arguments[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 4);
    let errors: Vec<&str> = text(&output.stderr).lines().collect();
    let files = ["nowhere.jpg: ", "photos/bright/bad.jpg: ", "pipe.jpg: "];
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors.iter().zip(files).all(|(error, file)| error.starts_with(file)), "{errors:?}");

    let output = husky(folder.path(), &[&["predict", "--json"], &arguments[..]].concat());
    assert_eq!((output.status.code(), text(&output.stderr).lines().count()), (Some(1), 3));
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<Option<&str>> = lines.iter().map(|line| line["code"].as_str()).collect();
    let [unreadable, empty] = [Some("photo-unreadable"), Some("photo-empty")];
    assert_eq!(codes, [unreadable, empty, None, None, None, unreadable, None]);
    assert!(lines[1]["error"].is_string() && lines[1]["file"] == "photos/bright/bad.jpg");
}

#[test]
fn predict_says_that_a_folder_is_empty() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let output = husky(folder.path(), &["predict", "model.safetensors", "empty"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert_eq!(text(&output.stderr), "empty: no file is in this folder\n");
}

#[test]
fn summary_of_classic_is_kerass() {
    let output = husky(Path::new("."), &["summary", "--preset", "classic"]);
    assert!(output.status.success(), "{output:?}");
    let table: Vec<String> = text(&output.stdout)
        .lines()
        .filter(|line| line.starts_with('│'))
        .map(|line| line.split('│').map(str::trim).collect::<Vec<_>>().join("|"))
        .collect();
    // The rows of Keras' model.summary() for the article's network, but for its numbering of names.
    let keras = [
        "|conv2d_1 (Conv2D)|(None, 126, 126, 32)|896|",
        "|max_pooling2d_1 (MaxPooling2D)|(None, 63, 63, 32)|0|",
        "|dropout_1 (Dropout)|(None, 63, 63, 32)|0|",
        "|conv2d_2 (Conv2D)|(None, 61, 61, 64)|18,496|",
        "|max_pooling2d_2 (MaxPooling2D)|(None, 30, 30, 64)|0|",
        "|dropout_2 (Dropout)|(None, 30, 30, 64)|0|",
        "|conv2d_3 (Conv2D)|(None, 28, 28, 128)|73,856|",
        "|max_pooling2d_3 (MaxPooling2D)|(None, 14, 14, 128)|0|",
        "|dropout_3 (Dropout)|(None, 14, 14, 128)|0|",
        "|flatten_1 (Flatten)|(None, 25088)|0|",
        "|dense_1 (Dense)|(None, 128)|3,211,392|",
        "|dense_2 (Dense)|(None, 1)|129|",
    ];
    assert_eq!(table, keras);
    assert!(text(&output.stdout).contains("Total params: 3,304,769 (12.61 MB)"));
}

#[test]
fn summary_of_a_file_shows_what_it_says_about_itself() {
    let folder = folder();
    let output = husky(folder.path(), &["summary", "model.safetensors"]);
    assert!(output.status.success(), "{output:?}");
    let stdout = text(&output.stdout);
    for part in [
        "\"brightness\"",
        "Total params: 49 (",
        "bright, dark",
        "4 x 4 pixels",
        "f32 weights",
        "Temperature  1",
        "0.5",
        "2026-11-22",
        "0123abcd",
        "1,234 bright, 5 dark",
        "6 bright, 7 dark",
    ] {
        assert!(stdout.contains(part), "{part:?} is missing in {stdout}");
    }
}

#[test]
fn summary_needs_one_thing_to_show() {
    let folder = folder();
    for arguments in [&["summary"][..], &["summary", "model.safetensors", "--preset", "classic"]] {
        assert_eq!(husky(folder.path(), arguments).status.code(), Some(2));
    }
    let output = husky(folder.path(), &["summary", "photos/dark/night.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("photos/dark/night.png: "), "{output:?}");
}
