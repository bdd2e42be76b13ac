//! `cargo xtask test` and `cargo xtask ci`: every check, one after the other, with the time each takes.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    browser,
    dist::{self, target_folder},
    process::{cargo, read, run},
    sizes,
    toolchain::{self, Toolchain, WASM, as_root},
};

/// What each native build asks for. One set for all of them: with another, cargo would build the dependencies again.
const NATIVE: [&str; 3] = ["--workspace", "--features", "xtask/browser-tests"];
/// A step that hangs in the browser fails after so many seconds; a loaded machine needs more than the default of 20.
const BROWSER_TIMEOUT: &str = "120";

/// Runs every test: native, in the browser, and end to end.
///
/// # Errors
/// The first failure.
pub fn test() -> Result<()> {
    let mut log = Log::default();
    tests(&mut log)?;
    log.print();
    Ok(())
}

/// Checks formatting, lints and documentation, natively and for the browser, then runs every test.
///
/// # Errors
/// The first failure.
pub fn ci() -> Result<()> {
    let mut log = Log::default();
    log.step("set-up of rustfmt and clippy", set_up_components)?;
    log.step("formatting", || run(cargo().args(["fmt", "--all", "--check"])))?;
    log.step("lints", || {
        run(cargo().arg("clippy").args(NATIVE).args(["--all-targets", "--", "--deny=warnings"]))?;
        // A run for these tests alone: they are no part of all targets, see Cargo.toml.
        run(cargo().arg("clippy").args(NATIVE).args(["--test=end_to_end", "--test=peers", "--", "--deny=warnings"]))
    })?;
    let wasm = log.step("set-up of the browser's toolchain", set_up_wasm_lints)?;
    log.step("lints for the browser", || {
        let targets = ["--lib", "--test=browser*", "--", "--deny=warnings"];
        run(wasm.cargo().args(["clippy", "--package=husky", "--target", WASM]).args(targets))
    })?;
    log.step("documentation", || {
        let document = |mut command: Command, arguments: &[&str]| {
            run(command.args(["doc", "--no-deps"]).args(arguments).env("RUSTDOCFLAGS", "--deny=warnings"))
        };
        document(cargo(), &NATIVE)?;
        document(wasm.cargo(), &["--package=husky", "--target", WASM])
    })?;
    tests(&mut log)?;
    log.print();
    Ok(())
}

fn tests(log: &mut Log) -> Result<()> {
    let browser = log.step("set-up of the browser", browser::set_up)?;
    let wasm = log.step("set-up of the browser's toolchain", toolchain::set_up)?;
    log.step("native tests", || run(cargo().arg("test").args(NATIVE)))?;
    // With a test, since without any the dependencies would have other features and be built again. The command `husky` is there
    // since the native tests.
    log.step("build of the browser tests' runner", || {
        run(cargo().arg("build").args(NATIVE).args(["--bin=wasm-test-runner", "--test=tidy"]))
    })?;
    let programs = target_folder()?.join("debug");
    log.step("exchange with other programs", || run(cargo().arg("test").args(NATIVE).arg("--test=peers")))?;
    log.step("browser tests", || {
        let folder = tempfile::tempdir()?;
        let capabilities = folder.path().join("webdriver.json");
        std::fs::write(&capabilities, browser.capabilities().to_string())?;
        let mut command = wasm.cargo();
        browser.tell(&mut command);
        command
            .args(["test", "--package=husky", "--target", WASM, "--test=browser*"])
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", programs.join("wasm-test-runner"))
            .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", capabilities)
            .env("WASM_BINDGEN_TEST_TIMEOUT", BROWSER_TIMEOUT)
            .env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", BROWSER_TIMEOUT);
        // The first two would choose another browser, the last two no browser, or one that waits for a person.
        for variable in ["GECKODRIVER", "GECKODRIVER_REMOTE", "WASM_BINDGEN_TEST_ONLY_NODE", "NO_HEADLESS"] {
            command.env_remove(variable);
        }
        run(&mut command)
    })?;
    let site = dist::default_folder();
    log.step("build of the site", || dist::build(&site))?;
    log.step("sizes of the site", || sizes::report(&site))?;
    log.step("end-to-end tests", || {
        let mut command = cargo();
        browser.tell(&mut command);
        command.env("HUSKY_DIST", &site).env("HUSKY_BINARY", programs.join("husky"));
        // With what passed tests print: it says where generated photos stood in for real ones.
        run(command.arg("test").args(NATIVE).args(["--test=end_to_end", "--", "--show-output"]))
    })
}

/// Adds rustup's components that are missing.
fn set_up_components() -> Result<()> {
    for (tool, component) in [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")] {
        if read(Command::new(tool).arg("--version")).is_err() {
            eprintln!("Adding {component} with rustup.");
            run(Command::new("rustup").args(["component", "add", component]))
                .with_context(|| format!("{component} is not installed and rustup could not add it: install it"))?;
        }
    }
    Ok(())
}

/// A toolchain for the browser that can lint.
fn set_up_wasm_lints() -> Result<Toolchain> {
    let toolchain = toolchain::set_up()?;
    if toolchain == Toolchain::Debian && read(toolchain.cargo().args(["clippy", "--version"])).is_err() {
        eprintln!("Installing Debian's rust-web-clippy with apt-get.");
        run(as_root("apt-get").args(["install", "-y", "-qq", "rust-web-clippy"]))?;
    }
    Ok(toolchain)
}

/// What was done and how long it took.
#[derive(Default)]
struct Log(Vec<(&'static str, Duration)>);

impl Log {
    /// Says what comes, does it, and takes the time.
    fn step<T>(&mut self, name: &'static str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let result = act().with_context(|| format!("{name} failed"))?;
        self.0.push((name, start.elapsed()));
        Ok(result)
    }

    fn print(&self) {
        println!();
        for (name, time) in &self.0 {
            println!("{:>7.1} s  {name}", time.as_secs_f64());
        }
        let total: Duration = self.0.iter().map(|(_, time)| time).sum();
        println!("{:>7.1} s  all of it passed", total.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_failed_step_is_named_and_not_counted_as_done() {
        let mut log = Log::default();
        assert_eq!(log.step("one", || Ok(1)).unwrap(), 1);
        let error = log.step("two", || Err::<(), _>(anyhow::anyhow!("why"))).unwrap_err();
        assert_eq!(format!("{error:#}"), "two failed: why");
        assert_eq!(log.0.len(), 1);
    }
}
