//! `husky gather`, as a user runs it, against a server on this machine.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use husky::Pixels;
use image::{ImageFormat, RgbImage, imageops};
use serde_json::{Value, json};
use tempfile::TempDir;
use trainer::dataset::near_duplicates;

use server::{Server, drawing};

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let quick = ["--delay", "0.01", "--allow", "127.0.0.1/32", "--label", "husky", "--out", "data"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_husky"));
    command.current_dir(folder).arg("gather").args(quick).args(arguments);
    command
}

fn husky(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, &[&["--timeout", "2"], arguments].concat()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The files below `data`, without its folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let data = folder.join("data");
    let (files, _) = trainer::photos::find(&data);
    files.iter().map(|file| file.strip_prefix(&data).unwrap().to_owned()).collect()
}

/// The rows of the record, by column.
fn rows(folder: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(folder.join("data/attribution.csv")).unwrap().deserialize().map(Result::unwrap).collect()
}

/// Goes through a list of these paths of the server, and gives the report.
fn gather_urls(folder: &TempDir, server: &Server, paths: &[&str]) -> (Output, Value) {
    let urls: Vec<String> = paths.iter().map(|path| server.url(path)).collect();
    fs::write(folder.path().join("urls.txt"), format!("# photos\n\n{}\n", urls.join("\n"))).unwrap();
    let output = husky(folder.path(), &["--urls", "urls.txt", "--json"]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output, report)
}

#[test]
fn openverse_photos_come_with_their_licences_and_never_twice() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let api = server.url("/v1/images/");
    let search = |count: &str| {
        husky(
            folder.path(),
            &["--query", "siberian husky", "--api", &api, "--count", count, "--contact", "me@example.org"],
        )
    };
    let output = search("5");
    assert!(output.status.success(), "{output:?}");
    assert!(
        text(&output.stdout).starts_with("5 new photos, 0 skipped\ndata: 4 husky for training, 1 for"),
        "{output:?}"
    );
    let first = rows(folder.path());
    // Photo 2 may not be used commercially.
    let numbers: Vec<&str> = first.iter().map(|row| row["title"].strip_prefix("Husky ").unwrap()).collect();
    assert_eq!(numbers, ["0", "1", "3", "4", "5"]);
    assert_eq!((&*first[0]["author"], &*first[1]["author"]), ("Anna, \"the\" Musher", ""));
    assert_eq!((&*first[0]["license"], &*first[0]["provider"]), ("by-sa 2.0", "openverse"));
    assert_eq!(first[0]["source"], "https://www.flickr.com/photos/anna/0");
    for row in &first {
        let file = fs::read(folder.path().join("data").join(&row["file"])).unwrap();
        assert_eq!(image::guess_format(&file).unwrap(), ImageFormat::Jpeg);
    }
    let requests = server.requests.lock().unwrap().clone();
    assert!(requests[0].contains("license=cc0%2Cpdm%2Cby%2Cby-sa"), "{}", requests[0]);
    assert!(requests.iter().all(|request| request.contains("husky-gather/") && request.ends_with("(me@example.org)")));

    // What is deleted does not come back, and others come for it.
    fs::remove_file(folder.path().join("data").join(&first[0]["file"])).unwrap();
    let output = search("6");
    assert!(output.status.success(), "{output:?}");
    assert_eq!((rows(folder.path()).len(), files(folder.path()).len()), (7, 1 + 6));
    for number in 0..8 {
        assert_eq!(server.count(&format!("/photo/{number}.jpg")), usize::from(number != 2));
    }
    // All are there: nothing is asked.
    let asked = server.count("/");
    assert!(search("6").status.success());
    assert_eq!(server.count("/"), asked);
    // There are no more.
    assert_eq!(search("60").status.code(), Some(1));
}

