//! `husky evaluate`: how good a model is.

pub(crate) mod html;
mod robustness;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use husky::{Spec, Verdict};
use serde::Serialize;

use crate::{
    files::{self, write_atomically},
    judge::{Photo, judge, judged},
    metrics::{Figures, Interval, Intervals, confusion},
    model_file, output,
    photos::Skipped,
};

/// Measure how well a model tells photos apart
///
/// Every photo is judged by the same code as in the browser. Files that are no photos are listed on standard error and
/// left out. Figures come with 95 % intervals.
///
/// Example: husky evaluate models/husky.safetensors photos/validation --html report.html
#[derive(Debug, clap::Args)]
pub struct EvaluateArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Folder with one folder of photos for each label, named like it; or a data set that has a `validation`, which is judged
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Write the figures to this file, too, as JSON
    #[arg(long, value_name = "OUT", value_parser = files::new_file())]
    pub json: Option<PathBuf>,
    /// Write a page to this file, too, with curves, confusion matrix, calibration, groups and the worst errors as pictures
    #[arg(long, value_name = "OUT", value_parser = files::new_file())]
    pub html: Option<PathBuf>,
    /// Judge the photos compressed, blurred, turned, in other light and on a screenshot, too: about twenty times the work
    #[arg(long)]
    pub robustness: bool,
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
    /// The share of the photos whose answers are not `unsure`. The other figures are of all answers.
    pub coverage: f64,
    /// The balanced accuracy of those answers alone.
    pub sure_balanced_accuracy: Option<f64>,
    /// How often photos of label (row) got answer (column), in the order of the model's labels.
    pub confusion: Vec<Vec<usize>>,
    /// Photos that belong together, as [`Photo::group`] says, of one label: before a name that several labels have stands the
    /// label.
    pub groups: BTreeMap<String, Group>,
    /// 95 % intervals of the figures.
    pub intervals: Intervals,
    /// Files that could not be judged.
    pub skipped: usize,
    /// How the answers hold, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub robustness: Vec<robustness::Row>,
}

/// Photos that belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// How many.
    pub n: usize,
    /// The share of them that was answered with the model's first label.
    pub positive_rate: f64,
    /// The share of them that was answered so without being unsure.
    pub sure_positive_rate: f64,
    /// The share of them about which the model is unsure.
    pub unsure_rate: f64,
}

