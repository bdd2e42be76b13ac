//! `husky compare`: runs side by side.

use std::{collections::BTreeSet, fmt::Write, path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::config::knobs;
use crate::files::{self, write_atomically};
use crate::{curves, output, run_folder::RunFolder};

/// Compare runs: what came of each, and in which knobs they differ
///
/// The figures are those of the validation photos after each run's best epoch, which its model.safetensors is of. A run may
/// still be at work.
///
/// Example: husky compare runs/one runs/two --svg curves.svg
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// Folders that `husky train --out` made
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
    /// Print JSON: a list with, for each run, run, config, best (its best epoch) and history (all of them)
    #[arg(long)]
    pub json: bool,
    /// Write the curves of all runs to this file, too, in one picture: validation strong, training faint
    #[arg(long, value_name = "OUT", value_parser = files::new_file())]
    pub svg: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// One sentence for a folder that holds no run, or a picture that can't be written.
pub fn run(args: &CompareArgs) -> Result<ExitCode> {
    let runs: Vec<RunFolder> = args.runs.iter().map(|folder| RunFolder::read(folder)).collect::<Result<_>>()?;
    if let Some(path) = &args.svg {
        write_atomically(path, curves::overlay(&runs)?.as_bytes())?;
    }
    let text = if args.json { serde_json::to_string_pretty(&runs)? + "\n" } else { table(&runs)? };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn table(runs: &[RunFolder]) -> Result<String> {
    let width = runs.iter().map(|run| run.run.chars().count()).max().unwrap_or_default().max(8);
    let mut text =
        format!("{:<width$}  epochs  best  validation: loss  accuracy  ROC AUC  training: loss  accuracy\n", "run");
    for RunFolder { run, best, history, .. } in runs {
        let roc_auc = best.validation_roc_auc.map_or("-".to_owned(), |auc| format!("{auc:.4}"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{run:<width$}  {:>6}  {:>4}  {:>16.4}  {:>8.4}  {roc_auc:>7}  {:>14.4}  {:>8.4}",
            // Epoch 0, the backbone with a fitted last layer, is none that was trained.
            history.iter().filter(|epoch| epoch.epoch > 0).count(),
            best.epoch,
            best.validation_loss,
            best.validation_accuracy,
            best.loss,
            best.accuracy,
        );
    }
    let recipes: Vec<toml::Table> =
        runs.iter().map(|run| Ok(knobs(toml::Table::try_from(&run.config)?))).collect::<Result<_>>()?;
    let names: BTreeSet<&String> = recipes.iter().flat_map(toml::Table::keys).collect();
    let differing: Vec<&String> = names
        .into_iter()
        .filter(|&knob| recipes.iter().any(|recipe| recipe.get(knob) != recipes[0].get(knob)))
        .collect();
    if differing.is_empty() {
        return Ok(text + "\nall knobs are the same\n");
    }
    let cells = |knob: &String| -> Vec<String> {
        recipes.iter().map(|recipe| recipe.get(knob).map_or("-".to_owned(), ToString::to_string)).collect()
    };
    let first = differing.iter().map(|knob| knob.len()).max().unwrap_or_default();
    let heads = runs.iter().map(|run| run.run.clone()).collect();
    let rows: Vec<(&str, Vec<String>)> =
        std::iter::once(("knob", heads)).chain(differing.iter().map(|knob| (&knob[..], cells(knob)))).collect();
    text.push('\n');
    for (knob, cells) in &rows {
        let _ = write!(text, "{knob:<first$}");
        for (column, cell) in cells.iter().enumerate() {
            let width = rows.iter().map(|(_, cells)| cells[column].chars().count()).max().unwrap_or_default();
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    Ok(text)
}
