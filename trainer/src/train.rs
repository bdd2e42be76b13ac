//! `husky train`: the training loop and the run's folder.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use trainer::config::Config;
//! use trainer::presets::Preset;
//! use trainer::train::Run;
//!
//! let config = Config { epochs: 20, ..Config::new(Path::new("photos"), Preset::Quick)? };
//! Run::start(Path::new("runs/mine"), config)?.train()?;
//! # anyhow::Ok(())
//! ```

mod adversary;
mod progress;
mod setup;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};
use candle_core::Tensor;
use candle_nn::Optimizer as _;
use husky::Spec;
use husky::weights::Precision;
use husky_ops::{CrossEntropy, one_hot};
use indicatif::HumanCount;

use self::progress::EpochProgress;
use crate::calibrate::calibrate;
use crate::callback::Callback;
use crate::checkpoint::{self, Epoch, State};
use crate::config::Config;
use crate::dataset::{self, Dataset};
use crate::files::write_atomically;
use crate::kinds::Kinds;
use crate::loader::{Batch, Loader};
use crate::metrics;
use crate::network::{DropoutKey, Gradients, Network};
use crate::optimizer::Optimizer;
use crate::output;
use crate::presets::Preset;

/// Train a model on a folder of photos
///
/// The folder RUN holds, whole at any moment: config.toml (which alone repeats the run), model.safetensors (the best epoch
/// so far), checkpoint.safetensors, metrics.csv, curves.svg, events.out.tfevents (for TensorBoard), skipped.csv (files that are
/// no photos, and why).
/// Ctrl-C finishes the step, saves, and exits with code 130.
///
/// Example: husky train photos --out runs/first
#[derive(clap::Args, Debug)]
#[command(override_usage = "husky train [OPTIONS] --out RUN DATA\n       husky train --out RUN --config FILE\n       \
                            husky train --resume RUN")]
pub struct TrainArgs {
    #[command(flatten)]
    recipe: Option<Config>,
    /// Repeat the run that this config.toml describes
    #[arg(long, value_name = "FILE", conflicts_with = "recipe", requires = "out")]
    config: Option<PathBuf>,
    /// Folder for the run: config, weights, curves, reports
    #[arg(long, value_name = "RUN", required_unless_present = "resume")]
    out: Option<PathBuf>,
    /// Go on with an interrupted run; the result is the same as without the interruption
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "config", "out"])]
    resume: Option<PathBuf>,
    /// Threads to compute with; the result does not depend on it [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl TrainArgs {
    /// The preset, where one is named and not a run's config.
    pub fn preset(&self) -> Option<Preset> {
        self.recipe.as_ref().map(|config| config.preset)
    }
}

/// Exit code after Ctrl-C, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Set by Ctrl-C: the step at work is finished and everything saved.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Trains, from the beginning or from where a run stopped.
///
/// # Errors
/// One sentence that says what is wrong with the data, the recipe or the disk.
pub fn run(args: TrainArgs) -> Result<ExitCode> {
    if let Some(threads) = args.threads {
        ensure!(threads > 0, "--threads must be at least 1");
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let run = match (args.resume, args.out) {
        (Some(folder), _) => Run::resume(&folder)?,
        (None, Some(folder)) => match (args.config, args.recipe) {
            (Some(path), _) => Run::start(&folder, Config::read(&path)?)?,
            (None, Some(config)) => Run::start(&folder, config)?,
            (None, None) => bail!("name the folder with the photos, or a --config"),
        },
        (None, None) => bail!("name a folder for the run with --out"),
    };
    // Not before: while photos are read there is nothing to save, and Ctrl-C may just end it.
    ctrlc::set_handler(|| {
        if INTERRUPT.swap(true, Ordering::SeqCst) {
            // Asked twice: files are whole at any moment, so just go.
            std::process::exit(INTERRUPTED.into());
        }
    })?;
    Ok(match run.train()? {
        Ending::Done => ExitCode::SUCCESS,
        Ending::Interrupted => ExitCode::from(INTERRUPTED),
    })
}

/// How [`Run::train`] came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are done, or a callback found them enough.
    Done,
    /// Ctrl-C, where the command `husky` listens to it: the step is saved.
    Interrupted,
}

/// A run: a network in training, and the folder for what comes of it.
pub struct Run {
    folder: PathBuf,
    /// Held for as long as the run is.
    _lock: Option<File>,
    data: Dataset,
    /// What the network learns to tell apart, where that is more than labels.
    kinds: Option<Kinds>,
    loader: Loader,
    spec: Spec,
    network: Network,
    /// The moving average of it, which is judged and kept in its place.
    average: Option<Network>,
    optimizer: Optimizer,
    state: State,
    callbacks: Vec<Box<dyn Callback>>,
}

/// What the validation photos say about the network as it stands.
struct Validation {
    loss: f64,
    accuracy: f64,
    roc_auc: Option<f64>,
    /// A row for each photo.
    logits: Vec<Vec<f32>>,
    /// The true labels.
    labels: Vec<usize>,
}

