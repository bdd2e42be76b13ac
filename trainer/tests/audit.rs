//! `husky audit` finds what was planted.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage};
use rand::RngExt;
use serde_json::Value;
use trainer::random::{Stream, rng};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/husky.safetensors");

/// Runs the command in `folder`; its exit code and its report.
fn audit(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_husky"))
        .current_dir(folder)
        .args(["audit", "data", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

/// What was planted, as the report names it.
struct Planted {
    exact: Vec<BTreeSet<String>>,
    near: Vec<(&'static str, BTreeSet<String>)>,
    flipped: Vec<String>,
}

/// Plants faults among the photos below `data/training`, which has two labels: copies, near-duplicates of four kinds in
/// turn, and one photo in twenty under the other label.
fn plant(data: &Path, copies: usize) -> Planted {
    let photos: Vec<PathBuf> = walkdir::WalkDir::new(data.join("training"))
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .collect();
    let name = |path: &Path| path.strip_prefix(data).unwrap().display().to_string();
    let pair = |photo: &Path, copy: &Path| BTreeSet::from([name(photo), name(copy)]);
    let mut planted = Planted { exact: vec![], near: vec![], flipped: vec![] };
    let mut originals = photos.iter().step_by(photos.len() / (2 * copies));
    for photo in originals.by_ref().take(copies) {
        let copy = photo.with_file_name(format!("exact_{}", photo.file_name().unwrap().display()));
        fs::copy(photo, &copy).unwrap();
        planted.exact.push(pair(photo, &copy));
    }
    for (i, photo) in originals.take(copies).enumerate() {
        let picture = image::open(photo).unwrap().into_rgb8();
        let (width, height) = picture.dimensions();
        let (kind, changed, quality) = match i % 4 {
            0 => ("resized", imageops::resize(&picture, width * 3 / 5, height * 3 / 5, FilterType::Triangle), 90),
            1 => ("recompressed", picture, 40),
            2 => ("mirrored", imageops::flip_horizontal(&picture), 90),
            _ => {
                let (x, y) = (width / 40, height / 40);
                ("cropped", imageops::crop_imm(&picture, x, y, width - 2 * x, height - 2 * y).to_image(), 90)
            }
        };
        let copy = photo.with_file_name(format!("near_{}.jpg", photo.file_stem().unwrap().display()));
        let mut encoder = JpegEncoder::new_with_quality(File::create(&copy).unwrap(), quality);
        encoder.encode_image(&DynamicImage::from(changed)).unwrap();
        planted.near.push((kind, pair(photo, &copy)));
    }
    // Of those that have no copy, which would be one shot under two labels.
    let copied: BTreeSet<&String> =
        planted.exact.iter().chain(planted.near.iter().map(|(_, pair)| pair)).flatten().collect();
    let alone = photos.iter().filter(|photo| !copied.contains(&name(photo)));
    let labels: Vec<PathBuf> =
        fs::read_dir(data.join("training")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for photo in alone.step_by(15).take(photos.len() / 20) {
        let other = labels.iter().find(|label| !photo.starts_with(label)).unwrap();
        let moved = other.join(format!("flipped_{}", photo.file_name().unwrap().display()));
        fs::rename(photo, &moved).unwrap();
        planted.flipped.push(name(&moved));
    }
    planted
}

/// How many of each were found: equal files, near-duplicates, labels in the first tenth of the list; and the
/// near-duplicates that were missed.
fn found(report: &Value, planted: &Planted) -> ([usize; 3], Vec<&'static str>) {
    let names = |names: &Value| -> BTreeSet<String> {
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let exact: Vec<_> = report["exact"].as_array().unwrap().iter().map(names).collect();
    let near: Vec<_> = report["near"].as_array().unwrap().iter().map(|pair| names(&pair["photos"])).collect();
    let suspects: Vec<_> =
        report["suspects"].as_array().unwrap().iter().map(|suspect| suspect["photo"].as_str().unwrap()).collect();
    assert_eq!(suspects.len() as u64, report["photos"].as_u64().unwrap().div_ceil(10));
    let missed =
        planted.near.iter().filter(|(_, pair)| !near.contains(pair)).map(|(kind, _)| *kind).collect::<Vec<_>>();
    let counts = [
        planted.exact.iter().filter(|pair| exact.iter().any(|group| group.is_superset(pair))).count(),
        planted.near.len() - missed.len(),
        planted.flipped.iter().filter(|photo| suspects.contains(&&photo[..])).count(),
    ];
    (counts, missed)
}

/// A disc or stripes before soft clouds of colour.
fn scene(label: usize, number: u64) -> RgbImage {
    let mut rng = rng(1, Stream::Initialization, 77 + label as u64, number);
    let mut random = |low: f32, high: f32| rng.random_range(low..high);
    let clouds: Vec<[f32; 6]> = (0..6)
        .map(|_| {
            [
                random(-9.0, 9.0),
                random(-9.0, 9.0),
                random(0.0, 6.0),
                random(10.0, 40.0),
                random(10.0, 40.0),
                random(10.0, 40.0),
            ]
        })
        .collect();
    let [x0, y0, radius, angle] = [random(0.3, 0.7), random(0.3, 0.7), random(0.15, 0.25), random(0.0, 3.0)];
    let ink = [random(0.0, 255.0), random(0.0, 255.0), random(0.0, 255.0)];
    RgbImage::from_fn(160, 120, |x, y| {
        let (x, y) = (x as f32 / 160.0, y as f32 / 120.0);
        let inside = match label {
            0 => (x - x0).hypot(y - y0) < radius,
            _ => ((x * angle.cos() + y * angle.sin()) * 40.0).sin() > 0.0,
        };
        let cloud = |channel: usize| {
            128.0 + clouds.iter().map(|c| (c[0] * x + c[1] * y + c[2]).sin() * c[3 + channel]).sum::<f32>()
        };
        Rgb([0, 1, 2].map(|channel| if inside { ink[channel] } else { cloud(channel) } as u8))
    })
}

#[test]
fn planted_faults_are_found_and_moved() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (label, name) in common::LABELS.into_iter().enumerate() {
        for part in ["training", "validation"] {
            fs::create_dir_all(data.join(part).join(name)).unwrap();
        }
        (0..80).for_each(|i| scene(label, i).save(data.join(format!("training/{name}/{i:03}.png"))).unwrap());
        (80..90).for_each(|i| scene(label, i).save(data.join(format!("validation/{name}/{i:03}.png"))).unwrap());
    }
    let (code, report) = audit(folder.path(), &[]);
    assert_eq!((code, &report["quarantine"]), (0, &Value::Array(vec![])), "{report}");
    assert_eq!(report["suspects"], Value::Null, "without a model no label is judged");
    assert_eq!(report["near"].as_array().unwrap().len(), 0, "{}", report["near"]);
    assert_eq!(report["patches"].as_array().unwrap().len(), 0, "{}", report["patches"]);

    let planted = plant(&data, 8);
    let [first, second] = common::LABELS.map(|name| data.join("training").join(name));
    fs::write(first.join("broken.jpg"), "no photo").unwrap();
    // One shot in both parts, and one under two labels.
    scene(0, 85).save(first.join("leak.bmp")).unwrap();
    imageops::flip_horizontal(&scene(1, 2)).save(first.join("wrong.png")).unwrap();
    let (code, report) = audit(folder.path(), &["--model", MODEL, "--html", "audit.html"]);
    assert_eq!(code, 1);
    let (found, missed) = found(&report, &planted);
    assert_eq!(found[..2], [8, 8], "{missed:?}");
    assert!(found[2] * 10 >= planted.flipped.len() * 6, "{} of {} labels", found[2], planted.flipped.len());
    let problem = |name: &str| {
        let pairs = report["near"].as_array().unwrap();
        let pair = pairs.iter().find(|pair| pair["photos"].to_string().contains(name));
        pair.unwrap_or_else(|| panic!("{name}"))["problem"].as_str().unwrap().to_owned()
    };
    assert_eq!([problem("leak.bmp"), problem("wrong.png")], ["both-parts", "two-labels"]);
    let page = fs::read_to_string(folder.path().join("audit.html")).unwrap();
    assert!(page.contains("One shot under two labels") && page.contains("data:image/jpeg;base64,"));

    symlink("079.png", first.join("zz-link.png")).unwrap();
    symlink("079.png", first.join("000-link.png")).unwrap();
    symlink("gone.png", first.join("zz-nowhere.png")).unwrap();

    // Eight copies, the broken file, the leak's training photo, both of the shot under two labels, and the links.
    let (code, report) = audit(folder.path(), &["--fix"]);
    assert_eq!((code, report["quarantine"].as_array().unwrap().len()), (0, 8 + 1 + 1 + 2 + 3), "{report}");
    let quarantine = folder.path().join("quarantine/training");
    let moved = |label: &Path, name: &str| quarantine.join(label.file_name().unwrap()).join(name).exists();
    assert!(moved(&first, "broken.jpg") && moved(&first, "leak.bmp") && moved(&first, "wrong.png"));
    assert!(data.join("validation").join(common::LABELS[0]).join("085.png").exists());
    assert!(second.exists() && !first.join("wrong.png").exists());
    // A link goes, and the photo that it led to stays.
    let link = |name: &str| quarantine.join(common::LABELS[0]).join(name).is_symlink();
    assert!(link("zz-link.png") && link("000-link.png") && link("zz-nowhere.png") && first.join("079.png").exists());
    assert_eq!(audit(folder.path(), &[]).0, 0);
}

#[test]
fn a_mark_that_a_labels_photos_share_is_found_and_so_is_a_shortcut() {
    let folder = tempfile::tempdir().unwrap();
    for (label, name) in common::LABELS.into_iter().enumerate() {
        let photos = folder.path().join("data").join(name);
        fs::create_dir_all(&photos).unwrap();
        for i in 0..60 {
            let mut scene = scene(label, i);
            // A chequered sticker in a tenth of the photos of one label.
            if label == 1 && i % 10 == 0 {
                for (x, y) in (0..144).map(|i| (140 + i % 12, 100 + i / 12)) {
                    scene.put_pixel(x, y, Rgb(if (x / 6 + y / 6) % 2 == 0 { [255, 255, 0] } else { [0, 0, 0] }));
                }
            }
            // One label in larger pictures.
            let side = 160 * (1 + label as u32);
            imageops::resize(&scene, side, side * 3 / 4, FilterType::Triangle)
                .save(photos.join(format!("{i}.png")))
                .unwrap();
        }
    }
    let (code, report) = audit(folder.path(), &[]);
    assert_eq!(code, 0, "both are for people to judge");
    let patches = report["patches"].as_array().unwrap();
    assert_eq!((patches.len(), &patches[0]["label"], &patches[0]["count"]), (1, &common::LABELS[1].into(), &6.into()));
    let shortcuts = report["shortcuts"].as_array().unwrap();
    let pixels = shortcuts.iter().find(|shortcut| shortcut["property"] == "pixels").unwrap();
    assert_eq!(pixels["roc_auc"].as_f64(), Some(1.0));
}

/// Puts the left upper part of each picture into the first folder and the right lower one, a little darker, into the second:
/// two shots of one scene, which share less than two thirds.
fn plant_scene(picture: &RgbImage, name: &str, folders: [&Path; 2]) {
    let (width, height) = picture.dimensions();
    let (w, h) = (width * 3 / 4, height * 4 / 5);
    imageops::crop_imm(picture, 0, 0, w, h).to_image().save(folders[0].join(name)).unwrap();
    let mut other = imageops::crop_imm(picture, width - w, height - h, w, h).to_image();
    other.pixels_mut().for_each(|pixel| pixel.0 = pixel.0.map(|value| (f32::from(value) * 0.85) as u8));
    other.save(folders[1].join(name)).unwrap();
}

/// The names of the photos that two parts share a scene of.
fn scenes(report: &Value) -> Vec<[String; 2]> {
    let pairs = report["near"].as_array().unwrap().iter().filter(|pair| pair["problem"] == "same-scene");
    pairs.map(|pair| [0, 1].map(|i| pair["photos"][i].as_str().unwrap().to_owned())).collect()
}

#[test]
fn one_scene_in_both_parts_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (label, name) in common::LABELS.into_iter().enumerate() {
        let folders = ["training", "validation"].map(|part| data.join(part).join(name));
        for (part, numbers) in folders.iter().zip([0..40, 40..50]) {
            fs::create_dir_all(part).unwrap();
            numbers.for_each(|i| scene(label, i).save(part.join(format!("{i:03}.png"))).unwrap());
        }
        if label == 0 {
            plant_scene(&scene(0, 100), "leak.png", [&folders[0], &folders[1]]);
        }
    }
    let (code, report) = audit(folder.path(), &["--model", MODEL]);
    assert_eq!(code, 0, "it is for people to judge");
    // Drawings of one kind are much alike to a network of photos; these are the most alike.
    let leak = ["training", "validation"].map(|part| format!("{part}/{}/leak.png", common::LABELS[0]));
    assert_eq!(scenes(&report)[0], leak);
    fs::remove_file(data.join(&leak[0])).unwrap();
    let (_, report) = audit(folder.path(), &["--model", MODEL]);
    assert_ne!(scenes(&report).first().map(|pair| &pair[1]), Some(&leak[1]));
}

/// On real photos: `HUSKY_PHOTOS=$PWD/DATA cargo test --release -p trainer --test audit -- --ignored --nocapture scene`.
#[test]
#[ignore = "needs a data set in HUSKY_PHOTOS"]
fn scenes_in_both_parts_of_real_photos_are_named() {
    let source = PathBuf::from(std::env::var("HUSKY_PHOTOS").expect("HUSKY_PHOTOS names a data set"));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for file in trainer::photos::find(&source).0 {
        let target = data.join(file.strip_prefix(&source).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
    let model = Path::new(MODEL).with_file_name("husky.safetensors");
    let named = || scenes(&audit(folder.path(), &["--model", model.to_str().unwrap()]).1);
    let before = named().len();
    let photos = trainer::photos::find(&source.join("validation")).0;
    for (i, photo) in photos.iter().step_by(photos.len() / 100).take(100).enumerate() {
        let label = photo.parent().unwrap().file_name().unwrap();
        let folders = ["training", "validation"].map(|part| data.join(part).join(label));
        let planted = format!("scene_{i:03}.png");
        plant_scene(&image::open(photo).unwrap().into_rgb8(), &planted, [&folders[0], &folders[1]]);
    }
    let is_planted =
        |[a, b]: &&[String; 2]| a.contains("scene_") && Path::new(a).file_name() == Path::new(b).file_name();
    let found = named().iter().filter(is_planted).count();
    println!("{found} of 100 scenes; {before} of {} validation photos before anything was planted", photos.len());
    assert!(found >= 60 && before * 7 <= photos.len());
}

/// The same on real photos. `HUSKY_PHOTOS=$PWD/DATA cargo test --release -p trainer --test audit -- --ignored --nocapture` copies
/// 1,000 of DATA/training.
#[test]
#[ignore = "needs a data set in HUSKY_PHOTOS"]
fn planted_faults_are_found_among_real_photos() {
    let source = PathBuf::from(std::env::var("HUSKY_PHOTOS").expect("HUSKY_PHOTOS names a data set"));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for entry in fs::read_dir(source.join("training")).unwrap() {
        let label = entry.unwrap().path();
        let target = data.join("training").join(label.file_name().unwrap());
        fs::create_dir_all(&target).unwrap();
        let mut photos: Vec<_> = fs::read_dir(&label).unwrap().map(|entry| entry.unwrap().path()).collect();
        photos.sort();
        for photo in photos.iter().step_by((photos.len() / 500).max(1)).take(600) {
            fs::copy(photo, target.join(photo.file_name().unwrap())).unwrap();
        }
    }
    let (_, before) = audit(folder.path(), &[]);
    let planted = plant(&data, 50);
    let model = Path::new(MODEL).with_file_name("husky.safetensors");
    let (_, report) = audit(folder.path(), &["--model", model.to_str().unwrap()]);
    let (found, missed) = found(&report, &planted);
    let pairs = |report: &Value| report["near"].as_array().unwrap().len();
    println!(
        "{} photos: {} of 50 equal files, {} of 50 near-duplicates (missed: {missed:?}), {} of {} labels in the first tenth; \
         {} pairs before anything was planted, {} after",
        before["photos"],
        found[0],
        found[1],
        found[2],
        planted.flipped.len(),
        pairs(&before),
        pairs(&report)
    );
    assert!(found[0] == 50 && found[1] >= 48 && found[2] * 10 >= planted.flipped.len() * 6);
}
