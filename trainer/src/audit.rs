//! `husky audit`: what is wrong with a data set, before a network learns it.

mod duplicates;
mod html;
mod labels;
mod patches;
mod scenes;
mod shortcuts;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::files::{self, write_atomically};
use crate::photos::Skipped;
use crate::scan::{Scan, scan};
use crate::{model_file, output};
use patches::SharedPatch;
use shortcuts::{SUSPICIOUS, Shortcut};

/// Find what is wrong with a data set
///
/// Must be mended, and the exit code is 1: files that are no photos, the same file more than once, and one shot (resized,
/// compressed anew, mirrored, cropped) under two labels or in both parts. Should be looked at: one shot more than once
/// otherwise, one scene in both parts, labels that a network doubts which did not see the photo, labels with few photos,
/// properties of the files that alone tell the labels apart, and marks that many photos of one label share.
///
/// Example: husky audit DATA --model models/husky.safetensors --html audit.html
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// Folder with training/LABEL/… and validation/LABEL/…, or LABEL/… alone
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// A model, of any labels, on whose features labels and scenes are judged; without it they are not
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Move what must be mended into the folder `quarantine` beside DATA, each file under its old path. Of equal files the
    /// first that is no link stays, of a shot in both parts the validation photo, of one under two labels none
    #[arg(long)]
    pub fix: bool,
    /// Write a page with the photos that it is about
    #[arg(long, value_name = "FILE", value_parser = files::new_file())]
    pub html: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// All that was found. Photos are named by their path below the data set's folder.
