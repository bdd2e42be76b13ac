//! `husky train`: the training loop and the run's folder.

mod progress;
mod setup;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};
use candle_nn::Optimizer as _;
use husky::Spec;
use husky::weights::Precision;
use indicatif::HumanCount;

use self::progress::EpochProgress;
use crate::calibrate::calibrate;
use crate::checkpoint::{self, Epoch, State};
use crate::config::Config;
use crate::curves;
use crate::dataset::{self, Dataset};
use crate::files::{csv_bytes, write_atomically};
use crate::loader::{Batch, Loader};
use crate::metrics;
use crate::network::{Gradients, Network};
use crate::ops::{DropoutKey, one_hot};
use crate::optimizer::Optimizer;

/// Train a model on a folder of photos
///
/// The folder RUN holds, whole at any moment: config.toml (which alone repeats the run), model.safetensors (the best epoch
/// so far), checkpoint.safetensors, metrics.csv, curves.svg, skipped.csv (files that are no photos, and why).
/// Ctrl-C finishes the step, saves, and exits with code 130.
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
    /// The knobs of the preset's recipe and their values, as on the command line.
    pub fn recipe(&self) -> Vec<(String, String)> {
        self.recipe.iter().flat_map(|config| config.preset.recipe()).collect()
    }
}

/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

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
    match (args.resume, args.out) {
        (Some(folder), _) => Run::resume(&folder)?.train(),
        (None, Some(folder)) => match (args.config, args.recipe) {
            (Some(path), _) => Run::start(&folder, Config::read(&path)?)?.train(),
            (None, Some(config)) => Run::start(&folder, config)?.train(),
            (None, None) => bail!("name the folder with the photos, or a --config"),
        },
        (None, None) => bail!("name a folder for the run with --out"),
    }
}

struct Run<'a> {
    folder: &'a Path,
    data: Dataset,
    loader: Loader,
    spec: Spec,
    network: Network,
    /// The moving average of it, which is judged and kept in its place.
    average: Option<Network>,
    optimizer: Optimizer,
    state: State,
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

impl Run<'_> {
    /// The training loop.
    fn train(mut self) -> Result<ExitCode> {
        // Not before: while photos are read there is nothing to save, and Ctrl-C may just end it.
        ctrlc::set_handler(|| {
            if INTERRUPT.swap(true, Ordering::SeqCst) {
                // Asked twice: files are whole at any moment, so just go.
                std::process::exit(INTERRUPTED.into());
            }
        })?;
        eprintln!("{}", self.summary());
        while self.state.epoch <= self.state.config.epochs && self.reason_to_stop().is_none() {
            let mut progress = EpochProgress::new(&self.state);
            let (first, steps) = (self.state.step as usize, self.state.config.steps_per_epoch as usize);
            for batch in self.loader.epoch(&self.data.training, (self.state.epoch - 1).into(), first..steps, steps)? {
                self.step(batch?)?;
                progress.step(&self.state);
                if INTERRUPT.load(Ordering::SeqCst) {
                    self.save()?;
                    progress.line(&format!("stopped; go on with: husky train --resume {}", self.folder.display()));
                    return Ok(ExitCode::from(INTERRUPTED));
                }
            }
            let validation = self.validate()?;
            let State { loss_sum, correct, step, .. } = self.state;
            let photos = f64::from(step) * self.state.config.batch_size as f64;
            self.finish_epoch(loss_sum / f64::from(step), correct as f64 / photos, &validation)?;
            progress.epoch(&self.state);
        }
        eprintln!("{}", self.reason_to_stop().unwrap_or_else(|| "all epochs are done".into()));
        eprintln!("the model: {}", self.folder.join("model.safetensors").display());
        Ok(ExitCode::SUCCESS)
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
        let mut targets = smooth(one_hot(&batch.labels, self.spec.labels.len()), config.label_smoothing);
        for (row, taught) in targets.iter_mut().zip(&batch.taught) {
            row.iter_mut().zip(taught).for_each(|(own, taught)| *own += config.distillation * (taught - *own));
        }
        let Gradients { logits, loss, gradients } = self.network.gradients(&batch.tensor()?, targets, key)?;
        let correct = count_correct(&logits.to_vec2()?, &batch.labels);
        let value = loss.to_scalar::<f32>()?;
        self.check_finite(value)?;
        self.optimizer.step(&gradients)?;
        if let Some(average) = &self.average {
            average.follow(&self.network, self.state.config.ema)?;
        }
        self.state.loss_sum += f64::from(value);
        self.state.correct += correct;
        self.state.step += 1;
        Ok(())
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

    /// Writes down what the epoch brought. The order matters: with the checkpoint last, whatever is interrupted here is
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
        write_atomically(&self.folder.join("metrics.csv"), &csv_bytes(&Epoch::COLUMNS, &self.state.history)?)?;
        write_atomically(&self.folder.join("curves.svg"), curves::draw(&self.state.history, best)?.as_bytes())?;
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

    fn reason_to_stop(&self) -> Option<String> {
        let last = self.state.history.last()?;
        let best = self.state.best()?;
        if last.accuracy > self.state.config.desired_accuracy {
            return Some(format!(
                "epoch {}: the training accuracy {:.4} passed --desired-accuracy {}",
                last.epoch, last.accuracy, self.state.config.desired_accuracy
            ));
        }
        (last.epoch - best.epoch >= self.state.config.patience).then(|| {
            format!(
                "the validation loss has not fallen for {} epochs; epoch {} is kept",
                self.state.config.patience, best.epoch
            )
        })
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
