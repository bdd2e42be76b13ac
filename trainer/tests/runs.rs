//! What a run writes about itself and what is made of it: TensorBoard's events, callbacks, `husky compare` and `report`.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{
    fs,
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex},
};

use common::{fail, husky, succeed};
use tempfile::TempDir;
use trainer::{
    callback::Callback,
    checkpoint::{Epoch, State},
    config::Config,
    presets::Preset,
    train::{Ending, Run},
};

const PHOTOS: u64 = 24;

/// Drawings in `data`, of which a quarter is to be split off.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    common::draw(&folder.path().join("data"), 1, PHOTOS);
    folder
}

fn config(folder: &Path, epochs: u32) -> Config {
    let config = Config::new(&folder.join("data"), Preset::Quick).unwrap();
    Config { epochs, steps_per_epoch: 2, validation_fraction: 0.25, learning_rate: 0.004, ..config }
}

fn train(folder: &Path, run: &str, config: Config) {
    assert_eq!(Run::start(&folder.join(run), config).unwrap().train().unwrap(), Ending::Done);
}

fn history(run: &Path) -> Vec<Epoch> {
    csv::Reader::from_path(run.join("metrics.csv")).unwrap().deserialize().collect::<Result<_, _>>().unwrap()
}

/// A reader of the format that shares nothing with the writer.
mod reader {
    /// CRC32C bit by bit: the polynomial of RFC 3720, reflected.
    pub fn crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc: u32, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
        })
    }

    fn masked(bytes: &[u8]) -> u32 {
        let crc = crc32c(bytes);
        crc.rotate_right(15).wrapping_add(0xa282_ead8)
    }

    /// The messages in a file of records, each of whose checksums holds.
    pub fn records(mut file: &[u8]) -> Vec<&[u8]> {
        let mut records = Vec::new();
        while let Some((head, rest)) = file.split_at_checked(12) {
            let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
            assert_eq!(u32::from_le_bytes(head[8..].try_into().unwrap()), masked(&head[..8]));
            let (record, rest) = rest.split_at(length);
            let (crc, rest) = rest.split_at(4);
            assert_eq!(u32::from_le_bytes(crc.try_into().unwrap()), masked(record));
            records.push(record);
            file = rest;
        }
        assert!(file.is_empty());
        records
    }

    /// The fields of a protobuf message: number and bytes; a varint becomes 8 of them.
    pub fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut fields = Vec::new();
        while !message.is_empty() {
            let key = varint(&mut message);
            let value = match key & 7 {
                0 => varint(&mut message).to_le_bytes().to_vec(),
                wire => {
                    let length = match wire {
                        1 => 8,
                        2 => varint(&mut message) as usize,
                        5 => 4,
                        _ => panic!("wire type {wire}"),
                    };
                    let (value, rest) = message.split_at(length);
                    message = rest;
                    value.to_vec()
                }
            };
            fields.push((key >> 3, value));
        }
        fields
    }

    fn varint(message: &mut &[u8]) -> u64 {
        let length = message.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (bytes, rest) = message.split_at(length);
        *message = rest;
        bytes.iter().rev().fold(0, |value, byte| (value << 7) | u64::from(byte & 0x7f))
    }
}

/// The scalars of an event: wall time, step, and tags with values.
fn scalars(record: &[u8]) -> (f64, i64, Vec<(String, f32)>) {
    let (mut time, mut step, mut scalars) = (0.0, 0, Vec::new());
    for (number, value) in reader::fields(record) {
        match number {
            1 => time = f64::from_le_bytes(value.try_into().unwrap()),
            2 => step = i64::from_le_bytes(value.try_into().unwrap()),
            5 => {
                for (number, value) in reader::fields(&value) {
                    assert_eq!(number, 1);
                    let fields = reader::fields(&value);
                    let [(1, tag), (2, value)] = &fields[..] else { panic!("{fields:?}") };
                    let value = f32::from_le_bytes(value[..].try_into().unwrap());
                    scalars.push((String::from_utf8(tag.clone()).unwrap(), value));
                }
            }
            _ => panic!("field {number}"),
        }
    }
    (time, step, scalars)
}

