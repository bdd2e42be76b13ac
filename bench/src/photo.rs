//! `bench photo`: from a photo to the answer in the browser, on the worker's way.

use std::{fs, process::Command};

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use xtask::process::run as run_command;

use crate::{
    driver::Driver,
    models::Model,
    peers,
    site::Site,
    table::{Samples, Table, median},
};

/// Photos of a launch.
const RUNS: usize = 15;

/// Milliseconds.
#[derive(Deserialize)]
struct Times {
    file: Vec<f64>,
    frame: Vec<f64>,
}

/// Measures, prints the table and writes it beside the peers.
///
/// # Errors
/// Something can't be built or installed.
pub fn run(launches: usize) -> Result<()> {
    let site = Site::build(Model::Classic)?;
    let python = peers::install_python("requirements.txt")?;
    let photo = site.folder.join("photo.jpg");
    run_command(Command::new(python).arg(peers::sources().join("python/photo.py")).arg(&photo))?;
    let megabytes = fs::metadata(&photo)?.len() as f64 / 1e6;
    let driver = Driver::start()?;
    let (mut file, mut frame) = (Samples::default(), Samples::default());
    let mut browser = String::new();
    for launch in 0..launches {
        eprintln!("Launch {} of {launches}.", launch + 1);
        let fresh = driver.launch()?;
        browser = fresh.version()?;
        fresh.open(&site.server.url())?;
        let times: Times = fresh.read("bench.photo(argument)", &json!({ "model": site.facts(), "runs": RUNS }))?;
        file.0.push(median(&times.file));
        frame.0.push(median(&times.frame));
    }
    let mut table = Table::new(&["from", "to the answer, ms"]);
    table.row([format!("JPEG file, 4000x3000, {megabytes:.1} MB"), file.to_string()]);
    table.row(["camera frame, 640x480".to_owned(), frame.to_string()]);
    let report = format!(
        "`classic` in the site's worker, {browser}, {}: `cargo xtask bench photo --launches {launches}`. Medians of \
         {launches} launches, each of {RUNS} photos (smallest–largest).\n\n{table}",
        peers::machine()?,
    );
    let path = peers::folder()?.join("photo.md");
    fs::write(&path, &report)?;
    println!("{report}\nThe table is in {}", path.display());
    Ok(())
}