#[derive(Debug, Serialize)]
struct Report {
    photos: usize,
    labels: Vec<Count>,
    /// Files that are no photos.
    broken: Vec<Skipped>,
    /// Groups of equal files.
    exact: Vec<Vec<String>>,
    near: Vec<Pair>,
    /// Photos, least probable label first; nothing where no model was given.
    suspects: Option<Vec<Suspect>>,
    /// Strongest first.
    shortcuts: Vec<Shortcut>,
    patches: Vec<SharedPatch>,
    /// Files that `--fix` moved, or would.
    quarantine: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Count {
    label: String,
    training: usize,
    validation: usize,
}

/// Two photos that are one shot, or of one scene.
#[derive(Debug, Serialize)]
struct Pair {
    photos: [String; 2],
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Problem {
    /// One of the labels is wrong.
    TwoLabels,
    /// Learnt by heart, it would be judged.
    BothParts,
    /// It counts twice.
    Repeated,
    /// Another shot of what was learned is judged.
    SameScene,
}

/// A photo whose label may be wrong.
#[derive(Debug, Serialize)]
struct Suspect {
    photo: String,
    label: String,
    /// What a network gives the label that did not see the photo.
    probability: f32,
}

/// A label with less than this share of the photos of the largest is named.
const IMBALANCE: f64 = 0.2;
/// Suspects that are printed, and pairs of a kind that must not be mended.
const PRINTED: usize = 20;

/// Runs the command; exit code 1 says that something must be mended, and was not by `--fix`.
///
/// # Errors
/// One sentence for a folder, model or page that can't be read or written.
pub fn run(args: &AuditArgs) -> Result<ExitCode> {
    let model = args.model.as_deref().map(model_file::load).transpose()?;
    let scan = scan(&args.data, model.as_ref())?;
    let (report, moved) = audit(&scan, args.model.is_some())?;
    if let Some(path) = &args.html {
        write_atomically(path, html::page(&report, &args.data)?.as_bytes())?;
    }
    output::print(&if args.json { serde_json::to_string(&report)? + "\n" } else { report.text() })?;
    let is_clean = moved.is_empty();
    if args.fix {
        let quarantine = quarantine(&args.data, &moved)?;
        if !is_clean {
            output::say(format_args!("{} files were moved to {}", moved.len(), quarantine.display()));
        }
    }
    Ok(if is_clean || args.fix { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The report, and the files that must go.
fn audit(Scan { labels, photos, broken }: &Scan, with_model: bool) -> Result<(Report, Vec<PathBuf>)> {
    let exact = duplicates::exact(photos);
    let near = duplicates::near(photos);
    let groups =
        groups(photos.len(), exact.iter().flat_map(|group| group.windows(2)).chain(near.iter().map(|pair| &pair[..])));
    let name = |photo: usize| photos[photo].name.clone();
    let suspects = if with_model {
        let own = labels::own_probabilities(photos, labels.len(), &groups)?;
        let mut order: Vec<usize> = (0..photos.len()).collect();
        order.sort_by(|&a, &b| own[a].total_cmp(&own[b]));
        let suspect = |photo: usize| Suspect {
            photo: name(photo),
            label: labels[photos[photo].label].clone(),
            probability: own[photo],
        };
        Some(order.into_iter().take(photos.len().div_ceil(10)).map(suspect).collect())
    } else {
        None
    };
    let mut must_go: BTreeSet<PathBuf> = broken.iter().map(|skipped| PathBuf::from(&skipped.file)).collect();
    for group in &exact {
        let pair = |&photo: &usize| (photos[photo].label, photos[photo].in_validation);
        let first = pair(&group[0]);
        // Under two labels, none is to be trusted; in both parts, the validation photo stays. A link would lead nowhere then.
        let stays = match group.iter().all(|photo| pair(photo).0 == first.0) {
            false => None,
            true => group.iter().min_by_key(|&photo| (photos[*photo].file.is_symlink(), !pair(photo).1)),
        };
        must_go.extend(group.iter().filter(|&photo| Some(photo) != stays).map(|&photo| photos[photo].file.clone()));
    }
    let mut pairs = Vec::new();
    for &[a, b] in &near {
        let (first, second) = (&photos[a], &photos[b]);
        let problem = if first.label != second.label {
            must_go.extend([first.file.clone(), second.file.clone()]);
            Problem::TwoLabels
        } else if first.in_validation != second.in_validation {
            must_go.insert(if first.in_validation { second } else { first }.file.clone());
            Problem::BothParts
        } else {
            Problem::Repeated
        };
        pairs.push(Pair { photos: [name(a), name(b)], problem });
    }
    pairs.sort_by_key(|pair| pair.problem);
    if with_model {
        let leaks = scenes::leaks(photos, &near).into_iter();
        pairs.extend(leaks.map(|[a, b]| Pair { photos: [name(a), name(b)], problem: Problem::SameScene }));
    }
    let count = |label: usize, in_validation: bool| {
        photos.iter().filter(|photo| (photo.label, photo.in_validation) == (label, in_validation)).count()
    };
    let counts = labels.iter().enumerate().map(|(i, label)| Count {
        label: label.clone(),
        training: count(i, false),
        validation: count(i, true),
    });
    let must_go: Vec<PathBuf> = must_go.into_iter().collect();
    let report = Report {
        photos: photos.len(),
        labels: counts.collect(),
        broken: broken.clone(),
        exact: exact.into_iter().map(|group| group.into_iter().map(name).collect()).collect(),
        near: pairs,
        suspects,
        shortcuts: shortcuts::shortcuts(photos, labels),
        patches: patches::shared(photos, labels),
        quarantine: must_go.iter().map(|file| file.display().to_string()).collect(),
    };
    Ok((report, must_go))
}

/// For each photo the first of those that it is linked with, directly or through others.
fn groups<'a>(count: usize, links: impl Iterator<Item = &'a [usize]>) -> Vec<usize> {
    let mut group: Vec<usize> = (0..count).collect();
    for link in links {
        let (keep, join) = (group[link[0]].min(group[link[1]]), group[link[0]].max(group[link[1]]));
        group.iter_mut().filter(|group| **group == join).for_each(|group| *group = keep);
    }
    group
}

/// Moves files out of the data set, each under its old path, and says where to. Nothing is written over.
fn quarantine(data: &Path, files: &[PathBuf]) -> Result<PathBuf> {
    let data = fs::canonicalize(data).with_context(|| data.display().to_string())?;
    let folder = data.with_file_name("quarantine");
    for file in files {
        // A link moves itself and not what it leads to, which may be the photo that stays.
        let (parent, name) = file.parent().zip(file.file_name()).context("a photo lies in a folder")?;
        let from = fs::canonicalize(parent).with_context(|| parent.display().to_string())?.join(name);
        let below = from.strip_prefix(&data).with_context(|| {
            format!(
                "{}: lies in a folder outside of the data set, which --fix leaves alone: remove it by hand",
                file.display()
            )
        })?;
        let to = folder.join(below);
        ensure!(fs::symlink_metadata(&to).is_err(), "{}: is there already: move it away first", to.display());
        let parent = to.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).with_context(|| format!("{}: cannot be made", parent.display()))?;
        fs::rename(&from, &to).with_context(|| format!("{}: cannot be moved to {}", from.display(), to.display()))?;
    }
    Ok(folder)
}

impl Report {
    fn text(&self) -> String {
        let mut text = format!("{} photos\n", self.photos);
        // Writing to a string cannot fail, here and below.
        let mut line = |line: String| _ = writeln!(text, "{line}");
        for Count { label, training, validation } in &self.labels {
            line(format!("  {label}: {training} for training, {validation} for validation"));
        }
        line(format!("\nMust be mended: {} files", self.quarantine.len()));
        self.broken.iter().for_each(|skipped| line(format!("  no photo     {}: {}", skipped.file, skipped.reason)));
        self.exact.iter().for_each(|group| line(format!("  same file    {}", group.join(", "))));
        for Pair { photos: [a, b], problem } in &self.near {
            match problem {
                Problem::TwoLabels => line(format!("  two labels   {a}, {b}")),
                Problem::BothParts => line(format!("  both parts   {a}, {b}")),
                Problem::Repeated | Problem::SameScene => {}
            }
        }
        line("\nShould be looked at:".to_owned());
        for (problem, what) in [(Problem::Repeated, "one shot    "), (Problem::SameScene, "one scene   ")] {
            let pairs: Vec<&Pair> = self.near.iter().filter(|pair| pair.problem == problem).collect();
            for Pair { photos: [a, b], .. } in pairs.iter().take(PRINTED) {
                line(format!("  {what} {a}, {b}"));
            }
            if let more @ 1.. = pairs.len().saturating_sub(PRINTED) {
                line(format!("  {what} and {more} more pairs: --json or --html"));
            }
        }
        match &self.suspects {
            None => line("  labels       not judged, nor scenes: name a model with --model".to_owned()),
            Some(suspects) => {
                let doubted = suspects.iter().filter(|suspect| suspect.probability < 0.5).take(PRINTED);
                for Suspect { photo, label, probability } in doubted {
                    line(format!("  label        {photo}: {label} with {:.1} % only", 100.0 * probability));
                }
            }
        }
        let largest = self.labels.iter().map(|count| count.training).max().unwrap_or_default() as f64;
        for Count { label, training, .. } in &self.labels {
            if (*training as f64) < IMBALANCE * largest {
                line(format!(
                    "  imbalance    {label}: {training} photos, {:.0} times fewer than the most",
                    largest / *training as f64
                ));
            }
        }
        for Shortcut { property, label, roc_auc } in
            self.shortcuts.iter().filter(|shortcut| shortcut.roc_auc >= SUSPICIOUS)
        {
            line(format!("  shortcut     {property} alone tells {label} with a ROC AUC of {roc_auc:.3}"));
        }
        for SharedPatch { label, place: [left, top], count, .. } in &self.patches {
            line(format!(
                "  shared mark  {count} photos of {label} are alike at {left} % from the left and {top} % from the top"
            ));
        }
        text
    }
}
