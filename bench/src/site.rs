//! What the browser is shown: pages, engines and models, served from this machine.

use std::{fs, net::TcpListener, os::unix::fs::symlink, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use xtask::{
    dist::{self, Build},
    server::Server,
};

use crate::{
    models::{self, Model},
    peers,
};

/// The pages, engines and models, served.
pub struct Site {
    /// The network.
    pub model: Model,
    /// Its files.
    pub files: models::Files,
    /// Where the files are.
    pub folder: PathBuf,
    /// The site.
    pub server: Server,
    /// The same, isolated from other origins.
    pub isolated: Server,
}

impl Site {
    /// Builds and installs what the pages need, and serves it.
    ///
    /// # Errors
    /// Something can't be built or installed.
    pub fn build(model: Model) -> Result<Self> {
        let peers = peers::folder()?;
        let python = peers::install_python("requirements.txt")?;
        let packages = peers::install_javascript()?;
        let files = model.convert(&python, &peers.join("models"))?;
        dist::build(&peers.join("dist"))?;
        let folder = lay_out(&[
            (packages, "peers"),
            (peers.join("dist"), "husky"),
            (compile()?, "candle"),
            (peers.join("models"), "models"),
        ])?;
        let listen = || TcpListener::bind("127.0.0.1:0");
        let server = Server::start(&folder, "/", listen()?)?;
        let isolated = Server::start_isolated(&folder, listen()?)?;
        Ok(Self { model, files, folder, server, isolated })
    }

    /// What the page has to know about the model.
    pub fn facts(&self) -> Value {
        let models::Files { size, mean, scale, temperature, .. } = &self.files;
        let folder = format!("models/{}", self.model.name());
        let file = format!("{folder}/model.safetensors");
        json!({ "folder": folder, "file": file, "size": size, "mean": mean, "scale": scale, "temperature": temperature })
    }
}

/// Builds what of this crate runs in the browser; returns its folder.
///
/// # Errors
/// It can't be built.
pub fn compile() -> Result<PathBuf> {
    let peers = peers::folder()?;
    // Chromium takes the site's build with relaxed SIMD, so kernels and peak are measured with it, too.
    let build = Build { package: "bench", features: &[], relaxed_simd: true, is_small: false };
    // In a target folder of its own: in one, this build and the site's would undo each other, since both hold `husky`.
    let folder = peers.join("candle");
    dist::bind(&build.compile(&peers.join("target"))?, "bench", &folder)?;
    Ok(folder)
}

/// Makes a folder of the benchmark's pages and of `links`, folders under other names; returns it.
///
/// # Errors
/// It can't be made.
pub fn lay_out(links: &[(PathBuf, &str)]) -> Result<PathBuf> {
    let folder = peers::folder()?.join("site");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    for entry in fs::read_dir(peers::sources().join("page"))? {
        let path = entry?.path();
        symlink(&path, folder.join(path.file_name().context("a file has a name")?))?;
    }
    for (from, to) in links {
        symlink(from, folder.join(to))?;
    }
    Ok(folder)
}