impl Run {
    /// Lets `callback` be called at the end of each epoch, too, after those that are there: `metrics.csv`, `curves.svg`,
    /// TensorBoard's events and [`EarlyStopping`](crate::callback::EarlyStopping).
    pub fn add(&mut self, callback: impl Callback + 'static) {
        self.callbacks.push(Box::new(callback));
    }

    /// The training loop. It says on standard error how it goes.
    ///
    /// # Errors
    /// One sentence: the loss is no number any more, the disk fails, or a callback does.
    pub fn train(mut self) -> Result<Ending> {
        output::say(self.summary());
        let mut reason_to_stop = self.on_epoch_end()?;
        while self.state.epoch <= self.state.config.epochs && reason_to_stop.is_none() {
            let mut progress = EpochProgress::new(&self.state);
            let (first, steps) = (self.state.step as usize, self.state.config.steps_per_epoch as usize);
            for batch in self.loader.epoch(&self.data.training, (self.state.epoch - 1).into(), first..steps, steps)? {
                self.step(batch?)?;
                progress.step(&self.state);
                if INTERRUPT.load(Ordering::SeqCst) {
                    self.save()?;
                    progress.line(&format!("stopped; go on with: husky train --resume {}", self.folder.display()));
                    return Ok(Ending::Interrupted);
                }
            }
            let validation = self.validate()?;
            let State { loss_sum, correct, step, .. } = self.state;
            let photos = f64::from(step) * self.state.config.batch_size as f64;
            self.finish_epoch(loss_sum / f64::from(step), correct as f64 / photos, &validation)?;
            progress.epoch(&self.state);
            reason_to_stop = self.on_epoch_end()?;
        }
        output::say(reason_to_stop.unwrap_or_else(|| "all epochs are done".into()));
        output::say(format_args!("the model: {}", self.folder.join("model.safetensors").display()));
        Ok(Ending::Done)
    }

    /// Calls all callbacks about the last epoch, if there is one; the first reason to stop, if there is one.
    fn on_epoch_end(&mut self) -> Result<Option<String>> {
        let mut reason = None;
        for callback in self.callbacks.iter_mut().filter(|_| !self.state.history.is_empty()) {
            reason = reason.or(callback.on_epoch_end(&self.folder, &self.state)?.break_value());
        }
        Ok(reason)
    }

    /// What is about to be done, in one line: a wrong folder or label is seen before hours are spent on it.
    fn summary(&self) -> String {
        let Self { data, network, .. } = self;
        let photos = |split: &dataset::Split| {
            let counts = data.labels.iter().zip(split.counts()).map(|(label, count)| format!("{count} {label}"));
            counts.collect::<Vec<_>>().join(", ")
        };
        let parameters: usize = network.parameters().values().map(|parameter| parameter.elem_count()).sum();
        format!(
            "{}, {} parameters; training: {}; validation: {}",
            self.state.config.preset.name(),
            HumanCount(parameters as u64),
            photos(&data.training),
            photos(&data.validation)
        )
    }

    /// One batch forward, backward, and a step downhill.
    fn step(&mut self, batch: Batch) -> Result<()> {
        let config = &self.state.config;
        let key = DropoutKey { seed: config.seed, epoch: self.state.epoch.into(), first_sample: batch.first as u64 };
        let epochs = f64::from(self.state.epoch - 1) + f64::from(self.state.step) / f64::from(config.steps_per_epoch);
        self.optimizer.set_learning_rate(config.learning_rate_at(epochs));
        let learned = match &self.kinds {
            Some(kinds) => {
                one_hot(&batch.photos.iter().map(|&photo| kinds.of[photo]).collect::<Vec<_>>(), kinds.count())
            }
            None => one_hot(&batch.labels, self.spec.labels.len()),
        };
        let mut targets = smooth(learned, config.label_smoothing);
        for (row, taught) in targets.iter_mut().zip(&batch.taught) {
            row.iter_mut().zip(taught).for_each(|(own, taught)| *own += config.distillation * (taught - *own));
        }
        let offsets = self.prior_offsets();
        let loss =
            |outputs: &Tensor| outputs.apply_op1(CrossEntropy::new(targets.clone()).with_offsets(offsets.clone()));
        let mut input = batch.tensor()?;
        if config.adversarial > 0.0 {
            input = adversary::attacked(&self.network, &self.spec.input, &input, config.adversarial, loss, key)?;
        }
        let Gradients { outputs, loss, gradients } = self.network.gradients(&input, loss, key)?;
        let correct = count_correct(&self.network.logits(&outputs)?.to_vec2()?, &batch.labels);
        let value = loss.to_scalar::<f32>()?;
        self.check_finite(value)?;
        self.optimizer.step(&gradients)?;
        if let Some(average) = &self.average {
            average.follow(&self.network, self.state.config.ema_at(self.optimizer.steps))?;
        }
        self.state.loss_sum += f64::from(value);
        self.state.correct += correct;
        self.state.step += 1;
        Ok(())
    }

