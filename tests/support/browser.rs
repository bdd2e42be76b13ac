//! A headless Chromium, driven through WebDriver.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{Actions, InputSource, KeyAction, KeyActions},
    wd::WebDriverCompatibleCommand,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// How long anything in the page may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs before the page's own scripts. `workers` are the workers that were started, `results` and `failures` what the
/// elements told, `violations` what the content security policy stopped.
const SPY: &str = "
    window.workers = []; window.results = []; window.failures = []; window.violations = [];
    const Original = window.Worker;
    window.Worker = class extends Original { constructor(...args) { super(...args); workers.push(this); } };
    addEventListener('husky-result', (event) => results.push({ ...event.detail, file: event.detail.file?.name }));
    addEventListener('husky-error', (event) => failures.push({ ...event.detail, file: event.detail.file?.name }));
    addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));
";

/// Runs before each script of a test: `$` finds a part of the (first) element by its id.
const TOOLS: &str = "
    const host = document.querySelector('husky-classifier');
    const $ = (id) => host?.shadowRoot?.getElementById(id);
    const cards = () => [...($('photos')?.children ?? [])];
    const shown = (element) => Boolean(element?.checkVisibility());
";

/// A running browser. Dropping it ends it.
pub struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts Chromium with a profile of its own and a camera that is a test picture.
    pub fn start() -> Self {
        let chromium = program("CHROMIUM");
        let mut driver = Command::new(program("CHROMEDRIVER"))
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver can't be started");
        let port = BufReader::new(driver.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.strip_suffix('.')?.rsplit_once("started successfully on port ")?.1.parse::<u16>().ok()
            })
            .expect("chromedriver did not say its port");
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "goog:chromeOptions": {
                "binary": chromium,
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                    "--disable-dev-shm-usage", "--use-fake-ui-for-media-stream",
                    "--use-fake-device-for-media-stream=device-count=2", "--window-size=1000,900",
                    // Other hosts are not there: who asks for one is found out.
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                    format!("--user-data-dir={}", profile.path().display()),
                ],
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        builder.capabilities(capabilities.as_object().unwrap().clone());
        let client =
            runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}"))).expect("no browser session");
        let browser = Self { runtime, client: Some(client), driver, _profile: profile };
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": SPY }));
        browser
    }

    /// Runs `script` before the page's own, in every page from now on.
    pub fn before_pages(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    /// Opens an address.
    pub fn open(&self, url: &str) {
        self.runtime.block_on(self.client().goto(url)).unwrap();
    }

    /// Opens an address and waits until its first element has its model.
    pub fn open_ready(&self, url: &str) {
        self.open(url);
        self.until("the model is loaded", "shown($('model')) && !shown($('progress')) && $('model').textContent");
    }

    /// What the JavaScript expression is, in the page; a promise is awaited.
    pub fn read(&self, expression: &str) -> Value {
        let script = format!("{TOOLS} return ({expression});");
        self.runtime
            .block_on(self.client().execute(&script, Vec::new()))
            .unwrap_or_else(|e| panic!("{expression}: {e}"))
    }

    /// Waits until the expression is truthy, and returns it.
    #[track_caller]
    pub fn until(&self, what: &str, expression: &str) -> Value {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let value = self.read(expression);
            if !matches!(value, Value::Null | Value::Bool(false)) && value != json!(0) && value != json!("") {
                return value;
            }
            std::thread::sleep(Duration::from_millis(40));
        }
        let page = self.read("host?.shadowRoot?.getElementById('frame')?.innerText ?? document.body.innerText");
        panic!("in vain waited until {what}; the page says: {page}; its log: {:?}", self.log());
    }

    /// Chooses files in the first element's file field `id`.
    pub fn choose(&self, id: &str, files: &[impl AsRef<Path>]) {
        let files: Vec<String> = files.iter().map(|file| file.as_ref().display().to_string()).collect();
        self.runtime.block_on(async {
            let host = self.client().find(Locator::Css("husky-classifier")).await.unwrap();
            let field = host.shadow_root().await.unwrap().find(Locator::Css(&format!("#{id}"))).await.unwrap();
            field.send_keys(&files.join("\n")).await.unwrap();
        });
    }

    /// Clicks a part of the first element as a user would.
    pub fn click(&self, id: &str) {
        self.runtime.block_on(async {
            let host = self.client().find(Locator::Css("husky-classifier")).await.unwrap();
            let part = host.shadow_root().await.unwrap().find(Locator::Css(&format!("#{id}"))).await.unwrap();
            part.click().await.unwrap();
        });
    }

    /// Presses keys one after the other; `held` stays down meanwhile.
    pub fn press(&self, held: Option<char>, keys: &[char]) {
        let mut actions = KeyActions::new("keyboard".into());
        if let Some(value) = held {
            actions = actions.then(KeyAction::Down { value });
        }
        for &value in keys {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        if let Some(value) = held {
            actions = actions.then(KeyAction::Up { value });
        }
        self.runtime.block_on(self.client().perform_actions(Actions::from(actions))).unwrap();
    }

    /// Opens another tab in front of this one, and comes back to this one's scripts.
    pub fn cover_with_a_tab(&self) {
        self.runtime.block_on(async {
            let client = self.client();
            let page = client.window().await.unwrap();
            let tab = client.new_window(true).await.unwrap();
            client.switch_to_window(tab.handle).await.unwrap();
            client.switch_to_window(page).await.unwrap();
        });
    }

    /// A command of the browser's own protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        let command = Extension { path: "goog/cdp/execute", body: json!({ "cmd": command, "params": parameters }) };
        self.runtime.block_on(self.client().issue_cmd(command)).unwrap()
    }

    /// What the browser's console got since the last call.
    pub fn log(&self) -> Vec<String> {
        let command = Extension { path: "se/log", body: json!({ "type": "browser" }) };
        let entries = self.runtime.block_on(self.client().issue_cmd(command)).unwrap();
        entries.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Ends Chromium; chromedriver itself goes on.
            let _ = self.runtime.block_on(client.close());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A command that chromedriver has beyond the standard.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base_url: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base_url.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

/// What `cargo xtask test` found, built or downloaded for these tests.
pub fn program(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    path.unwrap_or_else(|| panic!("the variable {variable} is not set: run these tests through `cargo xtask test`"))
        .into()
}
