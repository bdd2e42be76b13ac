//! `husky sign`: a signature beside a model file, which says whose it is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};

use crate::files::{read_text, write_atomically};
use crate::{model_file, output};

/// Sign a model file
///
/// Writes MODEL.sig, the 64 bytes of an Ed25519 signature over the whole file. Keys are OpenSSL's, in PEM:
///   openssl genpkey -algorithm ed25519 -out secret.pem
///   openssl pkey -in secret.pem -pubout -out public.pem
/// Whoever has public.pem can check it, with `husky verify MODEL --key public.pem` or with OpenSSL alone:
///   openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in MODEL -sigfile MODEL.sig
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SignArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The secret key, a PEM file without a password
    #[arg(long, value_name = "PEM")]
    pub key: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// One sentence that names the file that is wrong. A model file that is broken is not signed.
pub fn run(args: &SignArgs) -> Result<ExitCode> {
    let model = model_file::read(&args.model)?;
    husky::weights::read(&model).with_context(|| args.model.display().to_string())?;
    let pem = read_text(&args.key)?;
    let key = SigningKey::from_pkcs8_pem(&pem).map_err(|error| {
        anyhow!("{}: is no secret Ed25519 key in PEM without a password ({error})", args.key.display())
    })?;
    let path = signature_path(&args.model);
    write_atomically(&path, &key.sign(&model).to_bytes())?;
    output::print(&format!("{}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Where a model file's signature lies.
pub fn signature_path(model: &Path) -> PathBuf {
    let mut path = model.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}
