//! `bench browser`: the site's own build beside other engines, in headless Chromium.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use xtask::{server::Server, sizes::Sizes};

use crate::{
    driver::{Driver, Launch},
    models::Model,
    peers,
    site::Site,
    table::{Samples, Table, median},
};

/// Ours.
const HUSKY: &str = "husky";
/// The machine's limit, measured like an engine.
const PEAK: &str = "peak";
/// Floating-point operations of its run, as `page/engines/peak.js` has them.
const PEAK_OPERATIONS: f64 = 200e6;
/// Engines on a page like any other: name in `page/engines`, and in the table.
const ENGINES: [(&str, &str); 5] = [
    (HUSKY, "Husky AI"),
    ("tfjs", "TensorFlow.js {tfjs-core}, wasm"),
    ("onnx", "ONNX Runtime Web {onnxruntime-web}, 1 thread"),
    ("candle", "candle, stock"),
    FUSED,
];
/// The engine that differs from the one before it only where a max pool follows a convolution.
const FUSED: (&str, &str) = ("candle-fused", "candle, convolution, ReLU and pool fused");
/// The engine that needs a page that is isolated from other origins.
const THREADS: (&str, &str) = ("onnx-threads", "ONNX Runtime Web {onnxruntime-web}, 2 threads");
/// Pictures on which all engines must agree.
const PICTURES: usize = 8;
/// The largest difference of two engines' probabilities.
const TOLERANCE: f64 = 1e-4;
/// Rounds of a launch, and forward passes of each engine in a round.
const ROUNDS: usize = 15;
const RUNS: usize = 5;

/// What the page tells about an engine.
#[derive(Deserialize)]
struct Steady {
    probabilities: Vec<f64>,
    milliseconds: Vec<f64>,
}

#[derive(Deserialize)]
struct Cold {
    milliseconds: f64,
    probability: f64,
    files: Vec<String>,
}

/// An engine over all launches.
#[derive(Default)]
struct Measured {
    milliseconds: Samples,
    cold: Samples,
    files: BTreeSet<String>,
}

/// Measures, prints the table and writes it beside the peers.
///
/// # Errors
/// Something can't be built or installed, or two engines disagree.
pub fn run(model: Model, launches: usize) -> Result<()> {
    let site = Site::build(model)?;
    let engines = engines(model);
    let driver = Driver::start()?;
    let names: Vec<&str> = engines.iter().map(|(name, _)| *name).chain([PEAK]).collect();
    let mut measured: BTreeMap<&str, Measured> = BTreeMap::new();
    let mut browser = String::new();
    for launch in 0..launches {
        eprintln!("Launch {} of {launches}.", launch + 1);
        let fresh = driver.launch()?;
        browser = fresh.version()?;
        let mut results = site.steady(&fresh, &site.server, &names, launch)?;
        // On the isolated page ours runs, too, so that the page's warm-up is alike; only the threads are taken.
        let mut isolated = site.steady(&fresh, &site.isolated, &[HUSKY, THREADS.0], launch)?;
        results.extend(isolated.remove(THREADS.0).map(|threads| (THREADS.0.to_owned(), threads)));
        let ours = results[HUSKY].probabilities.clone();
        for (name, result) in &results {
            if name != PEAK {
                agree(name, &result.probabilities, &ours)?;
            }
        }
        for &name in names.iter().chain([&THREADS.0]) {
            measured.entry(name).or_default().milliseconds.0.push(median(&results[name].milliseconds));
        }
        for i in 0..engines.len() {
            let (name, _) = engines[(i + launch) % engines.len()];
            let cold = site.cold(&driver.launch()?, name)?;
            agree(name, &[cold.probability], &ours[..1])?;
            let engine = measured.entry(name).or_default();
            engine.cold.0.push(cold.milliseconds);
            engine.files.extend(cold.files);
        }
    }
    let report = site.report(&measured, &browser, launches)?;
    let path = peers::folder()?.join(format!("browser-{}.md", model.name()));
    fs::write(&path, &report)?;
    println!("{report}\nThe table is in {}", path.display());
    Ok(())
}

/// Those of [`ENGINES`] that differ on the model.
fn engines(model: Model) -> Vec<(&'static str, &'static str)> {
    ENGINES.into_iter().filter(|&engine| engine != FUSED || matches!(model, Model::Classic)).collect()
}

fn agree(name: &str, probabilities: &[f64], ours: &[f64]) -> Result<()> {
    for (theirs, ours) in probabilities.iter().zip(ours) {
        // Written so that NaN does not pass.
        let equal = (theirs - ours).abs() <= TOLERANCE;
        ensure!(equal, "{name} answers {theirs} where {HUSKY} answers {ours}: what differs can't be compared");
    }
    Ok(())
}

impl Site {
    fn steady(
        &self,
        browser: &Launch<'_>,
        server: &Server,
        names: &[&str],
        launch: usize,
    ) -> Result<BTreeMap<String, Steady>> {
        browser.open(&server.url())?;
        let argument = json!({
            "names": names, "model": self.facts(), "pictures": PICTURES, "rounds": ROUNDS, "runs": RUNS, "first": launch,
        });
        browser.read("bench.steady(argument)", &argument)
    }

