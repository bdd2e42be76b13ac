//! A compiler for wasm32-unknown-unknown: what is installed, else rustup's, else Debian's.

use std::{path::Path, process::Command};

use anyhow::{Result, bail, ensure};

use crate::process::{cargo, find, read, root, run};

/// The target of everything that runs in the browser.
pub const WASM: &str = "wasm32-unknown-unknown";

/// A toolchain whose standard library is there for [`WASM`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The one that builds everything else.
    Default,
    /// Debian's rustc-web and cargo-web, in /usr/bin.
    Debian,
}

/// What the set-up finds on the machine.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    default_has_target: bool,
    rustup: bool,
    debian_has_target: bool,
    apt: bool,
}

/// A way to get the target, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Installed(Toolchain),
    Rustup,
    Apt,
}

impl Toolchain {
    /// This toolchain's cargo, started in the repository's root.
    pub fn cargo(self) -> Command {
        match self {
            Self::Default => cargo(),
            Self::Debian => debian("cargo"),
        }
    }
}

/// Finds a toolchain for [`WASM`], or sets one up and says so in a sentence.
///
/// # Errors
/// Every way failed; the message says why each did.
pub fn set_up() -> Result<Toolchain> {
    let machine = Machine::look();
    let mut failures = Vec::new();
    for way in machine.ways() {
        match way.take() {
            Ok(toolchain) => return Ok(toolchain),
            Err(error) => {
                eprintln!("That failed: {error:#}.");
                failures.push(format!("{error:#}"));
            }
        }
    }
    if failures.is_empty() {
        failures.push("neither rustup nor apt-get is here".into());
    }
    bail!(
        "no Rust compiler for {WASM} could be set up ({}): install the target with `rustup target add {WASM}`",
        failures.join("; ")
    )
}

impl Machine {
    fn look() -> Self {
        Self {
            default_has_target: has_target(&mut Command::new("rustc")),
            rustup: find("rustup").is_some(),
            debian_has_target: has_target(&mut debian("rustc")),
            apt: find("apt-get").is_some(),
        }
    }

    fn ways(self) -> Vec<Way> {
        if self.default_has_target {
            return vec![Way::Installed(Toolchain::Default)];
        }
        if self.debian_has_target {
            return vec![Way::Installed(Toolchain::Debian)];
        }
        let ways = [(self.rustup, Way::Rustup), (self.apt, Way::Apt)];
        ways.into_iter().filter(|(there, _)| *there).map(|(_, way)| way).collect()
    }
}

impl Way {
    fn take(self) -> Result<Toolchain> {
        match self {
            Self::Installed(toolchain) => Ok(toolchain),
            Self::Rustup => {
                eprintln!("Adding the target {WASM} with rustup.");
                run(Command::new("rustup").args(["target", "add", WASM]).current_dir(root()))?;
                ensure!(
                    has_target(&mut Command::new("rustc")),
                    "the rustc in PATH is not rustup's, so it did not get the target"
                );
                Ok(Toolchain::Default)
            }
            Self::Apt => {
                eprintln!("Installing Debian's Rust compiler for {WASM} with apt-get, about three minutes.");
                run(as_root("bash").arg(root().join("xtask/setup-wasm32.sh")))?;
                Ok(Toolchain::Debian)
            }
        }
    }
}

/// The program as root: as it is for root, else through sudo, which must not ask for a password.
pub fn as_root(program: &str) -> Command {
    if read(Command::new("id").arg("-u")).is_ok_and(|id| id == "0") {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// A program of Debian's toolchain, out of reach of rustup's proxies.
fn debian(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(Path::new("/usr/bin").join(program));
    command.env("PATH", format!("/usr/bin:{path}")).current_dir(root());
    // cargo sets these for the programs that it runs, and they would lead back to its own toolchain.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(variable);
    }
    command
}

/// Whether a compiler has the standard library for [`WASM`].
fn has_target(rustc: &mut Command) -> bool {
    let Ok(folder) = read(rustc.current_dir(root()).args(["--print", "target-libdir", "--target", WASM])) else {
        return false;
    };
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.file_name()).any(|name| name.to_string_lossy().starts_with("libstd-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Machine = Machine { default_has_target: false, rustup: false, debian_has_target: false, apt: false };

    #[test]
    fn what_is_installed_is_used_and_nothing_is_installed_beside_it() {
        let installed = Machine { default_has_target: true, rustup: true, apt: true, ..BARE };
        assert_eq!(installed.ways(), [Way::Installed(Toolchain::Default)]);
        let debian = Machine { rustup: true, debian_has_target: true, apt: true, ..BARE };
        assert_eq!(debian.ways(), [Way::Installed(Toolchain::Debian)]);
        let both = Machine { default_has_target: true, debian_has_target: true, ..BARE };
        assert_eq!(both.ways(), [Way::Installed(Toolchain::Default)]);
    }

    #[test]
    fn rustup_comes_before_debian() {
        assert_eq!(Machine { rustup: true, apt: true, ..BARE }.ways(), [Way::Rustup, Way::Apt]);
        assert_eq!(Machine { apt: true, ..BARE }.ways(), [Way::Apt]);
        assert_eq!(BARE.ways(), []);
    }

    #[test]
    fn a_compiler_that_is_not_there_has_no_target() {
        assert!(!has_target(&mut Command::new("no-such-rustc")));
    }
}
