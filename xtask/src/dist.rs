//! The folder that any static host can serve: `www`, the browser's build of the classifier and the models.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    process::{cargo, read, root, run},
    toolchain::{self, WASM},
};

/// What the page keeps for offline use: read by `www/service-worker.js`.
const PRECACHE: &str = "precache.json";
/// The service worker. The browser looks for a new version by comparing this file's bytes, so the version is put in.
const SERVICE_WORKER: &str = "service-worker.js";
/// Stands for the version in `www/service-worker.js`.
const VERSION: &str = "{{VERSION}}";

/// What the page downloads at once: the whole crate but for the decoders of photo files.
const PAGE: Build = Build { package: "husky-module", features: &["page"], relaxed_simd: false, is_small: true };
/// The same with fused multiply-adds, for browsers that have them. `www/husky-module.js` chooses.
const RELAXED: Build = Build { relaxed_simd: true, ..PAGE };
/// What the worker downloads with the first photo file of a rare kind: all decoders, and colour profiles.
const DECODER: Build = Build { features: &["decode"], is_small: false, ..PAGE };
/// What it downloads with the first of the usual ones. The script is [`DECODER`]'s.
const PARTS: [(Build, &str); 2] = [
    (Build { features: &["jpeg"], ..DECODER }, "husky_jpeg_bg.wasm"),
    (Build { features: &["png"], ..DECODER }, "husky_png_bg.wasm"),
];

/// The files of a site by path, `/` between folders.
pub type Files = BTreeMap<String, Vec<u8>>;

#[derive(Serialize)]
struct Precache<'a> {
    /// Changes when any file does.
    version: &'a str,
    files: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    path: &'a str,
    sha256: String,
    bytes: usize,
}

/// Where `cargo xtask` puts the site unless it is told otherwise.
pub fn default_folder() -> PathBuf {
    root().join("dist")
}

/// Builds the site and puts it in `out`, all or nothing: a failed build leaves what was there.
///
/// # Errors
/// The build fails, a page asks for a model that is not there, or `out` is a folder with something else in it.
pub fn build(out: &Path) -> Result<()> {
    ensure!(
        replaceable(out),
        "{} is there and is not an earlier site (no {PRECACHE} in it): name another folder",
        out.display()
    );
    let parent = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
    // Beside `out`, so that a rename can put it there.
    let stage = tempfile::Builder::new().prefix(".dist-").tempdir_in(parent)?;
    let site = stage.path().join("new");
    let target = target_folder()?;
    bind(&PAGE.compile(&target)?, "husky", &site)?;
    let beside = stage.path().join("beside");
    bind(&RELAXED.compile(&target)?, "husky", &beside)?;
    take_module(&beside, "husky", &site, "husky_relaxed_bg.wasm")?;
    bind(&DECODER.compile(&target)?, "husky_decoder", &site)?;
    for (build, module) in PARTS {
        bind(&build.compile(&target)?, "husky_decoder", &beside)?;
        take_module(&beside, "husky_decoder", &site, module)?;
    }
    copy(&root().join("www"), &site)?;
    for (path, bytes) in files_in(&site)?.iter().filter(|(path, _)| path.ends_with(".js")) {
        let script = std::str::from_utf8(bytes).with_context(|| format!("{path} is not text"))?;
        fs::write(site.join(path), without_comments(script))?;
    }
    copy(&root().join("models"), &site.join("models"))?;
    let files = files_in(&site)?;
    check_models(&files)?;
    for (path, bytes) in cache_list(&files)? {
        fs::write(site.join(path), bytes)?;
    }
    let old = stage.path().join("old");
    if out.exists() {
        fs::rename(out, &old)?;
    }
    fs::rename(&site, out).or_else(|error| {
        if old.exists() {
            fs::rename(&old, out)?;
        }
        Err(error).with_context(|| format!("{} cannot be put in place", out.display()))
    })
}

/// A package of the workspace as the browser gets it.
#[derive(Clone, Copy)]
pub struct Build {
    /// Its name.
    pub package: &'static str,
    /// Cargo features, instead of the default ones.
    pub features: &'static [&'static str],
    /// Whether WebAssembly's relaxed SIMD may be used.
    pub relaxed_simd: bool,
    /// Whether `husky` itself is built for the fewest bytes: what takes time there is generic code of the decoders.
    pub is_small: bool,
}

