//! A run with a callback of its own, which stops it when time is up:
//! `cargo run --release -p trainer --example callback -- PHOTOS RUN`.

use std::env::args;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use trainer::callback::Callback;
use trainer::checkpoint::State;
use trainer::config::Config;
use trainer::presets::Preset;
use trainer::train::Run;

/// Ends a run after the epoch in which time is up. `Run::resume` takes it up again.
struct Deadline(Instant);

impl Callback for Deadline {
    fn on_epoch_end(&mut self, folder: &Path, state: &State) -> Result<ControlFlow<String>> {
        if Instant::now() < self.0 {
            return Ok(ControlFlow::Continue(()));
        }
        let epochs = state.history.len();
        Ok(ControlFlow::Break(format!("time is up after {epochs} epochs; {} holds the best", folder.display())))
    }
}

fn main() -> Result<()> {
    let (photos, folder) = args().nth(1).zip(args().nth(2)).context("name a folder of photos and one for the run")?;
    let mut run = Run::start(Path::new(&folder), Config::new(Path::new(&photos), Preset::Quick)?)?;
    run.add(Deadline(Instant::now() + Duration::from_secs(60)));
    run.train()?;
    Ok(())
}