    fn cold(&self, browser: &Launch<'_>, name: &str) -> Result<Cold> {
        let task = json!({ "name": name, "model": self.facts() }).to_string();
        // What JSON has and an address may not.
        let task: String = task.bytes().map(|byte| format!("%{byte:02X}")).collect();
        browser.open(&format!("{}#{task}", self.server.url()))?;
        browser.read("bench.cold", &Value::Null)
    }

    /// The whole of what the README shows.
    fn report(&self, measured: &BTreeMap<&str, Measured>, browser: &str, launches: usize) -> Result<String> {
        let headings = ["engine", "ms", "to ours", "cold load, ms", "to ours", "runtime, kB", "model, kB"];
        let mut table = Table::new(&headings);
        let sizes = self.sizes(measured)?;
        let ours = &measured[HUSKY];
        for (name, title) in engines(self.model).into_iter().chain([THREADS]) {
            let engine = &measured[name];
            let mut row = vec![titled(title)?, engine.milliseconds.to_string()];
            row.push(format!("{:.2}x", engine.milliseconds.ratio(&ours.milliseconds)));
            if engine.cold.0.is_empty() {
                row.extend(["", "", "", ""].map(str::to_owned));
            } else {
                row.push(engine.cold.to_string());
                row.push(format!("{:.2}x", engine.cold.ratio(&ours.cold)));
                let (models, runtime): (Vec<_>, Vec<_>) = engine.paths().partition(|path| path.starts_with("models/"));
                let total = |paths: Vec<&str>| kilobytes(paths.into_iter().map(|path| sizes[path]).sum());
                row.extend([total(runtime), total(models)]);
            }
            table.row(row);
        }
        let relaxed = ours.paths().any(|path| path.ends_with("husky_relaxed_bg.wasm"));
        let operations = 2.0 * self.files.multiplications;
        let rate = operations / ours.milliseconds.median() / 1e6;
        let peak = PEAK_OPERATIONS / measured[PEAK].milliseconds.median() / 1e6;
        Ok(format!(
            "`{name}`, batch 1, one thread unless said, {browser}, {machine}: `cargo xtask bench browser {name} \
             --launches {launches}`. Medians of {launches} launches (smallest–largest); ratios within a launch. All \
             answers are equal to {TOLERANCE}. Ours is the build {with} relaxed SIMD, as the site's own page chose, and \
             judges a picture of {size}x{size} pixels with all that belongs to it; the others get normalised values. \
             Cold load: from the navigation to the first answer, nothing cached, files uncompressed from this machine. \
             Sizes: raw / gzip 9 / brotli 11.\n\n{table}\n\
             {operations:.1} MFLOP by direct convolution: {rate:.1} GFLOP/s, {share:.0} % of the {peak:.1} GFLOP/s of a \
             loop that only multiplies and adds in registers.\n",
            name = self.model.name(),
            machine = peers::machine()?,
            with = if relaxed { "with" } else { "without" },
            size = self.files.size,
            operations = operations / 1e6,
            share = 100.0 * rate / peak,
        ))
    }

    /// The sizes of every file that an engine loaded, by path below the site: without the benchmark's own.
    fn sizes(&self, measured: &BTreeMap<&str, Measured>) -> Result<BTreeMap<String, Sizes>> {
        let paths: BTreeSet<&str> = measured.values().flat_map(|engine| engine.paths()).collect();
        let sizes = std::thread::scope(|scope| {
            let threads = paths.iter().map(|path| {
                scope.spawn(move || {
                    let path = self.folder.join(path);
                    let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
                    Ok(Sizes::of(&bytes))
                })
            });
            let threads: Vec<_> = threads.collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(paths.into_iter().map(str::to_owned).zip(sizes).collect())
    }
}

impl Measured {
    /// The files that it loaded, below the site's folder, without the benchmark's own.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let paths = self.files.iter().filter_map(|address| address.splitn(4, '/').nth(3));
        paths.filter(|path| ["husky/", "peers/", "candle/", "models/"].iter().any(|folder| path.starts_with(folder)))
    }
}

/// `raw / gzip / brotli` in kilobytes.
fn kilobytes(Sizes { raw, gzip, brotli }: Sizes) -> String {
    let kilobytes = |bytes: usize| bytes as f64 / 1000.0;
    format!("{:.0} / {:.0} / {:.0}", kilobytes(raw), kilobytes(gzip), kilobytes(brotli))
}

/// Puts a version in place of `{package}`.
fn titled(title: &str) -> Result<String> {
    let Some((before, rest)) = title.split_once('{') else { return Ok(title.to_owned()) };
    let (package, after) = rest.split_once('}').context("a brace is closed")?;
    let package = if package == "tfjs-core" { "@tensorflow/tfjs-core" } else { package };
    Ok(format!("{before}{}{after}", peers::version("package.json", package)?))
}
