//! A run's figures as TensorBoard reads them: `events.out.tfevents` in the run's folder.
//!
//! The file is a row of records (`tensorflow/core/lib/io/record_writer.h`): the length as u64, its masked CRC32C as u32,
//! the bytes, their masked CRC32C, all little-endian. The bytes are a protobuf message, the `Event` of
//! `tensorflow/core/util/event.proto` with the `Summary` of `tensorflow/core/framework/summary.proto`, of which only the
//! fields that are written are here.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

use crate::callback::Callback;
use crate::checkpoint::{Epoch, State};
use crate::files::write_atomically;

/// Writes TensorBoard's events: equal runs write equal bytes, since an event's time is its epoch's number.
pub struct TensorBoard;

impl TensorBoard {
    /// The file's name in the run's folder. TensorBoard knows its files by the word `tfevents`.
    const FILE: &str = "events.out.tfevents";
}

impl Callback for TensorBoard {
    fn on_epoch_end(&mut self, folder: &Path, state: &State) -> Result<ControlFlow<String>> {
        let path = folder.join(Self::FILE);
        let events = events(&state.history);
        // Nothing, where there is no file yet.
        let written = fs::read(&path).unwrap_or_default();
        match events.strip_prefix(&written[..]) {
            // TensorBoard keeps the file open and waits for more at its end: it would not see a new one in its place. Of a
            // record that a kill cut off, the rest follows.
            Some(rest) if !written.is_empty() => {
                let append = || OpenOptions::new().append(true).open(&path)?.write_all(rest);
                append().with_context(|| format!("{}: could not be written", path.display()))?;
            }
            _ => write_atomically(&path, &events)?,
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The whole file.
fn events(history: &[Epoch]) -> Vec<u8> {
    let version = Event { wall_time: 0.0, step: 0, file_version: Some("brain.Event:2".into()), summary: None };
    std::iter::once(version).chain(history.iter().map(event)).flat_map(|event| record(&event.encode_to_vec())).collect()
}

fn event(epoch: &Epoch) -> Event {
    let figures = [
        ("loss/training", Some(epoch.loss)),
        ("loss/validation", Some(epoch.validation_loss)),
        ("accuracy/training", Some(epoch.accuracy)),
        ("accuracy/validation", Some(epoch.validation_accuracy)),
        ("roc_auc/validation", epoch.validation_roc_auc),
    ];
    let value =
        |(tag, figure): (&str, Option<f64>)| Some(Value { tag: tag.into(), simple_value: Some(figure? as f32) });
    Event {
        wall_time: epoch.epoch.into(),
        step: epoch.epoch.into(),
        file_version: None,
        summary: Some(Summary { value: figures.into_iter().filter_map(value).collect() }),
    }
}

fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    [&length, &masked_crc(&length).to_le_bytes()[..], bytes, &masked_crc(bytes).to_le_bytes()].concat()
}

/// CRC32C, masked as `tensorflow/core/lib/hash/crc32c.h` says.
fn masked_crc(bytes: &[u8]) -> u32 {
    let crc = Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
