//! `bench kernels`: the engine's kernels one by one, natively and in headless Chromium, beside a loop that only
//! multiplies and adds.

use std::{fs, net::TcpListener, time::Instant};

use anyhow::{Result, ensure};
use bench::kernels::{self, ROUNDS};
use husky::spec::Shape;
use serde_json::Value;
use xtask::server::Server;

use crate::{
    driver::Driver,
    peers, site,
    table::{Samples, Table, median},
};

/// What a kernel did, launch by launch.
#[derive(Clone, Default)]
struct Measured {
    /// Operations a millisecond.
    rate: Samples,
    /// The same of the peak loop.
    peak: Samples,
}

/// Measures, prints the table and writes it beside the peers.
///
/// # Errors
/// Something can't be built or installed.
pub fn run(launches: usize) -> Result<()> {
    let folder = site::lay_out(&[(site::compile()?, "candle")])?;
    let server = Server::start(&folder, "/", TcpListener::bind("127.0.0.1:0")?)?;
    let driver = Driver::start()?;
    let kernels = kernels::all()?;
    let mut native = vec![Measured::default(); kernels.len()];
    let mut page = native.clone();
    let mut browser = String::new();
    for launch in 0..launches {
        eprintln!("Launch {} of {launches}.", launch + 1);
        let start = Instant::now();
        add(&mut native, &kernels::measure(&kernels, || start.elapsed().as_secs_f64() * 1000.0));
        let fresh = driver.launch()?;
        browser = fresh.version()?;
        fresh.open(&server.url())?;
        let rates: Vec<f64> = fresh.read("bench.kernels()", &Value::Null)?;
        ensure!(rates.len() == kernels.len() * ROUNDS * 2, "the page measured other kernels");
        add(&mut page, rates.as_chunks().0);
    }
    let headings = ["kernel", "input", "output", "native, GFLOP/s", "of peak", "browser, GFLOP/s", "of peak"];
    let mut table = Table::new(&headings);
    for ((kernel, native), page) in kernels.iter().zip(&native).zip(&page) {
        let mut row = vec![kernel.name.to_owned(), shape(kernel.input), shape(kernel.output)];
        for measured in [native, page] {
            row.push(format!("{:.1}", measured.rate.median() / 1e6));
            row.push(format!("{:.0} %", 100.0 * measured.rate.ratio(&measured.peak)));
        }
        table.row(row);
    }
    let peak = |all: &[Measured]| median(&all.iter().map(|kernel| kernel.peak.median()).collect::<Vec<_>>()) / 1e6;
    let report = format!(
        "The engine's kernels, batch 1, one thread, {browser} with relaxed SIMD, {}: `cargo xtask bench kernels \
         --launches {launches}`. Medians of {launches} launches of {ROUNDS} rounds. The peak is a loop that only \
         multiplies and adds in registers, run in turn with each kernel: {:.1} GFLOP/s natively, {:.1} in the browser. \
         Operations are those of direct convolution, two for each product; Winograd does a quarter of the products, so \
         it may pass the peak. The dense layer reads 12.8 MB of weights, and none of its inputs is zero.\n\n{table}",
        peers::machine()?,
        peak(&native),
        peak(&page),
    );
    let path = peers::folder()?.join("kernels.md");
    fs::write(&path, &report)?;
    println!("{report}\nThe table is in {}", path.display());
    Ok(())
}

/// Adds a launch: the medians of its rounds.
fn add(all: &mut [Measured], rates: &[[f64; 2]]) {
    for (measured, rounds) in all.iter_mut().zip(rates.chunks(ROUNDS)) {
        let median_of = |i: usize| median(&rounds.iter().map(|rates| rates[i]).collect::<Vec<_>>());
        measured.rate.0.push(median_of(0));
        measured.peak.0.push(median_of(1));
    }
}

fn shape(shape: Shape) -> String {
    match shape {
        Shape::Image { height, width, channels } => format!("{height}x{width}x{channels}"),
        Shape::Vector(length) => length.to_string(),
    }
}
