//! The engines that ours is measured beside: installed from npm and PyPI, in pinned versions, into cargo's target
//! folder. Nothing of them is shipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use xtask::{
    dist::target_folder,
    process::{read, root, run},
};

/// The benchmark's files in the repository.
pub fn sources() -> PathBuf {
    root().join("bench")
}

/// Where the peers are installed and models are written for them.
///
/// # Errors
/// The folder can't be made.
pub fn folder() -> Result<PathBuf> {
    let folder = target_folder()?.join("bench-peers");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

/// Installs what `package.json` names, unless that is done; returns the folder `node_modules`.
///
/// # Errors
/// npm is not there or fails.
pub fn install_javascript() -> Result<PathBuf> {
    let folder = folder()?;
    once(&folder.join("npm.done"), &sources().join("package.json"), || {
        eprintln!("Installing the JavaScript peers with npm.");
        fs::copy(sources().join("package.json"), folder.join("package.json"))?;
        let options = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(options).current_dir(&folder)).context("the bench installs peers with npm")
    })?;
    Ok(folder.join("node_modules"))
}

/// Installs what `requirements` (a file of the benchmark's) names into a virtual environment of its own, unless that is
/// done; returns its Python.
///
/// # Errors
/// Python is not there or pip fails.
pub fn install_python(requirements: &str) -> Result<PathBuf> {
    let name = Path::new(requirements).with_extension("");
    let environment = folder()?.join(name);
    let python = environment.join("bin/python");
    let requirements = sources().join(requirements);
    once(&environment.join("pip.done"), &requirements, || {
        eprintln!("Installing {} with pip.", requirements.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment)).context("the bench needs Python 3")?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements))
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

/// The version of a package in `package.json` or a file of requirements, for the tables.
///
/// # Errors
/// It is not named there.
pub fn version(file: &str, package: &str) -> Result<String> {
    let text = fs::read_to_string(sources().join(file))?;
    let line = text.lines().find(|line| line.trim_start_matches([' ', '"']).starts_with(package));
    let line = line.with_context(|| format!("{file} does not name {package}"))?;
    Ok(line.trim_end_matches(['"', ',']).rsplit(['"', '=']).next().unwrap_or_default().to_owned())
}

/// A line about the machine and the day, for the tables.
///
/// # Errors
/// There is no `date`.
pub fn machine() -> Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let day = read(Command::new("date").arg("+%F"))?;
    Ok(format!("{} ({threads} cores), {day}", model.map_or("unknown processor", |(_, name)| name)))
}
