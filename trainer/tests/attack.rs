//! `husky attack`, and training against it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use common::{fail, husky, succeed};
use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;
use trainer::config::Config;
use trainer::presets::Preset;
use trainer::train::Run;

/// Drawings in `data`, and the model `run/model.safetensors` that learned them, if need be from attacked ones.
fn trained(adversarial: f32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    common::draw(&data.join("training"), 1, 150);
    common::draw(&data.join("validation"), 2, 40);
    let config = Config::new(&data, Preset::Quick).unwrap();
    let config = Config { epochs: 25, steps_per_epoch: 20, learning_rate: 0.004, adversarial, ..config };
    Run::start(&folder.path().join("run"), config).unwrap().train().unwrap();
    folder
}

const ATTACK: [&str; 2] = ["attack", "run/model.safetensors"];

fn report(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(folder, &[&ATTACK[..], arguments, &["--json"]].concat())).unwrap()
}

/// Of all rows of a strength: photos, and those that fooled the model.
fn fooled(report: &Value, strength: u32) -> (u64, u64) {
    let rows = report["rows"].as_array().unwrap().iter().filter(|row| row["strength"] == strength);
    rows.map(|row| (row["photos"].as_u64().unwrap(), row["fooled"].as_u64().unwrap()))
        .fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
}

#[test]
fn who_learns_from_attacked_photos_is_harder_to_fool() {
    let [plain, adversarial] = [trained(0.0), trained(6.0)];
    let pgd = ["data/validation", "--kind", "pgd", "--strength", "1,6", "--count", "40", "--out", "pgd.png"];
    let [plain, adversarial] = [&plain, &adversarial].map(|folder| report(folder.path(), &pgd));
    let [weak, strong] = [1, 6].map(|strength| fooled(&plain, strength));
    assert_eq!((weak.0, strong.0), (40, 40));
    assert!(strong.1 > weak.1 && strong.1 > 10, "{weak:?} {strong:?}");
    let hardened = fooled(&adversarial, 6);
    assert!(2 * hardened.1 < strong.1, "{strong:?} {hardened:?}");
}

#[test]
fn every_kind_gives_its_table_and_its_picture() {
    let folder = trained(0.0);
    let folder = folder.path();
    for kind in ["fgsm", "pgd", "pixels", "scaling", "brute"] {
        let picture = format!("{kind}.png");
        let arguments =
            ["data/validation", "--kind", kind, "--count", "6", "--strength", "4", "--seed", "3", "--out", &picture];
        let photos = usize::from(kind == "brute");
        let first = report(folder, &arguments[photos..]);
        assert_eq!(first, report(folder, &arguments[photos..]), "the same seed, the same outcome");
        let rows = first[if kind == "scaling" { "scaling" } else { "rows" }].as_array().unwrap();
        let tried: u64 = rows.iter().map(|row| row.get("photos").or(row.get("pairs")).unwrap().as_u64().unwrap()).sum();
        // Three resizes.
        assert_eq!(tried, if kind == "scaling" { 18 } else { 6 });
        // Before, after and difference, 32 pixels wide.
        assert_eq!(image::open(folder.join(&picture)).unwrap().width(), 3 * (32 + 8) + 8);
        let text = succeed(folder, &[&ATTACK[..], &arguments[photos..]].concat());
        assert!(text.lines().count() > rows.len());
    }
}

#[test]
fn of_a_photo_that_hides_another_no_answer_is_sure() {
    let folder = trained(0.0);
    let folder = folder.path();
    // Grey, but for one pixel in sixteen: those that a nearest-neighbour resize to 224 by 224 looks at.
    let hides = RgbImage::from_fn(896, 896, |x, y| Rgb([if x % 4 == 2 && y % 4 == 2 { 0 } else { 220 }; 3]));
    hides.save(folder.join("hides.png")).unwrap();
    let photos = ["hides.png", "data/validation/disc/disc_0000.png"];
    let output = husky(folder, &[&["predict", "--json", "run/model.safetensors"][..], &photos].concat());
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("hides.png: hides another picture"));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["hides_another"], &lines[0]["unsure"]), (&true.into(), &true.into()));
    assert_eq!(lines[1]["hides_another"], false);
}

#[test]
fn mistakes_get_one_sentence() {
    let folder = trained(0.0);
    let folder = folder.path();
    for (arguments, expected) in [
        (&["data", "--kind", "fgsm", "--strength", "0"][..], "from 1 to 255"),
        (&["data", "--kind", "scaling", "--strength", "1"], "times as large, from 2"),
        (&["data", "--kind", "pixels", "--strength", "1025"], "from 1 to 1024"),
        (&["run", "--kind", "fgsm"], "no photo that can be read is there"),
    ] {
        // One of them has lines about files, too.
        let output = husky(folder, &[&ATTACK[..], arguments].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let without_photos = husky(folder, &[&ATTACK[..], &["--kind", "fgsm"]].concat());
    assert_eq!(without_photos.status.code(), Some(2));
    let one_label = tempfile::tempdir_in(folder).unwrap();
    common::picture(0, 9, 1).save(one_label.path().join("a.png")).unwrap();
    let scaling = [one_label.path().to_str().unwrap(), "--kind", "scaling"];
    assert!(fail(folder, &[&ATTACK[..], &scaling].concat()).contains("two labels"));
}

/// The page's model and real photos: `HUSKY_PHOTOS=$PWD/DATA/validation cargo test --release -p trainer --test attack -- --ignored
/// --nocapture`. Many minutes.
#[test]
#[ignore = "needs photos of huskies and others in HUSKY_PHOTOS"]
fn no_photo_that_is_hidden_in_another_gets_through() {
    let photos = std::env::var("HUSKY_PHOTOS").expect("HUSKY_PHOTOS names a folder");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/husky.safetensors");
    let arguments = ["attack", model, &photos, "--kind", "scaling", "--count", "200", "--json"];
    let report: Value = serde_json::from_str(&succeed(Path::new("."), &arguments)).unwrap();
    let rows = report["scaling"].as_array().unwrap();
    assert_eq!(rows.len(), 3 * 9);
    let sum = |what: &str| rows.iter().map(|row| row[what].as_u64().unwrap()).sum::<u64>();
    let keys = ["pairs", "hidden", "fooled_careless", "shown", "swayed", "warned", "fooled"];
    let sums = keys.map(sum);
    println!("{keys:?}: {sums:?}");
    let [pairs, hidden, careless, shown, swayed, warned, fooled] = sums;
    assert!(pairs == 5400 && hidden * 10 > pairs * 8 && careless * 10 > hidden * 9);
    assert_eq!((shown, fooled), (0, 0));
    assert!(warned * 100 > hidden * 99 && swayed * 100 < hidden);
    // From a factor of 7 on, nothing at all comes of it.
    let strong = rows.iter().filter(|row| row["factor"].as_u64().unwrap() >= 7);
    assert_eq!(strong.map(|row| row["swayed"].as_u64().unwrap()).sum::<u64>(), 0);
}
