//! `cargo xtask serve | dist | test | ci | bench`.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use xtask::{checks, dist, process, serve, sizes};

/// Builds, serves and tests Husky AI. Whatever a command needs and does not find, it sets up.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Build the site and serve it to this machine alone.
    Serve {
        /// The port to listen on [default: the first free one from 8000 on].
        #[arg(long)]
        port: Option<u16>,
        /// The path to serve under, as a host that gives each site a folder does.
        #[arg(long, default_value = "/", value_name = "/PATH/")]
        prefix: String,
    },
    /// Build the site into a folder that any static host can serve, list its files with their sizes, and
    /// hold them to their budgets.
    Dist {
        /// The folder. It must be new, empty or an earlier site, which is replaced [default: dist].
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Run every test: native, in a headless browser, and end to end.
    Test,
    /// Check formatting, lints and documentation, then run every test.
    Ci,
    /// Measure speed and memory beside other engines, which are installed for it: `cargo xtask bench --help`.
    #[command(disable_help_flag = true)]
    Bench {
        /// What to measure, and how.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match act(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> Result<()> {
    match command {
        Command::Serve { port, prefix } => serve::serve(port, &prefix),
        Command::Dist { out } => {
            let out = out.unwrap_or_else(dist::default_folder);
            dist::build(&out)?;
            println!("The site is in {}", out.display());
            sizes::report(&out)
        }
        Command::Test => checks::test(),
        Command::Ci => checks::ci(),
        // A program of its own, so that nobody else waits for what it needs.
        Command::Bench { arguments } => process::run(
            process::cargo().args(["run", "--quiet", "--release", "--package=bench", "--"]).args(arguments),
        ),
    }
}
