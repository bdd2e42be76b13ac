//! `bench predict`: `husky predict` over a folder of photos, decoding and all, beside Pillow and ONNX Runtime.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use xtask::{
    dist::target_folder,
    process::{cargo, run as run_command},
};

use crate::{
    models::Model,
    peers,
    table::{Samples, Table},
};

/// A program over all photos: its rate, and the most memory so far in the first tenth of the time and in all of it.
#[derive(Clone, Default)]
struct Measured {
    photos: Samples,
    early: Samples,
    memory: Samples,
}

/// Measures, prints the table and writes it beside the peers. `photos` is gone through as often as makes `count` photos.
///
/// # Errors
/// A peer can't be installed, a program fails, or there is no photo.
pub fn run(photos: &Path, count: usize, rounds: usize) -> Result<()> {
    let python = peers::install_python("requirements.txt")?;
    let files = Model::Classic.convert(&python, &peers::folder()?.join("models"))?;
    run_command(cargo().args(["build", "--quiet", "--release", "--package=trainer", "--bin=husky"]))?;
    let husky = target_folder()?.join("release/husky");
    let found = files_below(photos)?;
    ensure!(found > 0, "{} holds no photo", photos.display());
    let folders = vec![photos.to_owned(); count.div_ceil(found)];
    let total = folders.len() * found;

    let ours = || {
        let mut command = Command::new(&husky);
        command.arg("predict").arg(files.folder.join("model.safetensors")).args(&folders);
        command
    };
    let facts =
        json!({ "size": files.size, "mean": files.mean, "scale": files.scale, "temperature": files.temperature });
    let pillow = |mode: &str| {
        let mut command = Command::new(&python);
        command.arg(peers::sources().join("python/predict.py")).arg(files.folder.join("model.onnx"));
        command.arg(facts.to_string()).arg(mode).args(&folders);
        command
    };
    let version = |package| peers::version("requirements.txt", package);
    let pillow_title = format!("Pillow {}, ONNX Runtime {}", version("pillow")?, version("onnxruntime")?);
    let programs: [(String, &dyn Fn() -> Command); 3] = [
        ("`husky predict`".into(), &ours),
        (pillow_title.clone(), &|| pillow("full")),
        (format!("{pillow_title}, JPEG drafts"), &|| pillow("draft")),
    ];
    let mut measured = vec![Measured::default(); programs.len()];
    for round in 0..rounds {
        eprintln!("Round {} of {rounds}.", round + 1);
        for i in 0..programs.len() {
            let i = (i + round) % programs.len();
            measure(&mut programs[i].1(), total, &mut measured[i])?;
        }
    }
    let headings = ["program", "photos/s", "ours to it", "memory after a tenth, MB", "at most, MB"];
    let mut table = Table::new(&headings);
    for ((title, _), program) in programs.iter().zip(&measured) {
        let ratio = format!("{:.2}x", measured[0].photos.ratio(&program.photos));
        table.row([
            title.clone(),
            program.photos.to_string(),
            ratio,
            program.early.to_string(),
            program.memory.to_string(),
        ]);
    }
    let report = format!(
        "`classic` over {total} photos of a folder ({found}, {} times), decoding and all, on all cores of {}: `cargo xtask \
         bench predict --photos FOLDER --count {count} --rounds {rounds}`. Medians of {rounds} rounds \
         (smallest–largest).\n\n{table}",
        folders.len(),
        peers::machine()?,
    );
    let path = peers::folder()?.join("predict.md");
    fs::write(&path, &report)?;
    println!("{report}\nThe table is in {}", path.display());
    Ok(())
}

/// Runs a program to its end. Files that are no photos may make it exit with 1.
fn measure(command: &mut Command, photos: usize, measured: &mut Measured) -> Result<()> {
    let start = Instant::now();
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("a program can't be started")?;
    let mut peaks = Vec::new();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peaks.extend(peak_memory(child.id()));
        std::thread::sleep(Duration::from_millis(20));
    };
    let seconds = start.elapsed().as_secs_f64();
    ensure!(matches!(status.code(), Some(0 | 1)), "{:?} failed ({status})", command.get_program());
    measured.photos.0.push(photos as f64 / seconds);
    measured.early.0.push(peaks.get(peaks.len() / 10).copied().unwrap_or(f64::NAN));
    measured.memory.0.push(peaks.last().copied().unwrap_or(f64::NAN));
    Ok(())
}

/// The most memory of a process that was ever resident, in MB; nothing where it has just ended.
fn peak_memory(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1000.0)
}

fn files_below(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path: PathBuf = entry?.path();
        count += if path.is_dir() { files_below(&path)? } else { 1 };
    }
    Ok(count)
}
