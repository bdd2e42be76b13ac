//! `husky explore` says what is in a folder, and draws some of it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::{self, File};
use std::path::Path;

use common::succeed;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the command in `folder`; what it prints.
fn explore(folder: &Path, arguments: &[&str]) -> String {
    succeed(folder, &[&["explore", "data"], arguments].concat())
}

/// Drawings in `data`: 60 of each label for training, 3 for validation.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    common::draw(&folder.path().join("data/training"), 1, 60);
    common::draw(&folder.path().join("data/validation"), 2, 3);
    folder
}

/// The picture as a JPEG file with these EXIF data, in TIFF's form.
fn jpeg(path: &Path, picture: &RgbImage, exif: Vec<u8>) {
    let mut encoder = JpegEncoder::new(File::create(path).unwrap());
    encoder.set_exif_metadata(exif).unwrap();
    encoder.encode(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8).unwrap();
}

/// A camera, an orientation, and a directory of GPS data with the latitude 1° 2′ 3″ (TIFF 6.0; Exif 2.3, 4.6).
fn exif(camera: &[u8; 4], orientation: u8) -> Vec<u8> {
    let directory: &[&[u8]] = &[
        b"MM\0*\0\0\0\x08\0\x03",
        &[b"\x01\x10\0\x02\0\0\0\x04".as_slice(), camera].concat(),
        &[b"\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], b"\0\0"].concat(),
        // The GPS directory lies after this one, which is 2 + 3 * 12 + 4 bytes long, at 50.
        b"\x88\x25\0\x04\0\0\0\x01\0\0\0\x32",
        b"\0\0\0\0",
        b"\0\x01\0\x02\0\x05\0\0\0\x03\0\0\0\x44\0\0\0\0",
        b"\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\x03\0\0\0\x01",
    ];
    directory.concat()
}

#[test]
fn figures_are_those_of_the_photos() {
    let folder = folder();
    let data = folder.path().join("data");
    jpeg(&data.join("validation/disc/a.jpg"), &RgbImage::from_pixel(200, 100, Rgb([200, 100, 50])), exif(b"One\0", 6));
    jpeg(&data.join("validation/disc/b.jpg"), &RgbImage::from_pixel(50, 100, Rgb([200, 100, 50])), exif(b"Two\0", 1));
    for number in 0..3 {
        fs::remove_file(data.join(format!("validation/disc/disc_{number:04}.png"))).unwrap();
    }
    fs::write(data.join("training/disc/torn.png"), b"no picture").unwrap();
    let report: Value = serde_json::from_str(&explore(folder.path(), &["--json"])).unwrap();
    assert_eq!(report["photos"], 60 + 60 + 2 + 3);
    assert_eq!(report["formats"], json!({"jpg": 2, "png": 123}));
    assert_eq!(report["exif"], json!({"present": 2, "turned": 1, "with_place": 2, "models": {"One": 1, "Two": 1}}));
    assert_eq!(report["broken"].as_array().unwrap().len(), 1);
    assert!(report["broken"][0]["file"].as_str().unwrap().ends_with("training/disc/torn.png"));
    let groups = report["groups"].as_array().unwrap();
    let names: Vec<_> = groups.iter().map(|group| [&group["part"], &group["label"], &group["photos"]]).collect();
    assert_eq!(
        json!(names),
        json!([
            ["training", "disc", 60],
            ["training", "stripes", 60],
            ["validation", "disc", 2],
            ["validation", "stripes", 3]
        ])
    );
    assert_eq!(groups[0]["width"], json!({"smallest": 40, "median": 40, "largest": 40}));
    // The first stands on its side, so that it is as high as it was wide.
    let validation = &groups[2];
    assert_eq!(validation["width"], json!({"smallest": 50, "median": 100, "largest": 100}));
    assert_eq!(validation["aspect"], json!({"smallest": 0.5, "median": 0.5, "largest": 0.5}));
    for (value, expected) in validation["color"].as_array().unwrap().iter().zip([200.0, 100.0, 50.0]) {
        assert!((value.as_f64().unwrap() - expected).abs() < 3.0);
    }
}

#[test]
fn a_seed_is_a_sheet() {
    let folder = folder();
    let sheet = |name: &str, seed: &str| {
        explore(folder.path(), &["--out", name, "--seed", seed]);
        fs::read(folder.path().join(name)).unwrap()
    };
    let first = sheet("a.png", "1");
    assert_eq!(first, sheet("b.png", "1"));
    assert_ne!(first, sheet("c.png", "2"));
    // Eight a row, five rows of photo and caption; each photo lies there as it is, stretched, and no other.
    let sheet = image::load_from_memory(&first).unwrap().into_rgb8();
    assert_eq!(sheet.dimensions(), (8 * (128 + 8) + 8, 5 * (18 + 128 + 8) + 8));
    let shown = |label: usize, number: u64| {
        let picture = common::picture(label, 1, number);
        let pixels = husky::Pixels::from_rgb(picture.width(), picture.height(), picture.into_raw()).unwrap();
        let square = husky::resize::resize(&pixels, 128).into_rgb();
        (0..40).any(|place| {
            let (x, y) = (8 + place % 8 * 136, 8 + 18 + place / 8 * 154);
            image::imageops::crop_imm(&sheet, x, y, 128, 128).to_image().into_raw() == square
        })
    };
    let shown: Vec<usize> = (0..2).map(|label| (0..60).filter(|&number| shown(label, number)).count()).collect();
    assert_eq!(shown, [20, 20]);
}

#[test]
fn a_page_needs_nothing_else() {
    let folder = folder();
    let label = folder.path().join("data/training/<b>");
    fs::create_dir_all(&label).unwrap();
    common::picture(0, 3, 1).save(label.join("a.png")).unwrap();
    explore(folder.path(), &["--html", "page.html"]);
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(!page.contains("<b>") && page.contains("&lt;b&gt;"));
    assert_eq!(page.matches("<svg").count(), 3);
    assert_eq!(page.matches("src=").count(), page.matches("src=\"data:image/png;base64,").count());
    assert!(!page.contains("<script") && !page.contains("href="));
    let text = explore(folder.path(), &[]);
    assert!(text.contains("127 photos") && text.contains("127 png"), "{text}");
}
