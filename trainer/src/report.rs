//! `husky report`: a run as one page.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, ensure};

use crate::{
    checkpoint::Epoch,
    curves,
    evaluate::{self, Report},
    files::{self, write_atomically},
    html::{document, escape},
    judge::{below, judge_files},
    model_file, output,
    run_folder::RunFolder,
};

/// Write a run's report: one page with its curves, config, figures and worst errors
///
/// The run's model judges the validation photos, those that were split off where DATA has no validation folder. The page needs
/// nothing else and asks for nothing; it shows up to 24 of the photos, so it is written only when it is asked for.
///
/// Example: husky report runs/mine
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// Folder that `husky train --out` made
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The page to write [default: report.html in RUN]
    #[arg(long, value_name = "HTML", value_parser = files::new_file())]
    pub out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// One sentence for a folder that holds no run, photos that changed since, or a page that can't be written.
pub fn run(args: &ReportArgs) -> Result<ExitCode> {
    let run = RunFolder::read(&args.run)?;
    let classifier = model_file::load(&args.run.join("model.safetensors"))?;
    let data = run.config.open_data()?;
    ensure!(
        data.manifest_sha256() == classifier.spec().provenance.data,
        "{}: the photos changed since the run began, so it is not known which of them it learned from",
        run.config.data.display()
    );
    let files = data.validation.photos().iter().map(|photo| {
        let label = &data.labels[photo.label];
        (run.config.data.join(&photo.path), photo.label, below(&photo.path, label))
    });
    let (photos, skipped) = judge_files(&classifier, files.collect());
    let report = Report::new(classifier.spec(), &photos, skipped.len());
    let page = document(&run.run, &(head(&run)? + &evaluate::html::body(&report, &photos)? + &config(&run)?));
    let path = args.out.clone().unwrap_or_else(|| args.run.join("report.html"));
    write_atomically(&path, page.as_bytes())?;
    output::print(&format!("{}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The course of the run.
fn head(run: &RunFolder) -> Result<String> {
    let Epoch { epoch, validation_loss, validation_accuracy, .. } = run.best;
    Ok(format!(
        "<p>{}, {} epochs at most; the last was epoch {}. Epoch {epoch} is kept: validation loss {validation_loss:.4}, \
         accuracy {validation_accuracy:.4} at probability 0.5.</p>\n{}\n<h2>Its model on the validation photos</h2>\n",
        run.config.preset.name(),
        run.config.epochs,
        run.history.last().map_or(0, |epoch| epoch.epoch),
        curves::draw(&run.history)?
    ))
}

fn config(run: &RunFolder) -> Result<String> {
    Ok(format!("<h2>Config</h2>\n<pre>{}</pre>\n", escape(&run.config.to_toml()?)))
}
