//! `bench photo`: from a photo to the answer in the browser, for each model that ships.

use std::{fs, net::TcpListener, process::Command};

use anyhow::Result;
use husky::shipped::SHIPPED;
use serde::Deserialize;
use serde_json::json;
use xtask::{
    dist,
    process::{root, run as run_command},
    server::Server,
};

use crate::{
    driver::Driver,
    peers, site,
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
    let dist = peers::folder()?.join("dist");
    dist::build(&dist)?;
    let folder = site::lay_out(&[(dist, "husky")])?;
    let server = Server::start(&folder, "/", TcpListener::bind("127.0.0.1:0")?)?;
    let python = peers::install_python("requirements.txt")?;
    let photo = folder.join("photo.jpg");
    run_command(Command::new(python).arg(peers::sources().join("python/photo.py")).arg(&photo))?;
    let megabytes = fs::metadata(&photo)?.len() as f64 / 1e6;
    let driver = Driver::start()?;
    // Each with its width and height.
    let models = SHIPPED.iter().map(|&(file, _)| Ok((file, size(file)?))).collect::<Result<Vec<_>>>()?;
    let mut measured = vec![[(); 3].map(|()| Samples::default()); models.len()];
    let mut browser = String::new();
    for launch in 0..launches {
        eprintln!("Launch {} of {launches}.", launch + 1);
        let fresh = driver.launch()?;
        browser = fresh.version()?;
        for ((file, size), samples) in models.iter().zip(&mut measured) {
            let facts = json!({ "file": format!("husky/models/{file}"), "size": size });
            let argument = json!({ "model": facts, "runs": RUNS });
            fresh.open(&server.url())?;
            let Times { file, frame } = fresh.read("bench.photo(argument)", &argument)?;
            fresh.open(&server.url())?;
            let own_size: Vec<f64> = fresh.read("bench.frame(argument)", &argument)?;
            samples.iter_mut().zip([file, frame, own_size]).for_each(|(samples, times)| samples.0.push(median(&times)));
        }
    }
    let file = format!("JPEG file, 4000x3000, {megabytes:.1} MB");
    let mut table = Table::new(&["model", &file, "camera frame, 640x480", "frame of its own size"]);
    for ((file, size), samples) in models.iter().zip(&measured) {
        let model = file.trim_end_matches(".safetensors");
        table.row([format!("`{model}`, {size}x{size}")].into_iter().chain(samples.iter().map(ToString::to_string)));
    }
    let report = format!(
        "Milliseconds to the answer, {browser}, {}: `cargo xtask bench photo --launches {launches}`. File and frame are \
         asked of the site's worker; the last column is a call of `classifyFrame` in the page. Medians of {launches} \
         launches, each of {RUNS} answers (smallest–largest).\n\n{table}",
        peers::machine()?,
    );
    let path = peers::folder()?.join("photo.md");
    fs::write(&path, &report)?;
    println!("{report}\nThe table is in {}", path.display());
    Ok(())
}

/// Width and height of what a model takes.
fn size(file: &str) -> Result<u32> {
    let bytes = fs::read(root().join("models").join(file))?;
    Ok(husky::weights::read(&bytes)?.0.input.size)
}
