//! Sites to test, served from this machine.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use xtask::server::Server;

use super::{browser::program, model::bright_model};

/// The model that ships as the default, below the site's folder.
pub const DEFAULT_MODEL: &str = "models/husky.safetensors";
/// The model of [`Site::bright`]. The page would refuse it under the name of one that ships.
pub const MODEL: &str = "models/bright.safetensors";

/// A site in a folder of its own.
pub struct Site(TempDir);

impl Site {
    /// The built site as it ships.
    pub fn shipped() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&program("HUSKY_DIST"), folder.path());
        Self(folder)
    }

    /// The built site, its page with a model whose answers are known: it looks at brightness.
    pub fn bright() -> Self {
        let site = Self::shipped();
        let page = fs::read_to_string(site.folder().join("index.html")).unwrap();
        assert!(page.contains(DEFAULT_MODEL));
        site.change("index.html", page.replace(DEFAULT_MODEL, MODEL).as_bytes());
        site.change(MODEL, &bright_model("bright"));
        site
    }

    /// The site's folder.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Changes a file or adds one, and the service worker's list with it.
    pub fn change(&self, path: &str, bytes: &[u8]) {
        fs::write(self.folder().join(path), bytes).unwrap();
        let mut list = self.list();
        let files = list["files"].as_array_mut().unwrap();
        files.retain(|file| file["path"] != path);
        files.push(json!({ "path": path, "bytes": bytes.len(), "sha256": hex::encode(Sha256::digest(bytes)) }));
        self.publish(&list);
    }

    /// The service worker's list.
    pub fn list(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder().join("precache.json")).unwrap()).unwrap()
    }

    /// Makes `list` the service worker's, under a new version, as a new build would.
    pub fn publish(&self, list: &Value) {
        let old = list["version"].as_str().unwrap();
        let new = format!("{}+", old);
        let worker = self.folder().join("service-worker.js");
        let script = fs::read_to_string(&worker).unwrap();
        assert!(script.contains(old), "the service worker does not carry the version of its list");
        fs::write(&worker, script.replace(old, &new)).unwrap();
        let mut list = list.clone();
        list["version"] = json!(new);
        fs::write(self.folder().join("precache.json"), list.to_string()).unwrap();
    }

    /// Serves the site below `prefix` of a free port.
    pub fn serve(&self, prefix: &str) -> Server {
        Server::start(self.folder(), prefix, TcpListener::bind("127.0.0.1:0").unwrap()).unwrap()
    }
}

/// A folder for the photos of a test.
pub struct Photos(TempDir);

impl Photos {
    /// An empty one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file with these bytes.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A picture of this brightness, with some texture; the name says the format.
    pub fn picture(&self, name: &str, brightness: u8) -> PathBuf {
        let path = self.0.path().join(name);
        let wave = |x: u32, y: u32| ((f64::from(x) / 9.0).sin() * 12.0 + (f64::from(y) / 7.0).cos() * 12.0) as i16;
        let picture = RgbImage::from_fn(320, 240, |x, y| {
            let value = (i16::from(brightness) + wave(x, y)).clamp(0, 255) as u8;
            Rgb([value, value.saturating_add(6), value.saturating_sub(9)])
        });
        picture.save(&path).unwrap();
        path
    }
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
