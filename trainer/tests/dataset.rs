//! Folders as people have them: nested, incomplete, broken, hostile.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use trainer::dataset::{Dataset, Options};

const SIZE: u32 = 24;

fn options() -> Options {
    Options { seed: 1, validation_fraction: 0.2, positive: None, detail: None }
}

/// Ten training and four validation pictures of each label.
fn given_parts() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    common::draw(&folder.path().join("training"), 1, 10);
    common::draw(&folder.path().join("validation"), 2, 4);
    folder
}

fn open(folder: &Path) -> Dataset {
    Dataset::open(folder, SIZE, &options()).unwrap()
}

fn error(folder: &Path) -> String {
    format!("{:#}", Dataset::open(folder, SIZE, &options()).unwrap_err())
}

fn assert_mentions(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in {error:?}");
    }
}

fn copy(folder: &Path, from: &str, to: &str) {
    fs::create_dir_all(folder.join(to).parent().unwrap()).unwrap();
    fs::copy(folder.join(from), folder.join(to)).unwrap();
}

#[test]
fn photos_are_read_once_in_order_with_their_pixels() {
    let folder = given_parts();
    let data = open(folder.path());
    assert_eq!(data.labels, ["disc", "stripes"]);
    assert_eq!((data.training.counts(), data.validation.counts()), (vec![10, 10], vec![4, 4]));
    assert_eq!((data.training.len(), data.validation.len()), (20, 8));
    let paths: Vec<&str> = data.training.photos().iter().map(|photo| &photo.path[..]).collect();
    assert!(paths.is_sorted());
    assert_eq!(paths[13], "training/stripes/stripes_0003.png");
    assert_eq!(data.training.label(13), 1);
    for index in 0..20 {
        let photo = &data.training.photos()[index];
        let bytes = fs::read(folder.path().join(&photo.path)).unwrap();
        let expected = husky::resize::resize(&husky::decode::decode(&bytes, SIZE).unwrap(), SIZE);
        let mut rgb = vec![0; expected.rgb().len()];
        data.training.read(index, &mut rgb).unwrap();
        assert_eq!(rgb, expected.rgb());
    }
}

#[test]
fn any_number_of_threads_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    common::draw(folder.path(), 1, 20);
    fs::write(folder.path().join("disc/a.png"), "no picture").unwrap();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let data = pool.install(|| open(folder.path()));
        (data.training.photos().to_vec(), data.validation.photos().to_vec(), data.manifest_sha256(), data.skipped)
    };
    assert_eq!(with(1), with(4));
}

#[test]
fn the_manifest_tells_data_apart() {
    let folder = given_parts();
    let before = open(folder.path()).manifest_sha256();
    assert_eq!(before.len(), 64);
    assert_eq!(before, open(folder.path()).manifest_sha256());
    copy(folder.path(), "training/disc/disc_0000.png", "training/disc/renamed.png");
    assert_ne!(before, open(folder.path()).manifest_sha256());
}

#[test]
fn photos_may_lie_deep_and_extensions_lie() {
    let folder = given_parts();
    let deep = folder.path().join("training/disc/2020/summer.jpg");
    fs::create_dir_all(&deep).unwrap();
    common::picture(0, 9, 0).save_with_format(deep.join("really a.txt"), image::ImageFormat::Bmp).unwrap();
    let data = open(folder.path());
    assert_eq!(data.skipped, []);
    assert_eq!(data.training.photos()[0].path, "training/disc/2020/summer.jpg/really a.txt");
}

#[test]
fn hidden_files_and_papers_beside_the_labels_are_no_photos() {
    let folder = given_parts();
    for file in
        ["README.md", "training/labels.csv", "training/.DS_Store", "training/disc/._a.jpg", "training/disc/.b/c"]
    {
        fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
        fs::write(folder.path().join(file), "x").unwrap();
    }
    fs::create_dir(folder.path().join("training/.thumbnails")).unwrap();
    assert_eq!(open(folder.path()).skipped, []);
}