#[test]
fn events_are_the_metrics_in_tensorboards_format() {
    assert_eq!(reader::crc32c(b"123456789"), 0xe306_9283, "the check value of RFC 3720");
    let folder = folder();
    let folder = folder.path();
    train(folder, "whole", config(folder, 3));
    let file = fs::read(folder.join("whole/events.out.tfevents")).unwrap();
    let records = reader::records(&file);
    assert_eq!(reader::fields(records[0]), [(3, b"brain.Event:2".to_vec())]);
    let history = history(&folder.join("whole"));
    assert_eq!((records.len(), history.len()), (4, 3));
    for (record, epoch) in records[1..].iter().zip(&history) {
        let (time, step, scalars) = scalars(record);
        assert_eq!((time, step), (f64::from(epoch.epoch), i64::from(epoch.epoch)), "no clock is in it");
        let expected = [
            ("loss/training", epoch.loss),
            ("loss/validation", epoch.validation_loss),
            ("accuracy/training", epoch.accuracy),
            ("accuracy/validation", epoch.validation_accuracy),
            ("roc_auc/validation", epoch.validation_roc_auc.unwrap()),
        ];
        assert_eq!(scalars, expected.map(|(tag, value)| (tag.to_owned(), value as f32)));
    }
}

#[test]
fn events_grow_at_their_end_and_a_resume_doubles_none() {
    let folder = folder();
    let folder = folder.path();
    train(folder, "whole", config(folder, 2));
    let whole = fs::read(folder.join("whole/events.out.tfevents")).unwrap();
    let run = folder.join("run");
    let path = run.join("events.out.tfevents");
    // As after a kill in the middle of a write, with a whole file, without one, and with one of something else.
    train(folder, "short", config(folder, 1));
    let short = fs::read(folder.join("short/events.out.tfevents")).unwrap();
    let left = [Some(&short[..short.len() - 7]), Some(&short[..]), None, Some(b"something else")];
    for left in left {
        let _ = fs::remove_dir_all(&run);
        train(folder, "run", config(folder, 1));
        match left {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let inode = fs::metadata(&path).map(|file| file.ino()).ok();
        let config = fs::read_to_string(run.join("config.toml")).unwrap();
        fs::write(run.join("config.toml"), config.replace("epochs = 1\n", "epochs = 2\n")).unwrap();
        Run::resume(&run).unwrap().train().unwrap();
        assert!(fs::read(&path).unwrap() == whole);
        // TensorBoard, which has the file open, sees what is new.
        let appended = inode == fs::metadata(&path).map(|file| file.ino()).ok();
        assert_eq!(appended, left.is_some_and(|bytes| short.starts_with(bytes)));
    }
}

/// Takes down which epochs it was called about, and stops after the second.
struct StopsAfterTwo(Arc<Mutex<Vec<u32>>>);

impl Callback for StopsAfterTwo {
    fn on_epoch_end(&mut self, folder: &Path, state: &State) -> anyhow::Result<ControlFlow<String>> {
        let epoch = state.history.last().unwrap().epoch;
        self.0.lock().unwrap().push(epoch);
        // What is there by then is the epoch's.
        assert_eq!(history(folder), state.history);
        assert!(folder.join("checkpoint.safetensors").is_file());
        Ok(if epoch == 2 { ControlFlow::Break("two are enough".into()) } else { ControlFlow::Continue(()) })
    }
}

#[test]
fn a_callback_of_ones_own_ends_a_run_which_can_be_resumed() {
    let folder = folder();
    let folder = folder.path();
    let called = Arc::default();
    let mut run = Run::start(&folder.join("run"), config(folder, 4)).unwrap();
    run.add(StopsAfterTwo(Arc::clone(&called)));
    assert_eq!(run.train().unwrap(), Ending::Done);
    assert_eq!(*called.lock().unwrap(), [1, 2]);
    // With it, there is nothing left to do; without it, the run goes on as if it had never stopped.
    let mut run = Run::resume(&folder.join("run")).unwrap();
    run.add(StopsAfterTwo(Arc::clone(&called)));
    run.train().unwrap();
    assert_eq!(*called.lock().unwrap(), [1, 2, 2]);
    Run::resume(&folder.join("run")).unwrap().train().unwrap();
    train(folder, "whole", config(folder, 4));
    for file in ["checkpoint.safetensors", "metrics.csv", "curves.svg", "events.out.tfevents"] {
        let read = |run: &str| fs::read(folder.join(run).join(file)).unwrap();
        assert!(read("run") == read("whole"), "{file} differs");
    }
}

#[test]
fn runs_are_compared_by_figures_knobs_and_curves() {
    let folder = folder();
    let folder = folder.path();
    train(folder, "one", config(folder, 2));
    train(folder, "two", Config { seed: 2, ..config(folder, 3) });
    let table = succeed(folder, &["compare", "one", "two", "--svg", "curves.svg"]);
    let two = history(&folder.join("two"));
    let best = Epoch::best(&two).unwrap();
    let line: Vec<_> = table.lines().find(|line| line.starts_with("two")).unwrap().split_whitespace().collect();
    let expected = ["two", "3", &best.epoch.to_string(), &format!("{:.4}", best.validation_loss)].map(str::to_owned);
    assert_eq!(line[..4], expected);
    let knobs: Vec<Vec<_>> = table.lines().skip(4).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(knobs, [["knob", "one", "two"], ["epochs", "2", "3"], ["seed", "1", "2"]], "{table}");
    let svg = fs::read_to_string(folder.join("curves.svg")).unwrap();
    // Training and validation of two runs, in two panels.
    assert!(svg.matches("<polyline").count() >= 8 && svg.contains("one\n") && svg.contains("two\n"), "{svg}");
    let json: serde_json::Value = serde_json::from_str(&succeed(folder, &["compare", "one", "two", "--json"])).unwrap();
    assert_eq!(json[1]["run"], "two");
    assert_eq!(json[1]["config"]["seed"], 2);
    assert_eq!(json[1]["history"], serde_json::to_value(&two).unwrap());
    assert_eq!(json[1]["best"]["epoch"], best.epoch);
    assert!(succeed(folder, &["compare", "one", "one"]).contains("all knobs are the same"));
    assert!(fail(folder, &["compare", "one", "data"]).contains("data: no run is there"));
    fs::write(folder.join("two/metrics.csv"), "epoch,loss\n1,x\n").unwrap();
    assert!(fail(folder, &["compare", "one", "two"]).contains("two/metrics.csv"));
    fs::remove_file(folder.join("two/metrics.csv")).unwrap();
    assert!(fail(folder, &["compare", "one", "two"]).contains("two: no epoch of this run is done yet"));
    assert_eq!(husky(folder, &["compare", "one"]).status.code(), Some(2));
}

#[test]
fn a_report_is_one_page_about_the_photos_that_were_set_aside() {
    let folder = folder();
    let folder = folder.path();
    train(folder, "run", config(folder, 2));
    assert_eq!(succeed(folder, &["report", "run"]), "run/report.html\n");
    let page = fs::read_to_string(folder.join("run/report.html")).unwrap();
    // A quarter of each label's photos; the others were learned from.
    assert!(page.contains(&format!("<p>{} photos, 0 files skipped", PHOTOS / 4 * 2)), "{page}");
    for part in ["<h1>run</h1>", "Loss\n", "Confusion matrix", "learning_rate = 0.004"] {
        assert!(page.contains(part), "{part} is missing");
    }
    // After two epochs of two steps it has errors to show.
    assert!(page.contains("The worst of ") && page.contains("src=\"data:image/jpeg;base64,"), "{page}");
    assert_eq!(page.replace("http://www.w3.org/2000/svg", "").matches("://").count(), 0, "it asks for nothing");
    let first = fs::read(folder.join("run/report.html")).unwrap();
    succeed(folder, &["report", "run", "--out", "again.html"]);
    assert!(fs::read(folder.join("again.html")).unwrap() == first);
    common::picture(0, 9, 9).save(folder.join("data/disc/new.png")).unwrap();
    assert!(fail(folder, &["report", "run"]).contains("data: the photos changed since the run began"));
}
