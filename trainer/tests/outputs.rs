//! What commands write, and where they can't.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};

use common::{fail, husky, small_classic};
use husky::weights::{self, Precision};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// A model, a photo, and a file that is none.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (spec, tensors) = small_classic();
    let model = weights::write(&spec, &tensors, Precision::F32).unwrap();
    fs::write(folder.path().join("model.safetensors"), model).unwrap();
    RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8, y as u8, 9])).save(folder.path().join("photo.png")).unwrap();
    fs::write(folder.path().join("no.jpg"), "no photo").unwrap();
    folder
}

/// Before hours are spent on what goes into it.
#[test]
fn a_file_that_cannot_be_made_is_refused_before_the_work() {
    let folder = folder();
    for arguments in [
        ["evaluate", "model.safetensors", "nowhere", "--html"],
        ["evaluate", "model.safetensors", "nowhere", "--json"],
        ["calibrate", "model.safetensors", "nowhere", "--out"],
        ["explain", "model.safetensors", "nowhere", "--out"],
        ["attack", "model.safetensors", "nowhere", "--out"],
    ] {
        for (path, reason) in [("none/a", "the folder none is not there: make it first"), (".", "is a folder")] {
            let output = husky(folder.path(), &[&arguments[..], &[path]].concat());
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
            assert!(error.contains(path) && error.contains(reason), "{arguments:?}: {error}");
        }
    }
}

#[test]
fn what_is_read_is_not_written_over() {
    let folder = folder();
    let folder = folder.path();
    let read = |file: &str| fs::read(folder.join(file)).unwrap();
    for (file, arguments) in [
        ("photo.png", &["explain", "model.safetensors", "photo.png"][..]),
        ("model.safetensors", &["explain", "model.safetensors", "photo.png"]),
        ("photo.png", &["activations", "model.safetensors", "photo.png"]),
        ("photo.png", &["attack", "model.safetensors", "photo.png", "--kind", "fgsm"]),
        ("model.safetensors", &["quantize", "model.safetensors", "--precision", "int8"]),
        ("model.safetensors", &["export", "model.safetensors", "--format", "keras"]),
        ("model.safetensors", &["import", "model.safetensors", "--labels", "a,b"]),
        ("model.safetensors", &["import", "no.jpg", "--like", "model.safetensors"]),
    ] {
        let before = read(file);
        let error = fail(folder, &[arguments, &["--out", &format!("./{file}")]].concat());
        assert!(error.contains(&format!("./{file}: is what is read, and would be lost")), "{error}");
        assert_eq!(read(file), before);
    }
}

#[test]
fn predict_ends_quietly_when_nobody_reads_on() {
    let folder = folder();
    let mut child = Command::new(env!("CARGO_BIN_EXE_husky"))
        .current_dir(folder.path())
        .args([&["predict", "model.safetensors"][..], &["photo.png"; 1200]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
}

/// A terminal that was closed, a full disk under a log: the answers go on.
#[test]
fn nobody_need_read_standard_error() {
    let folder = folder();
    let predict = |stderr: Stdio| {
        let arguments = ["predict", "model.safetensors", "no.jpg", "photo.png"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_husky"));
        command.current_dir(folder.path()).args(arguments).stderr(stderr).output().unwrap()
    };
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    for stderr in [full.into(), closed.into()] {
        let output = predict(stderr);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("photo.png"), "{output:?}");
    }
}
