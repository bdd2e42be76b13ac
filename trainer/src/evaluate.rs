//! `husky evaluate`: how good a model is.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use husky::{Classifier, Verdict};
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    dataset::{LabelFolder, label_folders},
    files::write_atomically,
    metrics::{Figures, Interval, Intervals, Judged, confusion},
    model_file, output,
    photos::{self, Skipped},
    progress::Progress,
};

/// Measure how well a model tells photos apart
///
/// Every photo is judged by the same code as in the browser. Files that are no photos are listed on standard error and
/// left out. Figures come with 95 % intervals.
#[derive(Debug, clap::Args)]
pub struct EvaluateArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Folder with one folder of photos for each label, named like it; or a data set, whose `validation` is judged where
    /// it has one, and else all of it, with what was trained on
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Write the figures to this file, too, as JSON
    #[arg(long, value_name = "OUT")]
    pub json: Option<PathBuf>,
}

/// What `--json` writes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Photos that were judged.
    pub n: usize,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// The model's labels.
    pub labels: Vec<String>,
    /// From which probability on the first of two labels is answered. Accuracy and confusion follow from it.
    pub threshold: f32,
    /// How often photos of label (row) got answer (column), in the order of the model's labels.
    pub confusion: Vec<Vec<usize>>,
    /// Photos that belong together: the same sub-folder of a label's folder or, directly in it, the same beginning of
    /// their names up to the first `_`; the rest have their label's name.
    pub groups: BTreeMap<String, Group>,
    /// 95 % intervals of the figures.
    pub intervals: Intervals,
    /// Files that could not be judged.
    pub skipped: usize,
}

/// Photos that belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// How many.
    pub n: usize,
    /// The share of them that was answered with the model's first label.
    pub positive_rate: f64,
}

