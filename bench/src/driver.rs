//! A headless Chromium that is started anew for each launch, driven through WebDriver.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use fantoccini::{Client, ClientBuilder, wd::TimeoutConfiguration};
use hyper_util::client::legacy::connect::HttpConnector;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;
use xtask::browser::{self, Browser};

/// The longest that one script may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Starts browsers. Dropping it ends the driver.
pub struct Driver {
    browser: Browser,
    process: Child,
    port: u16,
    runtime: Runtime,
}

/// A running browser, with a profile of its own that is empty at first.
pub struct Launch<'a> {
    driver: &'a Driver,
    client: Option<Client>,
}

impl Driver {
    /// Finds a browser, or installs one, and starts its driver.
    ///
    /// # Errors
    /// There is no browser, or its driver can't be started.
    pub fn start() -> Result<Self> {
        let browser = browser::set_up()?;
        let mut process = Command::new(&browser.chromedriver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} can't be started", browser.chromedriver.display()))?;
        let stdout = process.stdout.take().context("chromedriver's output is piped")?;
        let port = |line: String| line.strip_suffix('.')?.rsplit_once("started successfully on port ")?.1.parse().ok();
        let port = BufReader::new(stdout).lines().map_while(Result::ok).find_map(port);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { browser, process, port: port.context("chromedriver did not say its port")?, runtime })
    }

    /// Starts a browser.
    ///
    /// # Errors
    /// It can't be started.
    pub fn launch(&self) -> Result<Launch<'_>> {
        let Value::Object(mut capabilities) = self.browser.capabilities() else { bail!("capabilities are an object") };
        let arguments = capabilities["goog:chromeOptions"]["args"].as_array_mut().context("arguments are a list")?;
        arguments.extend(["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"].map(Value::from));
        let client = self.runtime.block_on(async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities);
            let client = builder.connect(&format!("http://127.0.0.1:{}", self.port)).await?;
            client.update_timeouts(TimeoutConfiguration::new(Some(PATIENCE), Some(PATIENCE), None)).await?;
            anyhow::Ok(client)
        })?;
        Ok(Launch { driver: self, client: Some(client) })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Launch<'_> {
    /// Opens an address and waits until the page is loaded.
    ///
    /// # Errors
    /// The page can't be loaded.
    pub fn open(&self, address: &str) -> Result<()> {
        Ok(self.driver.runtime.block_on(self.client()?.goto(address))?)
    }

    /// What the JavaScript expression is, in the page; a promise is awaited. `argument` is its variable of that name.
    ///
    /// # Errors
    /// It throws, or the answer has another form.
    pub fn read<T: DeserializeOwned>(&self, expression: &str, argument: &Value) -> Result<T> {
        let script = format!("const [argument] = arguments; return ({expression});");
        let result = self.driver.runtime.block_on(self.client()?.execute(&script, vec![argument.clone()]));
        Ok(serde_json::from_value(result.with_context(|| format!("in the page, {expression} failed"))?)?)
    }

    /// The browser's name and version.
    ///
    /// # Errors
    /// The driver does not know.
    pub fn version(&self) -> Result<String> {
        let capabilities = self.client()?.capabilities().context("the driver told nothing about the browser")?;
        let version = capabilities.get("browserVersion").and_then(Value::as_str).unwrap_or_default();
        Ok(format!("Chromium {}", version.split('.').next().unwrap_or_default()))
    }

    fn client(&self) -> Result<&Client> {
        self.client.as_ref().context("the browser runs")
    }
}

impl Drop for Launch<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // A browser that is gone needs no end.
            let _ = self.driver.runtime.block_on(client.close());
        }
    }
}
