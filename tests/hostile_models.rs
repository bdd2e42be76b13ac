//! A model file can come from anyone. Each of these is refused, and says why.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::hostile;
use husky::Classifier;

#[test]
fn every_hostile_file_gives_its_own_error() {
    let table = hostile::table();
    assert!(table.len() >= 40);
    let mut seen = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in &table {
        match Classifier::load(&row.bytes) {
            Ok(_) => wrong.push(format!("{}: was accepted", row.name)),
            Err(error) => {
                let (code, message) = (error.code(), error.to_string());
                if code != row.code || !message.contains(row.message) {
                    wrong.push(format!("{}: {code}: {message}", row.name));
                }
                if message.chars().any(char::is_control) || message.chars().count() > 600 {
                    wrong.push(format!("{}: can't be shown: {message:?}", row.name));
                }
                match seen.insert(message, row) {
                    Some(other) if other.message != row.message => {
                        wrong.push(format!("{}: the same sentence as for {}", row.name, other.name));
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

#[test]
fn the_file_that_they_start_from_is_good() {
    assert!(Classifier::load(&hostile::good()).is_ok());
    assert!(Classifier::load(&hostile::good_half()).is_ok());
    assert!(Classifier::load(&hostile::good_bytes()).is_ok());
}

/// Not a byte of a file may be changed or lost without notice.
#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let good = hostile::good();
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[place] ^= 1 << bit;
            if let Ok(classifier) = Classifier::load(&bytes) {
                panic!(
                    "bit {bit} of byte {place}, {:?}, is not noticed: {:?}",
                    bytes[place] as char,
                    classifier.spec()
                );
            }
        }
        assert!(Classifier::load(&good[..place]).is_err(), "cut after {place} bytes");
    }
}