#[test]
fn commons_is_searched_page_by_page() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let api = server.url("/w/api.php");
    let output = husky(
        folder.path(),
        &["--provider", "commons", "--query", "siberian husky", "--api", &api, "--count", "3", "--json"],
    );
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["new"], &report["training"]), (&json!(3), &json!(3)));
    let rows = rows(folder.path());
    let titles: Vec<&str> = rows.iter().map(|row| &*row["title"]).collect();
    assert_eq!(titles, ["File:Husky 4.jpg", "File:Husky 0.jpg", "File:Husky 5.jpg"]);
    assert_eq!((&*rows[0]["author"], &*rows[0]["license"]), ("Bo & Co", "CC BY 4.0"));
    assert_eq!(rows[0]["source"], "https://commons.wikimedia.org/wiki/File:Husky_4.jpg");
    // The copy, not the original of 5 MB.
    assert!(rows[0]["url"].ends_with("/photo/4.jpg"));
}

#[test]
fn what_fails_for_now_is_tried_again_as_the_host_asks() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let start = Instant::now();
    let (output, report) = gather_urls(&folder, &server, &["/429.jpg", "/500.jpg", "/moved.jpg"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((&report["new"], &report["skipped"]), (&json!(3), &json!([])));
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((server.count("/429.jpg"), server.count("/500.jpg")), (2, 3));
}

#[test]
fn what_is_no_photo_is_skipped_with_a_reason() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let faults = [
        ("/slow.jpg", "timeout", 5),
        ("/truncated.jpg", "5 tries failed", 5),
        ("/503.jpg", "left alone for 86400 seconds", 1),
        ("/404.jpg", "404 Not Found", 1),
        ("/html.jpg", "text/html, not image/", 1),
        ("/html-called-picture.jpg", "no picture", 1),
        ("/large.jpg", "larger than 67108864 bytes", 1),
        ("/loop.jpg", "too many redirects", 11),
        ("/to-file.jpg", "", 1),
        ("/to-private.jpg", "leads to 127.0.0.2, which is no public address", 1),
    ];
    let (output, report) = gather_urls(&folder, &server, &faults.map(|(path, _, _)| path));
    assert!(output.status.success(), "{output:?}");
    let skipped = report["skipped"].as_array().unwrap();
    assert_eq!((skipped.len(), &report["new"]), (faults.len(), &json!(0)), "{report}");
    for (skipped, (path, reason, requests)) in skipped.iter().zip(faults) {
        let (file, given) = (skipped["file"].as_str().unwrap(), skipped["reason"].as_str().unwrap());
        assert!(file.ends_with(path) && given.contains(reason), "{skipped}");
        assert!(text(&output.stderr).contains(&format!("{file}: {given}")));
        assert_eq!(server.count(path), requests, "{path}");
    }
    let output = husky(folder.path(), &["--query", "a", "--count", "1", "--api", &server.url("/endless")]);
    assert!(text(&output.stderr).contains("openverse: is larger than 4194304 bytes"), "{output:?}");
    // Nobody knocked at the private address.
    assert_eq!(server.count("/photo/25.jpg"), 0);
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn private_addresses_are_not_connected_to_whatever_their_name() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let port = server.port;
    let urls = ["localhost", "127.0.0.2", "2130706434", "[::1]", "[::ffff:127.0.0.2]"];
    let urls: Vec<String> = urls.iter().map(|host| format!("http://{host}:{port}/photo/0.jpg")).collect();
    fs::write(folder.path().join("urls.txt"), urls.join("\n")).unwrap();
    let arguments = ["gather", "--urls", "urls.txt", "--label", "husky", "--out", "data", "--json", "--delay", "0.01"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_husky"));
    let output = command.current_dir(folder.path()).args(arguments).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(server.count("/"), 0);
    for skipped in report["skipped"].as_array().unwrap() {
        assert!(skipped["reason"].as_str().unwrap().contains("no public address"), "{skipped}");
    }
    assert_eq!(report["skipped"].as_array().unwrap().len(), urls.len());
}

#[test]
fn copies_are_dropped_and_near_duplicates_stay_on_one_side() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    // A photo of the user's own, of another label, in the validation part.
    let other = folder.path().join("data/validation/other");
    fs::create_dir_all(&other).unwrap();
    // The next shot of a burst: something moved, by more than compression changes and less than makes it another photo.
    let hash = |picture: &RgbImage| {
        let pixels = Pixels::from_rgb(picture.width(), picture.height(), picture.as_raw().clone()).unwrap();
        near_duplicates::hash(&near_duplicates::square(&pixels))
    };
    let moved = |side: u32| {
        let mut shot = drawing(1);
        imageops::replace(&mut shot, &RgbImage::new(side, side), 60, 40);
        shot
    };
    let distance = |shot: &RgbImage| hash(shot).dist(&hash(&drawing(1)));
    let near = (1..40).map(moved).find(|shot| (14..=22).contains(&distance(shot))).unwrap();
    near.save(other.join("own.png")).unwrap();

    let (_, report) = gather_urls(&folder, &server, &["/photo/1.jpg", "/smaller.jpg", "/photo/2.jpg", "/photo/1.jpg"]);
    assert_eq!((&report["training"], &report["validation"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(report["skipped"][0]["reason"], "is a photo that is there already");
    assert_eq!(report["skipped"].as_array().unwrap().len(), 1);
    let rows = rows(folder.path());
    assert!(
        rows[0]["file"].starts_with("validation/husky/urls_") && rows[1]["file"].starts_with("training/husky/urls_")
    );
}

#[test]
fn ctrl_c_leaves_whole_files_and_the_same_command_goes_on() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let urls = ["/photo/0.jpg", "/photo/1.jpg", "/slow.jpg", "/photo/2.jpg"].map(|path| server.url(path));
    fs::write(folder.path().join("urls.txt"), urls.join("\n")).unwrap();
    let mut command = command(folder.path(), &["--urls", "urls.txt", "--timeout", "10"]);
    let running = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Until it waits for the slow one.
    let start = Instant::now();
    while server.count("/slow.jpg") == 0 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(text(&output.stderr).contains("the same command goes on"), "{output:?}");
    let kept: Vec<String> = rows(folder.path()).iter().map(|row| row["file"].clone()).collect();
    assert_eq!(kept.len(), 2);
    for file in files(folder.path()) {
        let bytes = fs::read(folder.path().join("data").join(&file)).unwrap();
        assert!(file.extension().is_none_or(|e| e != "jpg") || image::load_from_memory(&bytes).is_ok(), "{file:?}");
    }
    let output = self::command(folder.path(), &["--urls", "urls.txt", "--timeout", "10"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(rows(folder.path()).len(), 4);
    // What was there was not asked for again.
    assert_eq!(server.count("/photo/0.jpg"), 1);
}

#[test]
fn wrong_arguments_are_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], sentence: &str| {
        let output = husky(folder.path(), arguments);
        assert!(text(&output.stderr).contains(sentence), "{output:?}");
        output.status.code()
    };
    assert_eq!(refused(&[], "--query <WORDS>"), Some(2));
    assert_eq!(refused(&["--urls", "none.txt"], "none.txt: can't be read as text"), Some(1));
    assert_eq!(refused(&["--query", "a", "--count", "1", "--validation-fraction", "1"], "between 0 and 1"), Some(1));
    let output = command(folder.path(), &["--query", "a", "--count", "1", "--timeout", "1e19"]).output().unwrap();
    assert!(text(&output.stderr).contains("--timeout 10000000000000000000: is no time"), "{output:?}");
    fs::create_dir_all(folder.path().join("data/husky")).unwrap();
    assert_eq!(refused(&["--query", "a", "--count", "1"], "train would overlook this folder"), Some(1));
    fs::remove_dir(folder.path().join("data/husky")).unwrap();
    fs::write(folder.path().join("data/attribution.csv"), "a,b\n1,2\n").unwrap();
    assert_eq!(refused(&["--query", "a", "--count", "1"], "data/attribution.csv: is not a record"), Some(1));
}
