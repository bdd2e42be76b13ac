//! `husky verify`: whether a model file is whole, and whose it is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use ed25519_dalek::pkcs8::DecodePublicKey;
use ed25519_dalek::{Signature, VerifyingKey};
use husky::spec::Provenance;
use husky::weights;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::files::{read_file, read_text};
use crate::sign::signature_path;
use crate::{model_file, output};

/// Say whether a model file is whole, and whose it is
///
/// Prints the file's SHA-256, its own checksum, which the page knows the shipped models by, the hash of the list of its
/// photos, and what becomes of its signature, MODEL.sig. The exit code is 1 where --key is given and the
/// signature is not that key's.
///
/// Example: husky verify models/husky.safetensors --key public.pem
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The public key that the signature has to be of, a PEM file
    #[arg(long, value_name = "PEM")]
    pub key: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    sha256: String,
    blake3: String,
    /// The name of the shipped model that it is.
    shipped: Option<&'static str>,
    signature: SignatureState,
    provenance: &'a Provenance,
}

/// What is known about a signature.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum SignatureState {
    /// There is none.
    Missing,
    /// There is one, and no key to check it with.
    Unchecked,
    /// It is the key's.
    Valid,
    /// It is not the key's, or of another file.
    Invalid,
}

/// Runs the command.
///
/// # Errors
/// One sentence for a model file or key that can't be read or is wrong.
pub fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let model = model_file::read(&args.model)?;
    let file = || args.model.display().to_string();
    let (spec, _) = weights::read(&model).with_context(file)?;
    let blake3 = weights::digest(&model).with_context(file)?;
    let key = args.key.as_deref().map(public_key).transpose()?;
    let signature = state(&signature_path(&args.model), &model, key.as_ref())?;
    let shipped = husky::shipped::SHIPPED.iter().find(|(_, digest)| *digest == blake3).map(|&(name, _)| name);
    let sha256 = hex::encode(Sha256::digest(&model));
    let report = Report { file: file(), sha256, blake3, shipped, signature, provenance: &spec.provenance };
    output::print(&if args.json { serde_json::to_string(&report)? + "\n" } else { report.text() })?;
    let is_refused = key.is_some() && signature != SignatureState::Valid;
    Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn public_key(path: &Path) -> Result<VerifyingKey> {
    VerifyingKey::from_public_key_pem(&read_text(path)?)
        .map_err(|error| anyhow!("{}: is no public Ed25519 key in PEM ({error})", path.display()))
}

fn state(path: &Path, model: &[u8], key: Option<&VerifyingKey>) -> Result<SignatureState> {
    if !path.exists() {
        return Ok(SignatureState::Missing);
    }
    let bytes =
        read_file(path, weights::MAX_FILE, husky::Error::ModelTooLarge).with_context(|| path.display().to_string())?;
    let Some(key) = key else { return Ok(SignatureState::Unchecked) };
    // Strictly: no key of small order passes, for which one signature fits many files.
    let is_valid = Signature::from_slice(&bytes).is_ok_and(|signature| key.verify_strict(model, &signature).is_ok());
    Ok(if is_valid { SignatureState::Valid } else { SignatureState::Invalid })
}

impl Report<'_> {
    fn text(&self) -> String {
        let Self { file, sha256, blake3, shipped, signature, provenance } = self;
        let signature = match signature {
            SignatureState::Missing => "none",
            SignatureState::Unchecked => "not checked: name the public key with --key",
            SignatureState::Valid => "valid",
            SignatureState::Invalid => "not by this key for this file",
        };
        let shipped = shipped.map_or_else(|| "not one of them".to_owned(), |name| format!("it is {name}"));
        let Provenance { version, date, seed, epoch, data, .. } = provenance;
        let date = date.as_deref().unwrap_or("a day that it does not tell");
        format!(
            "{file}: is whole\n\
             SHA-256      {sha256}\n\
             BLAKE3       {blake3} (of structure and weights)\n\
             Shipped      {shipped}\n\
             Signature    {signature}\n\
             Photos       {data} (SHA-256 of their list)\n\
             Made by      husky {version}, seed {seed}, epoch {epoch}, {date}\n"
        )
    }
}