/// Everything that can't be used is a row, in order of the paths, and nothing hangs: the pipe would, if it was opened.
#[test]
fn bad_files_are_skipped_with_a_reason() {
    let folder = given_parts();
    let disc = folder.path().join("training/disc");
    let good = fs::read(disc.join("disc_0000.png")).unwrap();
    fs::write(disc.join("x1.jpg"), "").unwrap();
    fs::write(disc.join("x2.png"), &good[..good.len() / 2]).unwrap();
    fs::write(disc.join("x3.jpg"), "This is no picture.").unwrap();
    assert!(Command::new("mkfifo").arg(disc.join("x4.jpg")).status().unwrap().success());
    symlink("nowhere", disc.join("x5.jpg")).unwrap();
    symlink(&disc, disc.join("x6")).unwrap();
    symlink("/dev/zero", disc.join("x7.jpg")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(disc.join("x8.jpg")).unwrap();
    fs::File::create(disc.join("x9.jpg")).unwrap().set_len(1 << 40).unwrap();
    fs::copy(disc.join("disc_0001.png"), folder.path().join("training/stray.png")).unwrap();

    let data = open(folder.path());
    assert_eq!(data.training.counts(), [10, 10]);
    let reasons = [
        ("training/disc/x1.jpg", "empty"),
        ("training/disc/x2.png", ""),
        ("training/disc/x3.jpg", ""),
        ("training/disc/x4.jpg", "pipe"),
        ("training/disc/x5.jpg", "No such file"),
        ("training/disc/x6", "link back to"),
        ("training/disc/x7.jpg", "device"),
        ("training/disc/x8.jpg", "socket"),
        ("training/disc/x9.jpg", "MiB"),
        ("training/stray.png", "beside the label folders"),
    ];
    assert_eq!(data.skipped.len(), reasons.len(), "{:?}", data.skipped);
    for (skipped, (file, reason)) in data.skipped.iter().zip(reasons) {
        assert_eq!(PathBuf::from(&skipped.file), folder.path().join(file));
        assert!(skipped.reason.contains(reason), "{skipped:?} lacks {reason:?}");
    }
}

#[test]
fn the_positive_label_comes_first() {
    let folder = given_parts();
    let with = |positive: &str| {
        Dataset::open(folder.path(), SIZE, &Options { positive: Some(positive.to_owned()), ..options() })
    };
    let data = with("stripes").unwrap();
    assert_eq!(data.labels, ["stripes", "disc"]);
    let first = &data.training.photos()[0];
    assert_eq!((&first.path[..], first.label), ("training/disc/disc_0000.png", 1));
    let error = with("circle").unwrap_err().to_string();
    assert_mentions(&error, &["circle", "disc", "stripes"]);
}

#[test]
fn a_data_set_that_can_teach_nothing_is_refused() {
    let folder = given_parts();
    let root = folder.path();
    assert_mentions(&error(&root.join("nowhere")), &["nowhere", "No such file"]);
    assert_mentions(&error(&root.join("training/disc")), &["training/disc", "name the folder above"]);

    fs::create_dir(root.join("validation/ring")).unwrap();
    assert_mentions(&error(root), &["validation/ring", "\"ring\" is no label", "rename"]);
    fs::remove_dir(root.join("validation/ring")).unwrap();

    fs::create_dir(root.join("training/ring")).unwrap();
    fs::write(root.join("training/ring/a.jpg"), "").unwrap();
    assert_mentions(&error(root), &["training/ring", "no photo", "1 files were skipped"]);
    fs::write(root.join("training/ring/a.jpg"), fs::read(root.join("training/disc/disc_0000.png")).unwrap()).unwrap();
    fs::remove_file(root.join("training/disc/disc_0000.png")).unwrap();
    assert_mentions(&error(root), &["validation/ring", "no photo"]);
    fs::remove_dir_all(root.join("training/ring")).unwrap();

    fs::rename(root.join("training/stripes"), root.join("aside")).unwrap();
    assert_mentions(&error(root), &["\"disc\" is the only label"]);
    fs::remove_dir_all(root.join("training")).unwrap();
    assert_mentions(&error(root), &["`validation` but none called `training`"]);
}

#[test]
fn a_photo_on_both_sides_is_refused() {
    let folder = given_parts();
    copy(folder.path(), "training/disc/disc_0003.png", "validation/disc/other name.png");
    copy(folder.path(), "training/disc/disc_0004.png", "validation/disc/z.png");
    let error = error(folder.path());
    assert_mentions(&error, &["training/disc/disc_0003.png", "validation/disc/other name.png", "delete", "1 more"]);
}

#[test]
fn a_photo_saved_again_is_the_same_photo() {
    let folder = given_parts();
    let again = folder.path().join("validation/disc/again.bmp");
    image::open(folder.path().join("training/disc/disc_0003.png")).unwrap().save(&again).unwrap();
    assert_mentions(&error(folder.path()), &["training/disc/disc_0003.png", "validation/disc/again.bmp", "same photo"]);
}

#[test]
fn a_photo_under_two_labels_is_refused() {
    let folder = given_parts();
    copy(folder.path(), "training/disc/disc_0003.png", "training/stripes/x.png");
    assert_mentions(&error(folder.path()), &["disc_0003.png", "stripes/x.png", "once as \"disc\"", "delete"]);
}

#[test]
fn the_same_photo_twice_in_one_place_does_no_harm() {
    let folder = given_parts();
    copy(folder.path(), "training/disc/disc_0003.png", "training/disc/x.png");
    assert_eq!(open(folder.path()).training.counts(), [11, 10]);
}

#[test]
fn a_split_is_stratified_and_follows_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    common::draw(&folder.path().join("training"), 1, 40);
    (20..40).for_each(|i| fs::remove_file(folder.path().join(format!("training/disc/disc_{i:04}.png"))).unwrap());
    let with = |seed| Dataset::open(folder.path(), SIZE, &Options { seed, ..options() }).unwrap();
    let paths = |data: &Dataset| data.validation.photos().iter().map(|p| p.path.clone()).collect::<Vec<_>>();
    let data = with(1);
    assert_eq!((data.training.counts(), data.validation.counts()), (vec![16, 32], vec![4, 8]));
    assert!(data.training.photos().iter().all(|photo| !paths(&data).contains(&photo.path)));
    assert_eq!(paths(&data), paths(&with(1)));
    assert_ne!(paths(&data), paths(&with(2)));
}

