//! Every knob of a training run: a flag of `husky train` and a line of the run's `config.toml`, which alone repeats the run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, FromArgMatches, ValueEnum};
use husky::spec::Input;
use serde::{Deserialize, Serialize};
use toml::value::Datetime;

use crate::augment::Augmentation;
use crate::calibrate::Rule;
use crate::dataset::{self, Dataset};
use crate::optimizer::{Algorithm, Settings};
use crate::presets::Preset;

/// How the learning rate goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays
    Constant,
    /// It falls to 0 along half a cosine, which ends with the last epoch
    Cosine,
}

/// The article's recipe, where nothing else is said.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
// Spelled out, since clap leaves the group of a struct with a flattened field empty; a test holds it complete.
#[group(id = "recipe", multiple = true, args = [
    "data", "preset", "seed", "positive", "validation_fraction", "batch_size", "steps_per_epoch", "epochs",
    "desired_accuracy", "patience", "optimizer", "learning_rate", "schedule", "warmup_epochs", "momentum", "weight_decay",
    "layer_decay", "ema", "balance", "adversarial", "label_smoothing", "size", "detail", "backbone", "kinds", "frozen_layers", "teacher",
    "distillation", "threshold_rule", "date", "rotation_range", "shear_range",
    "zoom_range", "horizontal_flip", "random_crop", "color_jitter", "random_erasing",
])]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder with training/LABEL/… and validation/LABEL/… (or LABEL/… alone, which is split)
    pub data: PathBuf,
    /// The network; those of the lite family and compact have defaults of their own for what is not said (trainer/recipes)
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
    /// Steps in an epoch; 0 takes as many as the training photos fill
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
    /// How the learning rate goes on after the warm-up
    #[arg(long, value_enum, default_value = "constant")]
    pub schedule: Schedule,
    /// Epochs in which the learning rate rises from 0
    #[arg(long, default_value_t = 0.0, value_name = "EPOCHS")]
    pub warmup_epochs: f64,
    /// How much of the last step sgd repeats
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub momentum: f64,
    /// Share of the weights that a step of learning rate 1 takes away (AdamW's decoupled decay)
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub weight_decay: f64,
    /// Factor of the learning rate from each layer to the one before it; 1 lets all learn alike
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub layer_decay: f64,
    /// How much of itself the moving average of the weights, which is what is judged and kept, keeps at each step (less in
    /// the first steps); 0 judges the weights themselves
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub ema: f64,
    /// Show each label equally often, however many photos it has. Probabilities stay those of the photos as they are
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    #[serde(default)]
    pub balance: bool,
    /// Learn from photos that are attacked first, each value by this many 255ths at most, which takes twice as long: such a
    /// model is harder to fool, and a little worse on photos as they are (Wong et al. 2020)
    #[arg(long, default_value_t = 0.0, value_name = "255THS")]
    #[serde(default)]
    pub adversarial: f32,
    /// Share of the truth that is given to all labels alike
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub label_smoothing: f64,
    /// Side of the network's input in pixels [default: the preset's]
    #[arg(long, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Side in pixels at which photos are distorted, before they are resized for the network [default: the network's]
    #[arg(long, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<u32>,
    /// Weights to begin with, as timm names them: lite0 needs tf_efficientnet_lite0.safetensors. Or a model of the same
    /// network, to go on from. The last layer is fitted to the photos first
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backbone: Option<PathBuf>,
    /// Learn to tell apart the kinds of each label of which there are at least so many training photos, and not only the
    /// labels: the folders below the label's, or the files' names up to the first `_`, as in `nothusky/malamute_12.jpg`. The
    /// answers stay the labels. 0 knows no kinds
    #[arg(long, default_value_t = 0, value_name = "N")]
    #[serde(default)]
    pub kinds: usize,
    /// How many of the first layers with weights stay as the backbone has them
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub frozen_layers: usize,
    /// A model to learn from, which judges each distorted photo, too; may be given more than once, for the mean of several
    #[arg(long, value_name = "MODEL")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teacher: Vec<PathBuf>,
    /// Weight of what the teachers say, against the photo's own label
    #[arg(long, requires = "teacher", default_value_t = 0.7, value_name = "SHARE")]
    pub distillation: f64,
    /// What the threshold between two labels is picked for on the validation photos: balanced (balanced accuracy), f1, or
    /// fpr=RATE (as many of the positive label as may be found with so many false positives)
    #[arg(long, default_value = "balanced", value_name = "RULE")]
    pub threshold_rule: Rule,
    /// Day of release that the model file shows, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// How training photos are varied.
    #[command(flatten)]
    pub augmentation: Augmentation,
}