impl Build {
    /// Compiles it with `target` as cargo's target folder; returns the module's path.
    ///
    /// # Errors
    /// There is no compiler for the browser and none can be set up, or the build fails.
    pub fn compile(self, target: &Path) -> Result<PathBuf> {
        let toolchain = toolchain::set_up()?;
        let mut command = toolchain.cargo();
        // Only the cdylib: beside an rlib, cargo does not do link-time optimisation.
        command.args(["rustc", "--package", self.package, "--lib", "--crate-type", "cdylib", "--profile", "wasm"]);
        command.args(["--no-default-features", "--features", &self.features.join(",")]);
        if self.is_small {
            command.args(["--config", r#"profile.wasm.package.husky.opt-level="z""#]);
        }
        command.args(["--target", WASM, "--config", &self.rustflags()]).arg("--target-dir").arg(target);
        run(&mut command)?;
        Ok(target.join(WASM).join(format!("wasm/{}.wasm", self.package.replace('-', "_"))))
    }

    /// Flags beside those of `.cargo/config.toml`, as an entry of cargo's configuration.
    fn rustflags(self) -> String {
        let home = |variable: &str, folder: &str| {
            let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
            std::env::var_os(variable).map_or(home.join(folder), PathBuf::from)
        };
        // Panic messages hold the paths of sources: make them the same on every machine.
        let paths = [(root(), "/husky"), (home("CARGO_HOME", ".cargo"), "/cargo")];
        let mut flags: Vec<_> =
            paths.iter().map(|(from, to)| format!("'--remap-path-prefix={}={to}'", from.display())).collect();
        if self.relaxed_simd {
            flags.push("'-Ctarget-feature=+relaxed-simd'".to_owned());
        }
        format!("target.{WASM}.rustflags=[{}]", flags.join(", "))
    }
}

/// Where cargo builds.
pub fn target_folder() -> Result<PathBuf> {
    let metadata = read(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(folder.into())
}

/// Writes a module and its JavaScript and TypeScript side, `NAME_bg.wasm`, `NAME.js` and `NAME.d.ts`, into `out`.
///
/// # Errors
/// The module is none of `wasm-bindgen`'s, or `out` cannot be written.
pub fn bind(module: &Path, name: &str, out: &Path) -> Result<()> {
    let mut output = wasm_bindgen_cli_support::Bindgen::new()
        .input_path(module)
        .out_name(name)
        .web(true)?
        .typescript(true)
        // The library leaves the module's address out unless told; `init()` finds the module beside the script by it.
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()
        .with_context(|| format!("wasm-bindgen cannot read {}", module.display()))?;
    // What the module takes from the script is named with hashes, which no compression makes shorter.
    let names: BTreeSet<String> = output.wasm().imports.iter().map(|import| import.name.clone()).collect();
    let short: BTreeMap<String, String> = names.into_iter().zip((0..).map(|i| format!("i{i}"))).collect();
    for import in output.wasm_mut().imports.iter_mut() {
        import.name.clone_from(&short[&import.name]);
    }
    output.emit(out)?;
    let script = out.join(format!("{name}.js"));
    let text = fs::read_to_string(&script)?;
    Ok(fs::write(&script, short.iter().fold(text, |text, (long, short)| text.replace(long, short)))?)
}

/// Puts a build's module beside that of another build of the same script, as `module`.
fn take_module(build: &Path, name: &str, site: &Path, module: &str) -> Result<()> {
    let script = format!("{name}.js");
    ensure!(
        fs::read(build.join(&script))? == fs::read(site.join(&script))?,
        "{module} needs another {script} than the module beside it, and the page loads one"
    );
    Ok(fs::rename(build.join(format!("{name}_bg.wasm")), site.join(module))?)
}

/// A script as a visitor gets it: without the lines that are comments, which are in the repository and in the `.d.ts`, and
/// without indentation. No line of a text that goes over several looks like either.
fn without_comments(script: &str) -> String {
    let mut is_comment = false;
    let mut code = String::new();
    for line in script.lines().map(str::trim) {
        is_comment |= line.starts_with("/**");
        if !is_comment && !line.is_empty() && !line.starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    code
}

/// Copies the files of the repository in `from`; a folder that is not there has none.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("{} cannot be copied", entry.path().display()))?;
        }
    }
    Ok(())
}

/// The files in a folder and those below it.
///
/// # Errors
/// One cannot be read.
pub fn files_in(folder: &Path) -> Result<Files> {
    fn walk(folder: &Path, prefix: &str, files: &mut Files) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &format!("{path}/"), files)?;
            } else {
                files.insert(path, fs::read(entry.path())?);
            }
        }
        Ok(())
    }
    let mut files = Files::new();
    walk(folder, "", &mut files)?;
    Ok(files)
}

/// Every model that a page names is there.
fn check_models(files: &Files) -> Result<()> {
    for (page, bytes) in files.iter().filter(|(path, _)| path.ends_with(".html")) {
        for model in models_in(&String::from_utf8_lossy(bytes)) {
            ensure!(files.contains_key(model), "www/{page} asks for {model}, which is not in the repository: train it");
        }
    }
    Ok(())
}

/// The model files that a page names, as paths in the site.
fn models_in(page: &str) -> Vec<&str> {
    const SUFFIX: &str = ".safetensors";
    let rests = page.match_indices("models/").map(|(start, _)| &page[start..]);
    let quoted = rests.filter_map(|rest| rest.split(['"', '\'', '<', '>', ' ', '\n']).next());
    quoted.filter(|path| path.ends_with(SUFFIX)).collect()
}

