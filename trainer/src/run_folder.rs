//! A run's folder, read again.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::callback::Metrics;
use crate::checkpoint::Epoch;
use crate::config::Config;

/// How a run went, or goes: it may be at work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunFolder {
    /// The folder, as it was named.
    pub run: String,
    /// Its recipe.
    pub config: Config,
    /// The epoch with the smallest validation loss, whose model is kept.
    pub best: Epoch,
    /// The epochs that are done; at least one.
    pub history: Vec<Epoch>,
}

impl RunFolder {
    /// Reads `config.toml` and `metrics.csv`.
    ///
    /// # Errors
    /// One sentence that names the folder or the file: no run is there, none of its epochs is done, or a file is broken.
    pub fn read(folder: &Path) -> Result<Self> {
        let config = folder.join("config.toml");
        ensure!(config.exists(), "{}: no run is there: name a folder that `husky train --out` made", folder.display());
        let config = Config::read(&config)?;
        let metrics = folder.join(Metrics::FILE);
        ensure!(metrics.exists(), "{}: no epoch of this run is done yet", folder.display());
        let file = || metrics.display().to_string();
        let history: Vec<Epoch> = csv::Reader::from_path(&metrics)
            .with_context(file)?
            .deserialize()
            .collect::<Result<_, _>>()
            .with_context(file)?;
        let best = Epoch::best(&history).with_context(|| format!("{}: has no epoch", metrics.display()))?.clone();
        Ok(Self { run: folder.display().to_string(), config, best, history })
    }
}
