//! The models that are measured, in every engine's format.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use xtask::process::{read, root};

use crate::{lite0, peers};

/// A network to measure.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Model {
    /// The article's, with the weights that ship.
    Classic,
    /// EfficientNet-Lite0 at 224 pixels, with random weights.
    Lite0,
}

/// A model's files for all engines, and what it takes to feed them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Files {
    /// Where they are: `model.safetensors`, `model.onnx`, `tfjs.json`, `tfjs.bin`.
    #[serde(default)]
    pub folder: PathBuf,
    /// Width and height of the input.
    pub size: u32,
    /// Subtracted from each pixel.
    pub mean: [f32; 3],
    /// What the difference is multiplied with.
    pub scale: [f32; 3],
    /// What the logit is divided by.
    pub temperature: f32,
    /// Multiplications of direct convolution for one picture.
    pub multiplications: f64,
}

impl Model {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Lite0 => "lite0",
        }
    }

    /// The model file, in half precision.
    fn bytes(self) -> Result<Vec<u8>> {
        match self {
            Self::Classic => {
                let path = root().join("models/classic.safetensors");
                fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
            }
            Self::Lite0 => lite0::model(224),
        }
    }

    /// Writes the model's files for all engines into a folder below `folder`.
    ///
    /// # Errors
    /// Python or the conversion fails.
    pub fn convert(self, python: &Path, folder: &Path) -> Result<Files> {
        let folder = folder.join(self.name());
        fs::create_dir_all(&folder)?;
        let path = folder.join("model.safetensors");
        fs::write(&path, self.bytes()?)?;
        let script = peers::sources().join("python/models.py");
        let facts = read(Command::new(python).arg(script).arg(path).arg(&folder))?;
        Ok(Files { folder, ..serde_json::from_str(&facts)? })
    }
}
