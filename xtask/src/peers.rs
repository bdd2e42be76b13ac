//! Other programs that ours is held to or measured beside: installed from npm and PyPI, in pinned versions, into cargo's
//! target folder. Nothing of them is shipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{dist::target_folder, process::run};

/// Where they are installed.
///
/// # Errors
/// The folder can't be made.
pub fn folder() -> Result<PathBuf> {
    let folder = target_folder()?.join("peers");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

/// Installs what a `package.json` names into `folder()/NAME`, unless that is done; returns the folder `node_modules`.
///
/// # Errors
/// npm is not there or fails.
pub fn install_javascript(package: &Path, name: &str) -> Result<PathBuf> {
    let folder = folder()?.join(name);
    once(&folder.join("npm.done"), package, || {
        eprintln!("Installing what {} names with npm.", package.display());
        fs::create_dir_all(&folder)?;
        fs::copy(package, folder.join("package.json"))?;
        let options = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(options).current_dir(&folder)).context("peers are installed with npm")
    })?;
    Ok(folder.join("node_modules"))
}

/// Installs what a file of requirements names into the virtual environment `folder()/NAME`, unless that is done; returns its
/// Python.
///
/// # Errors
/// Python is not there or pip fails.
pub fn install_python(requirements: &Path, name: &str) -> Result<PathBuf> {
    let environment = folder()?.join(name);
    let python = environment.join("bin/python");
    once(&environment.join("pip.done"), requirements, || {
        eprintln!("Installing what {} names with pip.", requirements.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment)).context("peers need Python 3")?;
        // Not compiled: Python does that with what it imports, and most of it never is.
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-compile", "--requirement"])
            .arg(requirements))
    })?;
    Ok(python)
}

/// Does what makes `done` a copy of `recipe`, unless it is one.
fn once(done: &Path, recipe: &Path, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = fs::read(recipe).with_context(|| format!("{} cannot be read", recipe.display()))?;
    if fs::read(done).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    act()?;
    Ok(fs::write(done, wanted)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_installed_is_installed_again_only_for_another_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let [done, recipe] = ["done", "recipe"].map(|name| folder.path().join(name));
        let mut times = 0;
        for text in ["a", "a", "b"] {
            fs::write(&recipe, text).unwrap();
            once(&done, &recipe, || {
                times += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(times, 2);
        fs::write(&recipe, "c").unwrap();
        once(&done, &recipe, || anyhow::bail!("no network")).unwrap_err();
        assert_eq!(fs::read(&done).unwrap(), b"b");
    }
}