/// All knobs of a `config.toml` in one table, those of the augmentation among them.
pub fn knobs(config: toml::Table) -> toml::Table {
    let section = |(knob, value)| match value {
        toml::Value::Table(section) => section,
        value => toml::Table::from_iter([(knob, value)]),
    };
    config.into_iter().flat_map(section).collect()
}

impl Config {
    /// The recipe of `husky train DATA --preset PRESET`: the article's, but for what the preset's own says.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use trainer::config::Config;
    /// use trainer::presets::Preset;
    ///
    /// let config = Config { epochs: 30, ..Config::new(Path::new("photos"), Preset::Lite0)? };
    /// assert_eq!((config.epochs, config.batch_size, config.ema), (30, 32, 0.995));
    /// # anyhow::Ok(())
    /// ```
    ///
    /// # Errors
    /// None in practice: a test holds each preset's recipe to the knobs that there are.
    pub fn new(data: &Path, preset: Preset) -> Result<Self> {
        let command = preset.set_defaults(Self::augment_args(clap::Command::new("train")));
        let preset = format!("--preset={}", preset.name());
        let arguments = ["train".as_ref(), preset.as_ref(), "--".as_ref(), data.as_os_str()];
        Ok(Self::from_arg_matches(&command.try_get_matches_from(arguments)?)?)
    }

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

    /// Reads the photos, with the validation part set aside.
    ///
    /// # Errors
    /// Those of [`Dataset::open`].
    pub fn open_data(&self) -> Result<Dataset> {
        let options = dataset::Options {
            seed: self.seed,
            validation_fraction: self.validation_fraction,
            positive: self.positive.clone(),
            detail: self.detail,
        };
        Dataset::open(&self.data, self.size.unwrap_or(self.preset.input().size), &options)
    }

