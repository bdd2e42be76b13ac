//! Trains on a folder of photos, as `husky train` does: `cargo run --release -p trainer --example train -- PHOTOS RUN`.

use std::env::args;
use std::path::Path;

use anyhow::{Context, Result};
use trainer::config::Config;
use trainer::model_file;
use trainer::presets::Preset;
use trainer::train::Run;

fn main() -> Result<()> {
    let (photos, folder) = args().nth(1).zip(args().nth(2)).context("name a folder of photos and one for the run")?;
    let (photos, folder) = (Path::new(&photos), Path::new(&folder));
    // Small and quick; whatever isn't said here is as on the command line.
    let config = Config { epochs: 5, learning_rate: 2e-3, ..Config::new(photos, Preset::Quick)? };
    Run::start(folder, config)?.train()?;
    let model = model_file::load(&folder.join("model.safetensors"))?;
    println!("it tells apart: {}", model.spec().labels.join(", "));
    Ok(())
}
