//! Every knob of a training run: a flag of `husky train` and a line of the run's `config.toml`, which alone repeats the run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::augment::Augmentation;
use crate::optimizer::{Algorithm, Settings};
use crate::presets::Preset;

/// The article's recipe, where nothing else is said.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
// Spelled out, since clap leaves the group of a struct with a flattened field empty; a test holds it complete.
#[group(id = "recipe", multiple = true, args = [
    "data", "preset", "seed", "positive", "validation_fraction", "batch_size", "steps_per_epoch", "epochs",
    "desired_accuracy", "patience", "optimizer", "learning_rate", "momentum", "date", "rotation_range", "shear_range",
    "zoom_range", "horizontal_flip",
])]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder with training/LABEL/… and validation/LABEL/… (or LABEL/… alone, which is split)
    pub data: PathBuf,
    /// The network
    #[arg(long, value_enum, default_value = "classic")]
    pub preset: Preset,
    /// Where all randomness comes from: on one kind of machine, the same seed, data and version give the same model file
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The label that is looked for, where there are two [default: the first in the alphabet]
    #[arg(long, value_name = "LABEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
    /// Share of each label's photos that is set aside to judge epochs by, where DATA has no validation folder
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    pub validation_fraction: f64,
    /// Photos in a step
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub batch_size: usize,
    /// Steps in an epoch
    #[arg(long, default_value_t = 80, value_name = "N")]
    pub steps_per_epoch: u32,
    /// Epochs at most
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub epochs: u32,
    /// Stop when the accuracy of an epoch's training photos passes this; 1 never stops
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    pub desired_accuracy: f64,
    /// Stop after so many epochs without a smaller validation loss
    #[arg(long, default_value_t = 20, value_name = "EPOCHS")]
    pub patience: u32,
    /// The rule that turns gradients into steps
    #[arg(long, value_enum, default_value = "adam")]
    pub optimizer: Algorithm,
    /// How far each step goes
    #[arg(long, allow_negative_numbers = true, default_value_t = 5e-4, value_name = "RATE")]
    pub learning_rate: f64,
    /// How much of the last step sgd repeats
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub momentum: f64,
    /// Day of release that the model file shows, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// How training photos are varied.
    #[command(flatten)]
    pub augmentation: Augmentation,
}

impl Config {
    /// Reads a run's `config.toml`.
    ///
    /// # Errors
    /// One sentence that names the file and the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let config: Self = toml::from_str(&text).with_context(|| format!("{}: is no run's config", path.display()))?;
        config.check().with_context(|| path.display().to_string())?;
        Ok(config)
    }

    /// The text of `config.toml`.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("the data folder's name is not UTF-8, which config.toml needs")
    }

    /// Refuses values that make no sense, naming the flag.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<()> {
        let share = |x: f64| x > 0.0 && x < 1.0;
        ensure!((1..=4096).contains(&self.batch_size), "--batch-size must lie between 1 and 4,096");
        ensure!(self.steps_per_epoch > 0, "--steps-per-epoch must be at least 1");
        ensure!(self.epochs > 0, "--epochs must be at least 1");
        ensure!(self.patience > 0, "--patience must be at least 1");
        ensure!(share(self.validation_fraction), "--validation-fraction must lie between 0 and 1");
        ensure!(
            self.desired_accuracy > 0.0 && self.desired_accuracy <= 1.0,
            "--desired-accuracy must be above 0 and at most 1"
        );
        ensure!(self.learning_rate.is_finite() && self.learning_rate > 0.0, "--learning-rate must be above 0");
        ensure!((0.0..1.0).contains(&self.momentum), "--momentum must be at least 0 and below 1");
        let Augmentation { rotation_range, shear_range, zoom_range, .. } = self.augmentation;
        ensure!((0.0..=180.0).contains(&rotation_range), "--rotation-range must lie between 0 and 180");
        ensure!((0.0..90.0).contains(&shear_range), "--shear-range must be at least 0 and below 90");
        ensure!((0.0..1.0).contains(&zoom_range), "--zoom-range must be at least 0 and below 1");
        let sgd = self.optimizer == Algorithm::Sgd;
        ensure!(self.momentum == 0.0 || sgd, "--momentum works with --optimizer sgd only");
        if let Some(date) = &self.date {
            let number = |part: &str, len: usize| {
                let digits = part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
                part.parse::<u32>().ok().filter(|_| digits)
            };
            let parts: Vec<&str> = date.split('-').collect();
            let day = match parts[..] {
                [year, month, day] => (number(year, 4), number(month, 2), number(day, 2)),
                _ => (None, None, None),
            };
            ensure!(matches!(day, (Some(_), Some(1..=12), Some(1..=31))), "--date must be a day, as 2026-11-22");
        }
        Ok(())
    }

    /// Whether a run of `other` takes the same steps, as far as it goes.
    pub fn steps_alike(&self, other: &Self) -> bool {
        let Self { data, epochs, patience, desired_accuracy, .. } = self.clone();
        *self == Self { data, epochs, patience, desired_accuracy, ..other.clone() }
    }

    /// What the optimizer is made from.
    pub fn optimizer_settings(&self) -> Settings {
        Settings { algorithm: self.optimizer, learning_rate: self.learning_rate, momentum: self.momentum }
    }
}
