//! Which folders are labels.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::photos::{self, Skipped};

/// A label and the files below its folder, sorted by path. Nothing is known of them yet.
#[derive(Debug)]
pub struct LabelFolder {
    /// The folder's name.
    pub label: String,
    /// The folder.
    pub path: PathBuf,
    /// What may be photos.
    pub files: Vec<PathBuf>,
}

/// What a data set's folder holds.
#[derive(Debug)]
pub(crate) struct Layout {
    pub training: Vec<LabelFolder>,
    /// `None` where it is to be split off.
    pub validation: Option<Vec<LabelFolder>>,
    pub skipped: Vec<Skipped>,
}

impl Layout {
    pub fn of(folder: &Path) -> Result<Self> {
        let [training, validation] = ["training", "validation"].map(|part| folder.join(part));
        match (training.is_dir(), validation.is_dir()) {
            (true, true) => {
                let (training, mut skipped) = label_folders(&training)?;
                let (validation, more) = label_folders(&validation)?;
                skipped.extend(more);
                Ok(Self { training, validation: Some(validation), skipped })
            }
            (false, true) => bail!(
                "{}: there is a folder `validation` but none called `training`: add it, or put the label folders \
                 directly there to have the validation part split off",
                folder.display()
            ),
            (given, false) => {
                let (training, skipped) = label_folders(if given { &training } else { folder })?;
                Ok(Self { training, validation: None, skipped })
            }
        }
    }
}

/// The folders directly in `folder`, each a label, sorted, and what could not be looked at. Files beside them are left
/// alone unless they are named like photos.
///
/// # Errors
/// Where `folder` can't be listed, holds no folder, or one with a name that is not UTF-8.
pub fn label_folders(folder: &Path) -> Result<(Vec<LabelFolder>, Vec<Skipped>)> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut entries = list().with_context(|| format!("{}: this folder can't be read", folder.display()))?;
    entries.retain(|path| !photos::is_hidden(path));
    entries.sort();
    let (mut folders, mut skipped) = (Vec::new(), Vec::new());
    for path in entries {
        if !path.is_dir() {
            if is_named_like_a_photo(&path) {
                let reason = "lies beside the label folders: move it into one".to_owned();
                skipped.push(Skipped { file: path.display().to_string(), reason });
            }
            continue;
        }
        let Some(label) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            bail!("{}: the name of a label's folder must be valid UTF-8: rename it", path.display());
        };
        let (files, unseen) = photos::find(&path);
        skipped.extend(unseen);
        folders.push(LabelFolder { label, path, files });
    }
    if folders.is_empty() && !skipped.is_empty() {
        bail!(
            "{}: photos lie directly in it, but their label is the name of the folder around them: name the folder above",
            folder.display()
        );
    }
    if folders.is_empty() {
        bail!(
            "{}: no folder is there: make one for each label, named like it, and put its photos inside",
            folder.display()
        );
    }
    Ok((folders, skipped))
}

fn is_named_like_a_photo(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    matches!(&extension[..], "jpg" | "jpeg" | "png" | "webp" | "gif" | "bmp")
}