#[test]
fn a_split_is_the_same_for_every_size_of_input() {
    let folder = tempfile::tempdir().unwrap();
    common::draw(folder.path(), 1, 40);
    let validation = |size| Dataset::open(folder.path(), size, &options()).unwrap().validation.photos().to_vec();
    // So small that the drawings of a label look alike.
    assert_eq!(
        validation(2).iter().map(|p| &p.path).collect::<Vec<_>>(),
        validation(SIZE).iter().map(|p| &p.path).collect::<Vec<_>>()
    );
}

#[test]
fn near_duplicates_stay_on_one_side() {
    let folder = tempfile::tempdir().unwrap();
    common::draw(folder.path(), 1, 12);
    for (label, name) in common::LABELS.into_iter().enumerate() {
        for number in 0..12 {
            // The same drawing, smaller and as a JPEG.
            let picture = image::DynamicImage::from(common::picture(label, 1, number));
            let smaller = picture.resize_exact(36, 27, image::imageops::FilterType::Triangle);
            smaller.save(folder.path().join(format!("{name}/{name}_{number:04}_small.jpg"))).unwrap();
        }
    }
    for seed in 0..5 {
        let data = Dataset::open(folder.path(), SIZE, &Options { seed, ..options() }).unwrap();
        let mut sides = std::collections::HashMap::new();
        for (side, split) in [&data.training, &data.validation].into_iter().enumerate() {
            for photo in split.photos() {
                let drawing = photo.path.trim_end_matches(".png").trim_end_matches("_small.jpg").to_owned();
                assert_eq!(*sides.entry(drawing).or_insert(side), side, "{}", photo.path);
            }
        }
        assert!(data.validation.counts().iter().all(|&n| (2..=6).contains(&n)), "{:?}", data.validation.counts());
    }
}

#[test]
fn too_few_photos_to_split_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    common::draw(folder.path(), 1, 1);
    assert_mentions(&error(folder.path()), &["\"disc\"", "1 photos", "too few"]);
}