    /// What the balanced batches' outputs have above those of the photos as they are: the logarithm of how much more often
    /// each label is shown.
    fn prior_offsets(&self) -> Vec<f64> {
        if !self.state.config.balance {
            return Vec::new();
        }
        let offsets: Vec<f64> = self.data.training.counts().iter().map(|&count| -(count as f64).ln()).collect();
        match (&self.kinds, &offsets[..]) {
            (Some(kinds), _) => kinds.counts.iter().zip(offsets).flat_map(|(&count, o)| vec![o; count]).collect(),
            // One logit speaks for the first label, against the second.
            (None, [first, second]) => vec![first - second],
            (None, _) => offsets,
        }
    }

    /// Stops the run before a loss that is no number gets into a checkpoint.
    fn check_finite(&self, loss: f32) -> Result<()> {
        if loss.is_finite() {
            return Ok(());
        }
        bail!(
            "the loss became {loss} in epoch {}, step {}: try a smaller --learning-rate; {}",
            self.state.epoch,
            self.state.step + 1,
            match self.state.best() {
                Some(best) => format!("model.safetensors keeps epoch {}, the best until then", best.epoch),
                None => "no epoch was finished, so there is no model yet".into(),
            }
        )
    }

    fn validate(&self) -> Result<Validation> {
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for batch in self.loader.in_order(&self.data.validation)? {
            let batch = batch?;
            logits.extend(self.judged().forward(&batch.tensor()?)?.to_vec2()?);
            labels.extend(batch.labels);
        }
        let probabilities = metrics::probabilities(&logits, 1.0);
        let loss = metrics::log_loss(&probabilities, &labels);
        self.check_finite(loss as f32)?;
        Ok(Validation {
            loss,
            accuracy: count_correct(&logits, &labels) as f64 / labels.len() as f64,
            roc_auc: metrics::roc_auc(&probabilities, &labels),
            logits,
            labels,
        })
    }

    /// Takes down what the epoch brought. The order matters: with the checkpoint last, whatever is interrupted here is
    /// done again, alike, from the one before.
    fn finish_epoch(&mut self, loss: f64, accuracy: f64, validation: &Validation) -> Result<()> {
        let state = &mut self.state;
        state.history.push(Epoch {
            epoch: state.epoch,
            loss,
            accuracy,
            validation_loss: validation.loss,
            validation_accuracy: validation.accuracy,
            validation_roc_auc: validation.roc_auc,
        });
        let best = state.best().map_or(state.epoch, |best| best.epoch);
        if best == state.epoch {
            let rule = self.state.config.threshold_rule;
            calibrate(&mut self.spec, &validation.logits, &validation.labels, rule);
            self.spec.provenance.epoch = best;
            let model = husky::weights::write(&self.spec, &self.judged().weights(&self.spec)?, Precision::F32)?;
            write_atomically(&self.folder.join("model.safetensors"), &model)?;
        }
        self.state.epoch += 1;
        (self.state.step, self.state.loss_sum, self.state.correct) = (0, 0.0, 0);
        self.save()
    }

    /// The network that is judged and kept.
    fn judged(&self) -> &Network {
        self.average.as_ref().unwrap_or(&self.network)
    }

    fn save(&self) -> Result<()> {
        let path = self.folder.join("checkpoint.safetensors");
        checkpoint::save(&path, &self.state, &self.network, self.average.as_ref(), &self.optimizer)
    }
}

/// Gives the share `smoothing` of each row to all its labels alike (Szegedy et al. 2016).
fn smooth(mut targets: Vec<Vec<f64>>, smoothing: f64) -> Vec<Vec<f64>> {
    for row in &mut targets {
        let even = smoothing / row.len() as f64;
        row.iter_mut().for_each(|target| *target = *target * (1.0 - smoothing) + even);
    }
    targets
}

/// How many rows of logits answer with the true label, at probability 0.5.
fn count_correct(logits: &[Vec<f32>], labels: &[usize]) -> u64 {
    let answer = |logits: &[f32]| match logits {
        [logit] => usize::from(*logit < 0.0),
        _ => husky::argmax(logits),
    };
    logits.iter().zip(labels).filter(|(logits, label)| answer(logits) == **label).count() as u64
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;

    #[test]
    fn every_knob_is_in_the_group_that_config_and_resume_exclude() {
        let command = TrainArgs::augment_args(Command::new("train"));
        let group: Vec<_> =
            command.get_groups().find(|g| g.get_id() == "recipe").into_iter().flat_map(|g| g.get_args()).collect();
        let others = ["config", "out", "resume", "threads"];
        for argument in command.get_arguments().filter(|a| !others.contains(&a.get_id().as_str())) {
            assert!(group.contains(&argument.get_id()), "{} is missing", argument.get_id());
        }
    }
}
