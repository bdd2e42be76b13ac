//! A model's answers about a folder of photos with labels.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use husky::{Classifier, Verdict};
use rayon::prelude::*;

use crate::dataset::label_folders;
use crate::metrics::Judged;
use crate::photos::{self, Skipped};
use crate::progress::Progress;

/// A photo that was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    /// Its file.
    pub file: PathBuf,
    /// The true label, of the model's.
    pub label: usize,
    /// What it belongs to: the sub-folder of its label's folder or, directly in it, the beginning of its name up to the
    /// first `_`; without one, its label.
    pub group: String,
    /// The answer.
    pub verdict: Verdict,
}

/// Judges the photos below the label folders of `folder`, or of its `validation`, in parallel, by the same code as in the
/// browser. The result is the same for any number of threads.
///
/// # Errors
/// One sentence for a folder with labels that the model does not know or without photos. A file that is no photo is only
/// skipped.
pub fn judge(classifier: &Classifier, folder: &Path) -> Result<(Vec<Photo>, Vec<Skipped>)> {
    let labels = &classifier.spec().labels;
    let (training, validation) = (folder.join("training"), folder.join("validation"));
    if training.is_dir() && !validation.is_dir() {
        bail!("{}: has no folder \"validation\": name {} to judge what trains", folder.display(), training.display());
    }
    let folder = if validation.is_dir() { &validation } else { folder };
    let (folders, mut skipped) = label_folders(folder)?;
    let mut files = Vec::new();
    for folder in &folders {
        let label = labels.iter().position(|label| *label == folder.label).with_context(|| {
            format!(
                "{}: the model does not know the label {:?}, only {labels:?}: rename the folder or remove it",
                folder.path.display(),
                folder.label
            )
        })?;
        let below = |file: &PathBuf| file.strip_prefix(&folder.path).unwrap_or(file).to_owned();
        files.extend(folder.files.iter().map(|file| (file.clone(), label, below(file))));
    }
    let (judged, unreadable) = judge_files(classifier, files);
    skipped.extend(unreadable);
    skipped.sort_by(|a, b| a.file.cmp(&b.file));
    if judged.is_empty() {
        bail!("{}: no photo that can be read is there ({} files were skipped)", folder.display(), skipped.len());
    }
    Ok((judged, skipped))
}

/// Judges files, each with its true label and its path below that label's folder, likewise.
pub fn judge_files(classifier: &Classifier, files: Vec<(PathBuf, usize, PathBuf)>) -> (Vec<Photo>, Vec<Skipped>) {
    let progress = Progress::new("judging photos", files.len());
    let judge = |files: &[(PathBuf, usize, PathBuf)]| {
        let verdicts = judge_together(classifier, files.iter().map(|(file, ..)| file));
        verdicts.iter().for_each(|_| progress.step());
        verdicts
    };
    let verdicts: Vec<Result<Verdict>> = files.par_chunks(together(files.len())).flat_map_iter(judge).collect();
    let (mut judged, mut skipped) = (Vec::new(), Vec::new());
    for ((file, label, below), verdict) in files.into_iter().zip(verdicts) {
        match verdict {
            Ok(verdict) => {
                let group = group(&classifier.spec().labels[label], &below);
                judged.push(Photo { file, label, group, verdict });
            }
            Err(reason) => skipped.push(Skipped { file: file.display().to_string(), reason: format!("{reason:#}") }),
        }
    }
    (judged, skipped)
}

/// How many of `photos` one thread had better judge together: up to eight, if that leaves enough for all threads.
pub fn together(photos: usize) -> usize {
    photos.div_ceil(4 * rayon::current_num_threads()).clamp(1, 8)
}

/// The answer about each file, from one thread.
pub fn judge_together<'a>(classifier: &Classifier, files: impl Iterator<Item = &'a PathBuf>) -> Vec<Result<Verdict>> {
    let (mut found, mut photos) = (Vec::new(), Vec::new());
    for file in files {
        found.push(photos::read(file).map(|bytes| photos.push(bytes)));
    }
    let mut verdicts = classifier.classify_all(&photos).into_iter();
    found.into_iter().map(|photo| Ok(photo.map(|()| verdicts.next().expect("one for each photo"))??)).collect()
}

/// The photos as the figures want them, of a model with these labels.
pub fn judged(photos: &[Photo], labels: &[String]) -> Judged<Vec<f32>> {
    let answer = |photo: &Photo| labels.iter().position(|label| *label == photo.verdict.label);
    Judged {
        probabilities: photos.iter().map(|photo| photo.verdict.probabilities.clone()).collect(),
        labels: photos.iter().map(|photo| photo.label).collect(),
        answers: photos.iter().filter_map(answer).collect(),
    }
}

/// The path below the label's folder of a photo in `DATA/LABEL/…` or `DATA/training/LABEL/…`.
pub fn below(photo: &str, label: &str) -> PathBuf {
    photo.split('/').skip_while(|folder| *folder != label).skip(1).collect()
}

/// See [`Photo::group`]; `below` is the photo's path below its label's folder.
pub fn group(label: &str, below: &Path) -> String {
    let below: Vec<_> = below.iter().map(|name| name.to_string_lossy()).collect();
    match &below[..] {
        [sub_folder, _, ..] => sub_folder.to_string(),
        [name] => name.split_once('_').map_or(label, |(prefix, _)| prefix).to_owned(),
        [] => label.to_owned(),
    }
}
