//! The engines that ours is measured beside. Nothing of them is shipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use xtask::{
    peers,
    process::{read, root},
};

/// The benchmark's files in the repository.
pub fn sources() -> PathBuf {
    root().join("bench")
}

/// Where models are written for the peers, and tables of what was measured.
///
/// # Errors
/// The folder can't be made.
pub fn folder() -> Result<PathBuf> {
    let folder = peers::folder()?.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

/// Installs what `package.json` names; returns the folder `node_modules`.
///
/// # Errors
/// npm is not there or fails.
pub fn install_javascript() -> Result<PathBuf> {
    peers::install_javascript(&sources().join("package.json"), "bench")
}

/// Installs what `requirements` (a file of the benchmark's) names; returns its Python.
///
/// # Errors
/// Python is not there or pip fails.
pub fn install_python(requirements: &str) -> Result<PathBuf> {
    let name = Path::new(requirements).with_extension("");
    peers::install_python(&sources().join(requirements), &format!("bench-{}", name.display()))
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
