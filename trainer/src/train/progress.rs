//! What `husky train` shows while it works: a bar in a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::checkpoint::State;
use crate::output;

/// Seconds between two lines where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// The progress of one epoch.
pub struct EpochProgress {
    bar: Option<ProgressBar>,
    batch_size: usize,
    steps: u32,
    epochs: u32,
    first_step: u32,
    started: Instant,
    last_line: Instant,
}

impl EpochProgress {
    /// The epoch that `state` is in.
    pub fn new(state: &State) -> Self {
        let config = &state.config;
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}");
            ProgressBar::new(config.steps_per_epoch.into())
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_prefix(format!("epoch {}/{}", state.epoch, config.epochs))
                .with_position(state.step.into())
        });
        let now = Instant::now();
        Self {
            bar,
            batch_size: config.batch_size,
            steps: config.steps_per_epoch,
            epochs: config.epochs,
            first_step: state.step,
            started: now,
            last_line: now,
        }
    }

    /// After a step.
    pub fn step(&mut self, state: &State) {
        let done = f64::from(state.step - self.first_step);
        let seconds = self.started.elapsed().as_secs_f64();
        let photos = f64::from(state.step) * self.batch_size as f64;
        let left = f64::from(self.steps - state.step) * seconds / done;
        let message = format!(
            "loss {:.4}  accuracy {:.4}  {:.0} images/s  {} left",
            state.loss_sum / f64::from(state.step),
            state.correct as f64 / photos,
            done * self.batch_size as f64 / seconds,
            HumanDuration(Duration::from_secs_f64(left)),
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(message);
                bar.set_position(state.step.into());
            }
            None if self.last_line.elapsed() >= PLAIN_INTERVAL => {
                self.last_line = Instant::now();
                let State { epoch, step, .. } = state;
                output::say(format_args!("epoch {epoch}/{}  step {step}/{}  {message}", self.epochs, self.steps));
            }
            None => {}
        }
    }

    /// After an epoch: one line that stays.
    pub fn epoch(&self, state: &State) {
        let Some(epoch) = state.history.last() else { return };
        let roc_auc = epoch.validation_roc_auc.map(|auc| format!(", ROC AUC {auc:.4}")).unwrap_or_default();
        let best = if state.best() == Some(epoch) { "  best so far" } else { "" };
        // Epoch 0 takes no steps.
        let photos = f64::from(self.steps - self.first_step) * self.batch_size as f64;
        let rate = photos / self.started.elapsed().as_secs_f64();
        let rate = if epoch.epoch > 0 { format!("  {rate:.0} images/s") } else { String::new() };
        self.line(&format!(
            "epoch {}/{}  loss {:.4}, accuracy {:.4}  validation: loss {:.4}, accuracy {:.4}{roc_auc}{rate}{best}",
            epoch.epoch, self.epochs, epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy,
        ));
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.println(text);
                bar.finish_and_clear();
            }
            None => output::say(text),
        }
    }
}
