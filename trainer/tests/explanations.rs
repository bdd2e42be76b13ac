//! `husky explain` and `husky activations`, as a user runs them.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{fail, husky};
use husky::spec::{Activation, Architecture, Input, Layer, Padding, Provenance, Resize};
use husky::weights::{self, Precision};
use husky::{Spec, Weights};
use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

const SIZE: usize = 24;

/// A model that is for `bright` by each bright pixel: of its two filters, one is the mean of a window and one always 0.
fn model(unsure: Option<[f32; 2]>) -> Vec<u8> {
    let conv = Layer::Conv2d { filters: 2, kernel: 3, stride: 1, padding: Padding::Same, activation: Activation::Relu };
    let dense = Layer::Dense { units: 1, activation: Activation::Linear };
    let spec = Spec {
        name: "brightness".to_owned(),
        input: Input { size: SIZE as u32, mean: [0.0; 3], scale: [1.0 / 255.0; 3], resize: Resize::StretchTriangle },
        architecture: Architecture(vec![conv, Layer::GlobalAveragePool2d, dense]),
        labels: vec!["bright".to_owned(), "dark".to_owned()],
        temperature: 1.0,
        threshold: 0.5,
        unsure,
        provenance: Provenance::default(),
    };
    let tensors = BTreeMap::from([
        ("conv2d_1.weight".to_owned(), [1.0 / 27.0, 0.0].repeat(27)),
        ("conv2d_1.bias".to_owned(), vec![0.0, -1.0]),
        ("dense_1.weight".to_owned(), vec![40.0, 40.0]),
        ("dense_1.bias".to_owned(), vec![-4.0]),
    ]);
    weights::write(&spec, &Weights::new(&spec, tensors).unwrap(), Precision::F32).unwrap()
}

/// The model, and a dark photo whose lower right quarter is bright.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.safetensors"), model(None)).unwrap();
    let bright = |x: u32, y: u32| if x >= 48 && y >= 48 { 255 } else { 0 };
    RgbImage::from_fn(96, 96, |x, y| Rgb([bright(x, y); 3])).save(folder.path().join("photo.png")).unwrap();
    folder
}

/// The part of all positive values of a map that lies in its lower right quarter.
fn share(map: &Value) -> f64 {
    let rows: Vec<Vec<f64>> = serde_json::from_value(map.clone()).unwrap();
    let positive = |x: usize, y: usize| rows[y][x].max(0.0);
    let sum = |from: usize| -> f64 {
        (from..rows.len()).flat_map(|y| (from..rows.len()).map(move |x| (x, y))).map(|(x, y)| positive(x, y)).sum()
    };
    sum(rows.len() / 2) / sum(0)
}

#[test]
fn explain_points_at_the_object() {
    let folder = folder();
    let folder = folder.path();
    let output = husky(folder, &["explain", "model.safetensors", "photo.png", "--out", "why.png", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([&report["label"], &report["explained"]], ["bright", "bright"]);
    assert!(share(&report["heat"]) > 0.9 && share(&report["occlusion"]) > 0.9, "{report}");

    // The photo, and the two maps over it: colour is where the object is, and nowhere else.
    let picture = image::open(folder.join("why.png")).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (3 * 480 + 2 * 8, 480));
    for panel in [1, 2] {
        let changed = |x: u32, y: u32| picture.get_pixel(x, y) != picture.get_pixel(panel * 488 + x, y);
        assert!(changed(360, 360) && !changed(60, 60), "panel {panel}");
    }

    let text =
        String::from_utf8(husky(folder, &["explain", "model.safetensors", "photo.png", "--out", "why.png"]).stdout);
    assert!(text.unwrap().contains("what speaks for bright"));
    fs::write(folder.join("model.safetensors"), model(Some([0.01, 0.999]))).unwrap();
    // Much larger than the input: decoders may leave out what is not needed.
    let noise = |x: u32, y: u32| Rgb([(x * x / 7 + y * 13) as u8, (x * y / 3) as u8, (y * y / 5) as u8]);
    RgbImage::from_fn(2000, 1500, noise).save(folder.join("large.jpg")).unwrap();
    let probability = |command: &[&str]| -> Value {
        let output = husky(folder, &[command, &["model.safetensors", "large.jpg", "--json"]].concat()).stdout;
        serde_json::from_slice::<Value>(&output).unwrap()["probability"].clone()
    };
    assert_eq!(probability(&["explain", "--out", "large.png"]), probability(&["predict"]));
    let [explain, predict] = [&["explain", "--out", "why.png"][..], &["predict"]]
        .map(|command| husky(folder, &[command, &["model.safetensors", "photo.png"]].concat()).stdout);
    assert!(explain.starts_with(b"unsure") && predict.starts_with(b"unsure"), "as `husky predict` says it");
    let dark = ["explain", "model.safetensors", "photo.png", "--out", "dark.png", "--label", "dark", "--json"];
    let report: Value = serde_json::from_slice(&husky(folder, &dark).stdout).unwrap();
    assert_eq!([&report["label"], &report["explained"]], ["bright", "dark"]);
    assert!(report["heat"][20][20].as_f64().unwrap() < 0.0, "what is bright speaks against dark");
}

#[test]
fn activations_show_each_filter() {
    let folder = folder();
    let folder = folder.path();
    let output = husky(folder, &["activations", "model.safetensors", "photo.png", "--out", "maps.png"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "row    1  conv2d_1             24x24x2");
    let picture = image::open(folder.join("maps.png")).unwrap().into_rgb8();
    let tile = picture.width() / 16;
    let pixel = |map: u32, x: u32, y: u32| picture.get_pixel(map * tile + x, y).0;
    // The first map is the object, the second finds nothing and has one colour.
    assert_ne!(pixel(0, 48, 48), pixel(0, 12, 12));
    assert_eq!(pixel(1, 48, 48), pixel(1, 12, 12));

    husky(folder, &["activations", "model.safetensors", "photo.png", "--out", "one.png", "--maps", "1"]);
    let one = image::open(folder.join("one.png")).unwrap().into_rgb8();
    assert_eq!(one.get_pixel(tile + 48, 48), one.get_pixel(2 * tile + 48, 48), "there is no second map");
}

#[test]
fn mistakes_get_one_sentence() {
    let folder = folder();
    let folder = folder.path();
    let explain = |rest: &[&str]| fail(folder, &[&["explain", "model.safetensors"], rest].concat());
    assert!(explain(&["none.png", "--out", "a.png"]).contains("none.png: can't be read"));
    assert!(
        explain(&["photo.png", "--out", "a.png", "--label", "cat"])
            .contains("--label cat: the model knows bright, dark")
    );
    fs::write(folder.join("no.jpg"), "no photo").unwrap();
    assert!(explain(&["no.jpg", "--out", "a.png"]).contains("no.jpg: this is no picture"));
    let error = fail(folder, &["activations", "model.safetensors", "none.png", "--out", "a.png"]);
    assert!(error.contains("none.png: can't be read"), "{error}");
    let deep = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/husky.safetensors");
    let error = fail(folder, &["activations", deep, "photo.png", "--out", "a.png", "--maps", "80"]);
    assert!(error.contains("--maps 80: makes too high a picture: ask for fewer"), "{error}");
    let error = fail(folder, &["activations", "photo.png", "photo.png", "--out", "a.png"]);
    assert!(error.contains("photo.png: is a photo, not a model"), "{error}");
    assert!(!folder.join("a.png").exists());
}