/// Runs the command.
///
/// # Errors
/// One sentence for a model file that can't be read or is wrong, a folder with labels that the model does not know or
/// without photos, and a report that can't be written.
pub fn run(args: &EvaluateArgs) -> Result<ExitCode> {
    let classifier = model_file::load(&args.model)?;
    let (report, skipped) = evaluate(&classifier, &args.folder)?;
    for Skipped { file, reason } in &skipped {
        eprintln!("{file}: {reason}: skipped");
    }
    output::print(&table(&report))?;
    if let Some(path) = &args.json {
        let mut json = serde_json::to_vec_pretty(&report)?;
        json.push(b'\n');
        write_atomically(path, &json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Judges the photos below the label folders of `folder`, or of its `validation`, in parallel. The result is the same
/// for any number of threads.
///
/// # Errors
/// As [`run`].
pub fn evaluate(classifier: &Classifier, folder: &Path) -> Result<(Report, Vec<Skipped>)> {
    let labels = &classifier.spec().labels;
    let validation = folder.join("validation");
    let folder = if validation.is_dir() { &validation } else { folder };
    let (folders, mut skipped) = label_folders(folder)?;
    let mut photos = Vec::new();
    for folder in &folders {
        let label = labels.iter().position(|label| *label == folder.label).with_context(|| {
            format!(
                "{}: the model does not know the label {:?}, only {labels:?}: rename the folder or remove it",
                folder.path.display(),
                folder.label
            )
        })?;
        photos.extend(folder.files.iter().map(|file| (folder, file, label)));
    }

    let progress = Progress::new("judging photos", photos.len());
    let judge = |(_, file, _): &(&LabelFolder, &PathBuf, usize)| {
        let verdict = photos::read(file).and_then(|bytes| Ok(classifier.classify(&bytes)?));
        progress.step();
        verdict
    };
    let verdicts: Vec<Result<Verdict>> = photos.par_iter().map(judge).collect();
    drop(progress);

    let mut judged = Judged::default();
    let mut groups = BTreeMap::<String, Group>::new();
    for ((folder, file, label), verdict) in photos.into_iter().zip(verdicts) {
        match verdict {
            Ok(Verdict { label: answer, probabilities, .. }) => {
                let positive = answer == labels[0];
                let group = groups.entry(group(folder, file)).or_default();
                group.positive_rate =
                    (group.positive_rate * group.n as f64 + f64::from(u8::from(positive))) / (group.n + 1) as f64;
                group.n += 1;
                judged.probabilities.push(probabilities);
                judged.labels.push(label);
                judged.answers.extend(labels.iter().position(|label| *label == answer));
            }
            Err(reason) => skipped.push(Skipped { file: file.display().to_string(), reason: format!("{reason:#}") }),
        }
    }
    skipped.sort_by(|a, b| a.file.cmp(&b.file));
    if judged.labels.is_empty() {
        bail!("{}: no photo that can be read is there ({} files were skipped)", folder.display(), skipped.len());
    }
    let report = Report {
        n: judged.labels.len(),
        figures: judged.figures(),
        labels: labels.clone(),
        threshold: classifier.spec().threshold,
        confusion: confusion(&judged.labels, &judged.answers, labels.len()),
        groups,
        intervals: judged.intervals(),
        skipped: skipped.len(),
    };
    Ok((report, skipped))
}

/// See [`Report::groups`].
fn group(folder: &LabelFolder, file: &Path) -> String {
    let below: Vec<_> =
        file.strip_prefix(&folder.path).unwrap_or(file).iter().map(|name| name.to_string_lossy()).collect();
    match &below[..] {
        [sub_folder, _, ..] => sub_folder.to_string(),
        [name] => name.split_once('_').map_or(&folder.label[..], |(prefix, _)| prefix).to_owned(),
        [] => folder.label.clone(),
    }
}

fn table(report: &Report) -> String {
    let Report { n, figures, labels, threshold, confusion, groups, intervals, skipped } = report;
    let mut text = format!("{n} photos, {skipped} files skipped; in brackets 95 % intervals\n");
    if let [positive, _] = &labels[..] {
        text += &format!("answered {positive:?} from probability {threshold:.4} on\n");
    }
    for (label, row) in labels.iter().zip(confusion) {
        if row.iter().sum::<usize>() == 0 {
            text += &format!("no photo of {label:?} is there: figures that need one are left out\n");
        }
    }
    text.push('\n');
    let mut row = |name: &str, figure: Option<f64>, interval: Option<Interval>| {
        // Writing to a string cannot fail.
        let _ = match (figure, interval) {
            (Some(figure), Some([low, high])) => writeln!(text, "{name:<36} {figure:.4}  [{low:.4}, {high:.4}]"),
            _ => writeln!(text, "{name:<36} -"),
        };
    };
    row("accuracy", Some(figures.accuracy), Some(intervals.accuracy));
    row("balanced accuracy", Some(figures.balanced_accuracy), Some(intervals.balanced_accuracy));
    row("ROC AUC", figures.roc_auc, intervals.roc_auc);
    row("recall at 1 % false positives", figures.recall_at_1pct_fpr, intervals.recall_at_1pct_fpr);
    row("log loss", Some(figures.log_loss), Some(intervals.log_loss));
    row("expected calibration error", Some(figures.ece), Some(intervals.ece));

    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(8);
    let _ = write!(text, "\n{:<width$}  answered:", "label");
    for label in labels {
        let _ = write!(text, "  {label:>width$}");
    }
    for (label, row) in labels.iter().zip(confusion) {
        let _ = write!(text, "\n{label:<width$}           ");
        for count in row {
            let _ = write!(text, "  {count:>width$}");
        }
    }
    let _ = writeln!(text, "\n\n{:<24}  {:>6}  answered {:?}", "group", "photos", labels[0]);
    for (name, Group { n, positive_rate }) in groups {
        let _ = writeln!(text, "{name:<24}  {n:>6}  {:>5.1} %", 100.0 * positive_rate);
    }
    text
}
