//! `bench memory`: whether WebAssembly memory grows from answer to answer.

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::json;

use crate::{driver::Driver, models::Model, site::Site};

const ANSWERS: u32 = 10_000;

/// WebAssembly memory in bytes.
#[derive(Deserialize)]
struct Memory {
    before: usize,
    after: usize,
}

/// Prints the memory after the first answer and after the last.
///
/// # Errors
/// It grew, or something can't be built or installed.
pub fn run(model: Model) -> Result<()> {
    let site = Site::build(model)?;
    let driver = Driver::start()?;
    let launch = driver.launch()?;
    launch.open(&site.server.url())?;
    let argument = json!({ "model": site.facts(), "answers": ANSWERS });
    let Memory { before, after } = launch.read("bench.memory(argument)", &argument)?;
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    println!(
        "{}: {:.1} MB of WebAssembly memory after the first answer, {:.1} MB after {ANSWERS}",
        model.name(),
        megabytes(before),
        megabytes(after)
    );
    ensure!(after == before, "the memory grew: something is kept from answer to answer");
    Ok(())
}