/// A figure's name, value and interval.
type NamedFigure = (&'static str, Option<f64>, Option<Interval>);

/// Runs the command.
///
/// # Errors
/// One sentence for a model file that can't be read or is wrong, a folder with labels that the model does not know or
/// without photos, and a report that can't be written.
pub fn run(args: &EvaluateArgs) -> Result<ExitCode> {
    for out in args.json.iter().chain(&args.html) {
        files::ensure_other(out, [&args.model])?;
    }
    let classifier = model_file::load(&args.model)?;
    let (photos, skipped) = judge(&classifier, &args.folder)?;
    let mut report = Report::new(classifier.spec(), &photos, skipped.len());
    if args.robustness {
        report.robustness = robustness::rows(&classifier, &photos)?;
    }
    for Skipped { file, reason } in &skipped {
        output::say(format_args!("{file}: {reason}: skipped"));
    }
    output::print(&table(&report))?;
    if let Some(path) = &args.json {
        let mut json = serde_json::to_vec_pretty(&report)?;
        json.push(b'\n');
        write_atomically(path, &json)?;
    }
    if let Some(path) = &args.html {
        let page = html::page(&report, &args.model.display().to_string(), &photos)?;
        write_atomically(path, page.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Report {
    /// The report on photos that a model with this spec judged.
    pub fn new(spec: &Spec, photos: &[Photo], skipped: usize) -> Self {
        let mut labels = BTreeMap::<&str, BTreeSet<usize>>::new();
        photos.iter().for_each(|photo| _ = labels.entry(&photo.group).or_default().insert(photo.label));
        let mut groups = BTreeMap::<String, Group>::new();
        for photo in photos {
            let Verdict { label, unsure, .. } = &photo.verdict;
            let name = match &labels[&*photo.group] {
                labels if labels.len() > 1 => format!("{}/{}", spec.labels[photo.label], photo.group),
                _ => photo.group.clone(),
            };
            let group = groups.entry(name).or_default();
            let positive = *label == spec.labels[0];
            let n = group.n as f64;
            let mean = |rate: &mut f64, more: bool| *rate = (*rate * n + f64::from(u8::from(more))) / (n + 1.0);
            mean(&mut group.positive_rate, positive);
            mean(&mut group.sure_positive_rate, positive && !unsure);
            mean(&mut group.unsure_rate, *unsure);
            group.n += 1;
        }
        let sure: Vec<Photo> = photos.iter().filter(|photo| !photo.verdict.unsure).cloned().collect();
        let sure_balanced_accuracy =
            (!sure.is_empty()).then(|| judged(&sure, &spec.labels).figures().balanced_accuracy);
        let judged = judged(photos, &spec.labels);
        Self {
            n: photos.len(),
            figures: judged.figures(),
            labels: spec.labels.clone(),
            threshold: spec.threshold,
            coverage: sure.len() as f64 / photos.len() as f64,
            sure_balanced_accuracy,
            confusion: confusion(&judged.labels, &judged.answers, spec.labels.len()),
            groups,
            intervals: judged.intervals(),
            skipped,
            robustness: Vec::new(),
        }
    }

    /// From where on the first of two labels is answered, and about how many photos the model is sure.
    fn answers(&self) -> Option<String> {
        let [positive, _] = &self.labels[..] else { return None };
        let (threshold, coverage) = (self.threshold, 100.0 * self.coverage);
        Some(format!(
            "answered {positive:?} from probability {threshold:.4} on, surely enough for {coverage:.1} % of the photos"
        ))
    }

    /// All figures by name, as far as there are any, with their intervals.
    fn rows(&self) -> Vec<NamedFigure> {
        let rows = self.figures.rows().into_iter().zip(self.intervals.rows());
        let sure =
            self.sure_balanced_accuracy.map(|accuracy| ("balanced accuracy of sure answers", Some(accuracy), None));
        rows.map(|((name, figure), interval)| (name, figure, interval)).chain(sure).collect()
    }
}

fn table(report: &Report) -> String {
    let Report { n, labels, confusion, groups, skipped, robustness, .. } = report;
    let mut text = format!("{n} photos, {skipped} files skipped; in brackets 95 % intervals\n");
    text.extend(report.answers().map(|answers| answers + "\n"));
    for (label, row) in labels.iter().zip(confusion) {
        if row.iter().sum::<usize>() == 0 {
            text += &format!("no photo of {label:?} is there: figures that need one are left out\n");
        }
    }
    text.push('\n');
    for (name, figure, interval) in report.rows() {
        // Writing to a string cannot fail.
        let _ = match (figure, interval) {
            (Some(figure), Some([low, high])) => writeln!(text, "{name:<36} {figure:.4}  [{low:.4}, {high:.4}]"),
            (Some(figure), None) => writeln!(text, "{name:<36} {figure:.4}"),
            (None, _) => writeln!(text, "{name:<36} -"),
        };
    }

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
    let answered = format!("answered {:?}", labels[0]);
    let width = answered.chars().count();
    let _ = writeln!(text, "\n\n{:<24}  {:>6}  {answered}  and sure  unsure", "group", "photos");
    for (name, Group { n, positive_rate, sure_positive_rate, unsure_rate }) in groups {
        let [positive, sure, unsure] = [positive_rate, sure_positive_rate, unsure_rate].map(|rate| 100.0 * rate);
        let _ = writeln!(text, "{name:<24}  {n:>6}  {positive:>width$.1}  {sure:>8.1}  {unsure:>6.1}");
    }
    text += "(groups in %)\n";
    if robustness.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "\n{:<32} {:>8} {:>18} {:>10} {:>7}",
        "photos", "ROC AUC", "balanced accuracy", "changed, %", "sure, %"
    );
    for robustness::Row { distortion, roc_auc, balanced_accuracy, changed, coverage } in robustness {
        let roc_auc = roc_auc.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.4}"));
        let [changed, coverage] = [changed, coverage].map(|share| 100.0 * share);
        let _ =
            writeln!(text, "{distortion:<32} {roc_auc:>8} {balanced_accuracy:>18.4} {changed:>10.1} {coverage:>7.1}");
    }
    text
}