/// The list of what the service worker keeps, and the service worker with the list's version in it.
fn cache_list(files: &Files) -> Result<Files> {
    let default_models = files.get("index.html").map(|page| String::from_utf8_lossy(page)).unwrap_or_default();
    let default_models = models_in(&default_models);
    let kept = |path: &str| match path.strip_prefix("models/") {
        // A visitor pays for the page's own model, not for every model that ships.
        Some(_) => default_models.contains(&path),
        None => path != SERVICE_WORKER && !path.ends_with(".d.ts"),
    };
    let files_kept = files.iter().filter(|(path, _)| kept(path));
    let entries: Vec<_> = files_kept
        .map(|(path, bytes)| Entry { path, sha256: hex::encode(Sha256::digest(bytes)), bytes: bytes.len() })
        .collect();
    let version = hex::encode(Sha256::digest(serde_json::to_vec(&entries)?));
    let worker = files.get(SERVICE_WORKER).context("www/service-worker.js is missing")?;
    let worker = String::from_utf8(worker.clone()).context("www/service-worker.js is not text")?;
    ensure!(worker.contains(VERSION), "www/service-worker.js has no {VERSION} to put the site's version in");
    let worker = worker.replace(VERSION, &version).into_bytes();
    let list = serde_json::to_vec_pretty(&Precache { version: &version, files: entries })?;
    Ok([(SERVICE_WORKER.into(), worker), (PRECACHE.into(), list)].into())
}

/// Whether a build may replace `out`: nothing is there, or an empty folder, or an earlier build.
fn replaceable(out: &Path) -> bool {
    !out.exists() || out.join(PRECACHE).is_file() || fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn site() -> Files {
        let files = [
            ("a.js", "1"),
            ("a.d.ts", "2"),
            ("index.html", r#"<husky-classifier model="models/one.safetensors">"#),
            ("models/one.safetensors", "3"),
            ("models/two.safetensors", "4"),
            ("service-worker.js", "const version = '{{VERSION}}';"),
        ];
        files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into()
    }

    fn precache(files: &Files) -> serde_json::Value {
        serde_json::from_slice(&cache_list(files).unwrap()[PRECACHE]).unwrap()
    }

    #[test]
    fn the_cache_holds_what_the_page_needs_and_the_version_is_the_workers() {
        let list = precache(&site());
        let paths: Vec<_> = list["files"].as_array().unwrap().iter().map(|file| file["path"].clone()).collect();
        assert_eq!(paths, ["a.js", "index.html", "models/one.safetensors"]);
        // SHA-256 of "1".
        let sha256 = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
        assert_eq!(list["files"][0]["sha256"], sha256);
        assert_eq!(list["files"][0]["bytes"], 1);
        let worker = cache_list(&site()).unwrap()[SERVICE_WORKER].clone();
        assert_eq!(
            String::from_utf8(worker).unwrap(),
            format!("const version = {};", list["version"]).replace('"', "'")
        );
    }

    #[test]
    fn the_version_changes_with_every_kept_file_and_no_other() {
        let version = |path: &str| {
            let mut files = site();
            files.get_mut(path).unwrap().push(b' ');
            precache(&files)["version"].clone()
        };
        let before = precache(&site())["version"].clone();
        assert_eq!(version("models/two.safetensors"), before);
        for path in ["a.js", "index.html", "models/one.safetensors"] {
            assert_ne!(version(path), before, "{path}");
        }
    }

    #[test]
    fn a_site_without_a_versioned_service_worker_is_refused() {
        let mut files = site();
        files.insert(SERVICE_WORKER.into(), b"const version = 1".to_vec());
        assert!(cache_list(&files).unwrap_err().to_string().contains(VERSION));
        files.remove(SERVICE_WORKER);
        assert!(cache_list(&files).unwrap_err().to_string().contains("is missing"));
    }

    #[test]
    fn a_page_that_asks_for_a_missing_model_is_refused() {
        let mut files = site();
        check_models(&files).unwrap();
        files.remove("models/one.safetensors");
        let error = check_models(&files).unwrap_err().to_string();
        assert!(error.contains("index.html asks for models/one.safetensors"), "{error}");
    }

    #[test]
    fn scripts_lose_their_comments_and_nothing_else() {
        let script = "/* @ts-self-types=\"./a.d.ts\" */\n\n/**\n * What it does.\n */\nlet a = 1; // one\n  /** In a line. */\n  \
                      // Why.\n  a += 'https://b';\n";
        assert_eq!(
            without_comments(script),
            "/* @ts-self-types=\"./a.d.ts\" */\nlet a = 1; // one\na += 'https://b';\n"
        );
    }

    #[test]
    fn only_an_earlier_site_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replaceable(&folder.path().join("new")));
        assert!(replaceable(folder.path()));
        fs::write(folder.path().join("thesis.txt"), "").unwrap();
        assert!(!replaceable(folder.path()));
        fs::write(folder.path().join(PRECACHE), "{}").unwrap();
        assert!(replaceable(folder.path()));
    }
}
