//! `husky sign` and `verify`, as a user runs them, and beside OpenSSL.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tiny.safetensors");

fn run(program: &str, folder: &Path, arguments: &str) -> Output {
    Command::new(program).current_dir(folder).args(arguments.split(' ')).output().unwrap()
}

fn husky(folder: &Path, arguments: &str) -> (Option<i32>, String) {
    let output = run(env!("CARGO_BIN_EXE_husky"), folder, arguments);
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn openssl(folder: &Path, arguments: &str) -> Output {
    let output = run("openssl", folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A model, a key that signed it, and another key.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::copy(MODEL, root.join("model")).unwrap();
    for name in ["own", "other"] {
        openssl(root, &format!("genpkey -algorithm ed25519 -out {name}.pem"));
        openssl(root, &format!("pkey -in {name}.pem -pubout -out {name}.pub"));
    }
    assert_eq!(husky(root, "sign model --key own.pem"), (Some(0), "model.sig\n".to_owned()));
    folder
}

#[test]
fn a_signature_is_its_keys_and_its_files() {
    let folder = folder();
    let folder = folder.path();
    let (code, text) = husky(folder, "verify model --key own.pub");
    assert!(code == Some(0) && text.contains("Signature    valid"), "{text}");
    assert!(text.contains("it is tiny.safetensors"), "{text}");
    let (code, text) = husky(folder, "verify model --key other.pub");
    assert!(code == Some(1) && text.contains("not by this key"), "{text}");
    let (code, text) = husky(folder, "verify model");
    assert!(code == Some(0) && text.contains("not checked"), "{text}");
    // Another whole model under the same signature.
    fs::copy(Path::new(MODEL).with_file_name("classic.safetensors"), folder.join("model")).unwrap();
    assert_eq!(husky(folder, "verify model --key own.pub").0, Some(1));
    fs::remove_file(folder.join("model.sig")).unwrap();
    let (code, text) = husky(folder, "verify model --key own.pub");
    assert!(code == Some(1) && text.contains("Signature    none"), "{text}");
}

#[test]
fn openssl_agrees() {
    let folder = folder();
    let folder = folder.path();
    openssl(folder, "pkeyutl -verify -pubin -inkey own.pub -rawin -in model -sigfile model.sig");
    let sum = String::from_utf8(openssl(folder, "dgst -sha256 -r model").stdout).unwrap();
    let (_, json) = husky(folder, "verify model --json --key own.pub");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["sha256"].as_str(), sum.split(' ').next());
    assert_eq!((&report["signature"], &report["shipped"]), (&"valid".into(), &"tiny.safetensors".into()));
    fs::remove_file(folder.join("model.sig")).unwrap();
    openssl(folder, "pkeyutl -sign -inkey own.pem -rawin -in model -out model.sig");
    assert_eq!(husky(folder, "verify model --key own.pub").0, Some(0));
}

#[test]
fn what_is_no_key_or_model_is_named() {
    let folder = folder();
    let folder = folder.path();
    for (arguments, expected) in [
        ("verify model --key own.pem", "own.pem: is no public Ed25519 key"),
        ("sign model --key own.pub", "own.pub: is no secret Ed25519 key"),
        ("sign model --key none.pem", "none.pem: can't be read as text"),
        ("sign own.pem --key own.pem", "own.pem: "),
    ] {
        let (code, text) = husky(folder, arguments);
        assert!(code == Some(1) && text.contains(expected), "{arguments}: {text}");
    }
}
