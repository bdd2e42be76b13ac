//! What is done when an epoch has ended, as Keras' callbacks: to stop early, and to write down how the run goes.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Result;

use crate::checkpoint::{Epoch, State};
use crate::curves;
use crate::files::{csv_bytes, write_atomically};

/// Something that is done when an epoch has ended: [`Run::add`](crate::train::Run::add) makes it part of a run.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::path::Path;
///
/// use trainer::callback::Callback;
/// use trainer::checkpoint::State;
///
/// /// Stops as soon as the validation loss is small enough.
/// struct GoodEnough(f64);
///
/// impl Callback for GoodEnough {
///     fn on_epoch_end(&mut self, _folder: &Path, state: &State) -> anyhow::Result<ControlFlow<String>> {
///         Ok(match state.history.last() {
///             Some(epoch) if epoch.validation_loss < self.0 => ControlFlow::Break("good enough".into()),
///             _ => ControlFlow::Continue(()),
///         })
///     }
/// }
/// ```
pub trait Callback {
    /// Called when an epoch has ended, after its model and checkpoint were saved in `folder`, the run's.
    ///
    /// The last of `state.history` is the epoch that ended. [`ControlFlow::Break`] ends the run and says why. A run that is
    /// resumed calls it about its last epoch once more: what goes by the history alone, and not by calls that it counted,
    /// decides and writes the same as if the run had never stopped.
    ///
    /// # Errors
    /// One ends the run, which can be resumed.
    fn on_epoch_end(&mut self, folder: &Path, state: &State) -> Result<ControlFlow<String>>;
}

/// Stops at the recipe's [`desired_accuracy`](crate::config::Config::desired_accuracy), as the article's callback does, and
/// when its [`patience`](crate::config::Config::patience) is at an end.
pub struct EarlyStopping;

impl Callback for EarlyStopping {
    fn on_epoch_end(&mut self, _folder: &Path, state: &State) -> Result<ControlFlow<String>> {
        let (Some(last), Some(best)) = (state.history.last(), state.best()) else {
            return Ok(ControlFlow::Continue(()));
        };
        let (desired, patience) = (state.config.desired_accuracy, state.config.patience);
        Ok(if last.accuracy > desired {
            let Epoch { epoch, accuracy, .. } = last;
            ControlFlow::Break(format!(
                "epoch {epoch}: the training accuracy {accuracy:.4} passed --desired-accuracy {desired}"
            ))
        } else if last.epoch - best.epoch >= patience {
            ControlFlow::Break(format!(
                "the validation loss has not fallen for {patience} epochs; epoch {} is kept",
                best.epoch
            ))
        } else {
            ControlFlow::Continue(())
        })
    }
}

/// Writes `metrics.csv`: a line for each [`Epoch`].
pub struct Metrics;

impl Metrics {
    /// The file's name in the run's folder.
    pub const FILE: &str = "metrics.csv";
}

impl Callback for Metrics {
    fn on_epoch_end(&mut self, folder: &Path, state: &State) -> Result<ControlFlow<String>> {
        write_atomically(&folder.join(Self::FILE), &csv_bytes(&Epoch::COLUMNS, &state.history)?)?;
        Ok(ControlFlow::Continue(()))
    }
}

/// Draws `curves.svg`.
pub struct Curves;

impl Callback for Curves {
    fn on_epoch_end(&mut self, folder: &Path, state: &State) -> Result<ControlFlow<String>> {
        write_atomically(&folder.join("curves.svg"), curves::draw(&state.history)?.as_bytes())?;
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::presets::Preset;

    /// Why a run stops after epochs of these training accuracies and validation losses.
    fn reason(epochs: &[(f64, f64)]) -> Option<String> {
        let mut config = Config::new(Path::new("data"), Preset::Quick).unwrap();
        (config.desired_accuracy, config.patience) = (0.9, 2);
        let mut state = State::new(config, String::new());
        state.history = (1..)
            .zip(epochs)
            .map(|(epoch, &(accuracy, validation_loss))| Epoch {
                epoch,
                loss: 0.5,
                accuracy,
                validation_loss,
                validation_accuracy: 0.5,
                validation_roc_auc: None,
            })
            .collect();
        EarlyStopping.on_epoch_end(Path::new(""), &state).unwrap().break_value()
    }

    #[test]
    fn it_stops_when_the_training_accuracy_passes_what_was_desired() {
        assert_eq!(reason(&[]), None);
        assert_eq!(reason(&[(0.5, 0.5), (0.9, 0.4)]), None, "to reach it is not to pass it");
        assert!(reason(&[(0.5, 0.5), (0.91, 0.4)]).unwrap().contains("--desired-accuracy 0.9"));
    }

    #[test]
    fn it_stops_when_the_validation_loss_does_not_fall_any_more() {
        assert_eq!(reason(&[(0.5, 0.3), (0.5, 0.4)]), None);
        assert!(reason(&[(0.5, 0.3), (0.5, 0.4), (0.5, 0.35)]).unwrap().contains("epoch 1 is kept"));
        assert_eq!(reason(&[(0.5, 0.3), (0.5, 0.4), (0.5, 0.2)]), None);
    }
}
