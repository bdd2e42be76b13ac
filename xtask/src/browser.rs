//! Chromium and its driver for the tests: what is installed, else Debian's.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    process::{find, run},
    toolchain::as_root,
};

/// A browser that tests can drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    /// The browser's program.
    pub chromium: PathBuf,
    /// Its WebDriver.
    pub chromedriver: PathBuf,
}

/// The variables in which the user may name the programs.
const CHROMIUM: &str = "CHROMIUM";
const CHROMEDRIVER: &str = "CHROMEDRIVER";

/// Finds Chromium and chromedriver, or installs Debian's and says so in a sentence.
///
/// # Errors
/// There is no browser and none can be installed.
pub fn set_up() -> Result<Browser> {
    for variable in [CHROMIUM, CHROMEDRIVER] {
        if let Some(path) = named(variable)
            && !path.is_file()
        {
            bail!("{variable} names {}, and no program is there", path.display());
        }
    }
    find_or_install(|| look(named, find), install)
}

fn find_or_install(look: impl Fn() -> Option<Browser>, install: impl FnOnce() -> Result<()>) -> Result<Browser> {
    if let Some(browser) = look() {
        return Ok(browser);
    }
    let advice = "the browser tests need Chromium and chromedriver, and there are none: install them, or set the \
                  variables CHROMIUM and CHROMEDRIVER to their paths";
    install().context(advice)?;
    look().context(advice)
}

/// `named` knows the programs that the user names, `find` those in `PATH`.
fn look(named: impl Fn(&str) -> Option<PathBuf>, find: impl Fn(&str) -> Option<PathBuf>) -> Option<Browser> {
    let chromiums = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let chromium = named(CHROMIUM).or_else(|| chromiums.into_iter().find_map(&find))?;
    let chromedriver = named(CHROMEDRIVER).or_else(|| find("chromedriver"))?;
    Some(Browser { chromium, chromedriver })
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

fn install() -> Result<()> {
    if find("apt-get").is_none() {
        bail!("apt-get is not here to install them");
    }
    eprintln!("Installing Debian's chromium and chromium-driver with apt-get for the browser tests.");
    run(as_root("apt-get").args(["update", "-qq"]))?;
    let quiet = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    run(as_root("env").args(quiet).args(["chromium", "chromium-driver"]))
}

impl Browser {
    /// Tells a test where the browser is.
    pub fn tell(&self, command: &mut Command) {
        command.env(CHROMIUM, &self.chromium).env(CHROMEDRIVER, &self.chromedriver);
    }

    /// How a WebDriver starts the browser: without a window, as root too, and in peace from its maker's servers.
    pub fn capabilities(&self) -> serde_json::Value {
        serde_json::json!({
            "goog:chromeOptions": {
                "binary": self.chromium,
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                ],
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;

    use super::*;

    fn browser() -> Browser {
        Browser { chromium: "/b/chromium".into(), chromedriver: "/b/chromedriver".into() }
    }

    #[test]
    fn what_is_installed_is_used() {
        let found = find_or_install(|| Some(browser()), || panic!("installed a browser beside the one that is there"));
        assert_eq!(found.unwrap(), browser());
    }

    #[test]
    fn what_is_missing_is_installed_once() {
        let installed = Cell::new(0);
        let look = || (installed.get() > 0).then(browser);
        let install = || {
            installed.set(installed.get() + 1);
            Ok(())
        };
        assert_eq!(find_or_install(look, install).unwrap(), browser());
        assert_eq!(installed.get(), 1);
    }

    #[test]
    fn without_a_browser_there_is_an_error_that_says_what_to_do() {
        for result in [find_or_install(|| None, || bail!("no network")), find_or_install(|| None, || Ok(()))] {
            let error = format!("{:#}", result.unwrap_err());
            assert!(error.contains("install them, or set the variables CHROMIUM and CHROMEDRIVER"), "{error}");
        }
        let error = format!("{:#}", find_or_install(|| None, || bail!("no network")).unwrap_err());
        assert!(error.ends_with(": no network"), "{error}");
    }

    #[test]
    fn a_named_browser_comes_before_one_in_the_path() {
        let path = |program: &str| Some(PathBuf::from("/usr/bin").join(program));
        let chromium = |browser: Option<Browser>| browser.unwrap().chromium;
        assert_eq!(chromium(look(|_| None, path)), PathBuf::from("/usr/bin/chromium"));
        assert_eq!(chromium(look(|_| Some("/my/own".into()), path)), PathBuf::from("/my/own"));
        let chrome_only = |program: &str| path(program).filter(|_| program != "chromium");
        assert_eq!(chromium(look(|_| None, chrome_only)), PathBuf::from("/usr/bin/chromium-browser"));
        assert_eq!(look(|_| None, |program| path(program).filter(|_| program != "chromedriver")), None);
    }
}