    /// Refuses values that make no sense, naming the flag.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<()> {
        let share = |x: f64| x > 0.0 && x < 1.0;
        ensure!((1..=4096).contains(&self.batch_size), "--batch-size must lie between 1 and 4,096");
        ensure!(self.epochs > 0 || self.backbone.is_some(), "--epochs must be at least 1, without a --backbone");
        ensure!(self.patience > 0, "--patience must be at least 1");
        ensure!(share(self.validation_fraction), "--validation-fraction must lie between 0 and 1");
        ensure!(
            self.desired_accuracy > 0.0 && self.desired_accuracy <= 1.0,
            "--desired-accuracy must be above 0 and at most 1"
        );
        ensure!(self.learning_rate.is_finite() && self.learning_rate > 0.0, "--learning-rate must be above 0");
        ensure!(self.warmup_epochs >= 0.0 && self.warmup_epochs.is_finite(), "--warmup-epochs must be at least 0");
        ensure!((0.0..1.0).contains(&self.momentum), "--momentum must be at least 0 and below 1");
        ensure!((0.0..1.0).contains(&self.weight_decay), "--weight-decay must be at least 0 and below 1");
        ensure!(self.layer_decay > 0.0 && self.layer_decay <= 1.0, "--layer-decay must be above 0 and at most 1");
        ensure!((0.0..1.0).contains(&self.ema), "--ema must be at least 0 and below 1");
        ensure!((0.0..=255.0).contains(&self.adversarial), "--adversarial must lie between 0 and 255");
        ensure!((0.0..1.0).contains(&self.label_smoothing), "--label-smoothing must be at least 0 and below 1");
        ensure!(
            self.size.is_none_or(|size| (1..=Input::MAX_SIZE).contains(&size)),
            "--size must lie between 1 and {}",
            Input::MAX_SIZE
        );
        if let Some(size) = self.size {
            let spec = self.preset.spec(vec!["yes".into(), "no".into()], Some(size));
            spec.steps().with_context(|| format!("--size {size} does not suit {}", self.preset.name()))?;
        }
        ensure!((0.0..=1.0).contains(&self.distillation), "--distillation must lie between 0 and 1");
        ensure!(
            self.detail.is_none_or(|side| (1..=Input::MAX_SIZE).contains(&side)),
            "--detail must lie between 1 and {}",
            Input::MAX_SIZE
        );
        ensure!(self.backbone.is_some() || self.frozen_layers == 0, "--frozen-layers works with --backbone only");
        let Augmentation { rotation_range, shear_range, zoom_range, random_crop, color_jitter, random_erasing, .. } =
            self.augmentation;
        ensure!(random_crop > 0.0 && random_crop <= 1.0, "--random-crop must be above 0 and at most 1");
        ensure!((0.0..1.0).contains(&color_jitter), "--color-jitter must be at least 0 and below 1");
        ensure!((0.0..=1.0).contains(&random_erasing), "--random-erasing must lie between 0 and 1");
        ensure!((0.0..=180.0).contains(&rotation_range), "--rotation-range must lie between 0 and 180");
        ensure!((0.0..90.0).contains(&shear_range), "--shear-range must be at least 0 and below 90");
        ensure!((0.0..1.0).contains(&zoom_range), "--zoom-range must be at least 0 and below 1");
        let sgd = self.optimizer == Algorithm::Sgd;
        ensure!(self.momentum == 0.0 || sgd, "--momentum works with --optimizer sgd only");
        if let Some(date) = &self.date {
            let day: Option<Datetime> = date.parse().ok();
            let day = day.filter(|day| day.date.is_some() && day.time.is_none());
            ensure!(day.is_some(), "--date must be a day, as 2026-11-22");
        }
        Ok(())
    }

    /// Whether a run of `other` takes the same steps, as far as it goes.
    pub fn steps_alike(&self, other: &Self) -> bool {
        let Self { data, epochs, patience, desired_accuracy, .. } = self.clone();
        // A cosine ends with the last epoch: with more epochs, each of its steps is another.
        (self.schedule == Schedule::Constant || self.epochs == other.epochs)
            && *self == Self { data, epochs, patience, desired_accuracy, ..other.clone() }
    }

    /// How much of itself the moving average keeps at step `step`, from 1: less at first, so that what the network knew
    /// before it learned is soon forgotten (TensorFlow's `ExponentialMovingAverage` with `num_updates`).
    pub fn ema_at(&self, step: u64) -> f64 {
        let step = step as f64;
        self.ema.min((1.0 + step) / (10.0 + step))
    }

    /// What the optimizer is made from.
    pub fn optimizer_settings(&self) -> Settings {
        let Self { optimizer: algorithm, learning_rate, momentum, weight_decay, .. } = *self;
        Settings { algorithm, learning_rate, momentum, weight_decay }
    }

    /// The learning rate after so many epochs, whole and parts.
    pub fn learning_rate_at(&self, epochs: f64) -> f64 {
        let Self { learning_rate, warmup_epochs: warmup, .. } = *self;
        if epochs < warmup {
            return learning_rate * epochs / warmup;
        }
        match self.schedule {
            Schedule::Constant => learning_rate,
            Schedule::Cosine => {
                let way = (epochs - warmup) / (f64::from(self.epochs) - warmup);
                learning_rate * (1.0 + (way * std::f64::consts::PI).cos()) / 2.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_forgets_its_beginning_and_then_keeps_what_the_recipe_says() {
        let config = Config::new(Path::new("DATA"), Preset::Classic).unwrap_or_else(|error| panic!("{error}"));
        let config = Config { ema: 0.9, ..config };
        let share_of_the_beginning = |steps| (1..=steps).map(|step| config.ema_at(step)).product::<f64>();
        assert!(share_of_the_beginning(3) < 0.02);
        assert_eq!(config.ema_at(1_000), 0.9);
    }
}
