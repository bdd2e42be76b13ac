//! The built site in a real browser: what a visitor does, and what must not happen meanwhile.
//!
//! `cargo xtask test` builds the site and the native command, finds Chromium and runs this.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    process::Command,
};

use image::{ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage, codecs::png::PngEncoder};
use serde_json::{Value, json};
use support::{
    browser::{Browser, program},
    site::{DEFAULT_MODEL, MODEL, Photos, Site},
};
use xtask::server::Server;

/// WebDriver's names of keys.
const TAB: char = '\u{E004}';
const SHIFT: char = '\u{E008}';
const ENTER: char = '\u{E007}';

/// Said at the end of every visit: the policy stopped nothing, and no other host was asked for, whose name the browser
/// would not have found.
fn no_violations(browser: &Browser) {
    assert_eq!(browser.read("violations"), json!([]));
    let log = browser.log();
    let foreign = ["Content Security Policy", "ERR_NAME_NOT_RESOLVED"];
    assert!(!log.iter().any(|line| foreign.iter().any(|fault| line.contains(fault))), "{log:?}");
}

/// Opens a site whose answers are known, at the root of a server.
fn open(site: &Site) -> (Server, Browser) {
    let server = site.serve("/");
    let browser = Browser::start();
    browser.open_ready(&server.url());
    (server, browser)
}

/// Waits for this number of results and returns them.
#[track_caller]
fn results(browser: &Browser, number: usize) -> Vec<Value> {
    browser.until("the answers are there", &format!("results.length >= {number}"));
    browser.read("results").as_array().unwrap().clone()
}

#[test]
fn a_chosen_photo_gets_its_answer_and_nothing_is_asked_of_the_network() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (server, browser) = open(&site);
    assert_eq!(
        browser.read("$('model').textContent"),
        "Model bright · 2\u{a0}kB · 193 parameters · 2026-11-22 · husky from 60.0\u{a0}% on"
    );
    browser.read("navigator.serviceWorker.ready.then(() => true)");
    let before = server.requests();
    browser.choose("files", &[photos.picture("snow.jpg", 220), photos.picture("night.png", 30)]);
    let results = results(&browser, 2);
    assert_eq!((&results[0]["file"], &results[0]["label"]), (&json!("snow.jpg"), &json!("husky")));
    assert_eq!((&results[1]["file"], &results[1]["label"]), (&json!("night.png"), &json!("nothusky")));
    for result in &results {
        let both: f64 = result["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum();
        assert!((both - 1.0).abs() < 1e-6 && result["probability"].as_f64().unwrap() > 0.5, "{result}");
        assert!(result["milliseconds"].as_f64().unwrap() > 0.0 && result["decodedBy"] == "husky", "{result}");
    }
    let texts = browser.read("cards().map((card) => card.innerText)");
    assert!(texts[0].as_str().unwrap().starts_with("Husky"), "{texts}");
    assert!(texts[1].as_str().unwrap().starts_with("Not a husky"), "{texts}");
    // The bar of both speaks of the husky, and so agrees with the threshold's tick.
    let bars = browser.read("cards().map((card) => Number(card.querySelector('.bar').ariaValueNow))");
    assert!(bars[0].as_f64().unwrap() > 50.0 && bars[1].as_f64().unwrap() < 50.0, "{bars}");
    assert_eq!(browser.read("cards().map((card) => card.querySelector('.tick').style.left)"), json!(["40%", "40%"]));
    browser.until("thumbnails show", "cards().every((card) => card.querySelector('img').naturalWidth === 320)");
    assert_eq!(
        browser.read("$('announcement').textContent"),
        "2 photos: 1\u{a0}×\u{a0}Husky, 1\u{a0}×\u{a0}Not a husky"
    );
    // The first photo file of a kind brings its decoder, which the camera does without, and then nothing is asked for.
    let asked_for = || server.requests()[before.len()..].to_vec();
    let decoders = ["GET /husky_jpeg_bg.wasm", "GET /husky_png_bg.wasm", "GET /husky_decoder_bg.wasm"];
    assert_eq!(asked_for(), decoders[..2], "classifying asked the network for something");
    browser.choose("files", &[photos.picture("dawn.webp", 200)]);
    browser.until("it is judged", "window.results.length === 3");
    browser.choose("files", &[photos.picture("dusk.png", 128)]);
    browser.until("it says that it is not sure", "cards()[3].innerText.startsWith('Not sure')");
    assert_eq!(browser.read("results.map((result) => result.unsure)"), json!([false, false, false, true]));
    assert_eq!(asked_for(), decoders, "classifying asked the network for something");
    no_violations(&browser);
}

#[test]
fn a_colour_profile_is_left_to_the_decoder_of_everything() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (server, browser) = open(&site);
    browser.read("navigator.serviceWorker.ready.then(() => true)");
    let before = server.requests().len();
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_icc_profile(profile).unwrap();
    encoder.write_image(&[220; 40 * 30 * 3], 40, 30, ExtendedColorType::Rgb8).unwrap();
    browser.choose("files", &[photos.file("p3.png", &png)]);
    let result = &results(&browser, 1)[0];
    assert_eq!((&result["label"], &result["decodedBy"]), (&json!("husky"), &json!("husky")));
    assert_eq!(server.requests()[before..], ["GET /husky_png_bg.wasm", "GET /husky_decoder_bg.wasm"]);
    no_violations(&browser);
}

#[test]
fn dropped_and_pasted_photos_are_judged() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    let data = json!({ "items": [], "files": [photos.picture("dropped.webp", 210)], "dragOperationsMask": 1 });
    for kind in ["dragEnter", "dragOver", "drop"] {
        // Far from the element: the whole page takes photos.
        browser.devtools("Input.dispatchDragEvent", json!({ "type": kind, "x": 20, "y": 20, "data": data }));
        assert_eq!(browser.read("$('frame').classList.contains('dragging')"), json!(kind != "drop"));
    }
    assert_eq!(results(&browser, 1)[0]["file"], "dropped.webp");

    // Only a page with the focus may write, and no window of a headless browser surely has it.
    browser.devtools("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
    browser.devtools(
        "Browser.grantPermissions",
        json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] }),
    );
    browser.read(
        "(async () => {
            const canvas = new OffscreenCanvas(40, 40);
            canvas.getContext('2d').fillRect(0, 0, 40, 40);
            await navigator.clipboard.write([new ClipboardItem({ 'image/png': await canvas.convertToBlob() })]);
            return true;
        })()",
    );
    let paste = json!({ "type": "keyDown", "key": "v", "code": "KeyV", "modifiers": 2, "commands": ["paste"] });
    browser.devtools("Input.dispatchKeyEvent", paste);
    let results = results(&browser, 2);
    assert_eq!(results[1]["label"], "nothusky", "a black picture was pasted");
    no_violations(&browser);
}

#[test]
fn a_bad_photo_shows_its_error_and_the_others_go_on() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    let good = photos.picture("good.png", 220);
    let bytes = fs::read(&good).unwrap();
    let files = [
        photos.file("cut.png", &bytes[..bytes.len() / 3]),
        good,
        photos.file("letter.pdf", b"%PDF-1.4 no picture"),
        photos.file("empty.png", b""),
        photos.picture("last.bmp", 20),
    ];
    browser.choose("files", &files);
    assert_eq!(results(&browser, 2).len(), 2);
    browser.until("all photos are judged", "failures.length === 3");
    let failures = browser.read("failures.map(({ file, code }) => [file, code])");
    assert_eq!(failures[0][0], "cut.png");
    assert!(failures.as_array().unwrap().iter().all(|f| f[1].as_str().unwrap().starts_with("photo-")), "{failures}");
    assert_eq!(browser.read("cards().filter((card) => shown(card.querySelector('.failure'))).length"), 3);
    assert_eq!(browser.read("cards()[0].querySelector('.failure').textContent.length > 20"), true);
    // Each can be tried again, and removed.
    browser.read("cards()[0].querySelector('.again').click()");
    browser.until("it was tried again", "failures.length === 4");
    browser.read("cards()[0].querySelector('.remove').click()");
    assert_eq!(browser.read("cards().length"), 4);
    browser.click("clear");
    assert_eq!(browser.read("cards().length"), 0);
    no_violations(&browser);
}

#[test]
fn a_photo_that_hides_another_gets_a_warning_and_no_sure_answer() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    // Bright, but for one pixel in sixteen: those that a nearest-neighbour resize to 224 by 224 looks at.
    let hides = RgbImage::from_fn(896, 896, |x, y| Rgb([if x % 4 == 2 && y % 4 == 2 { 0 } else { 220 }; 3]));
    let mut png = Cursor::new(Vec::new());
    hides.write_to(&mut png, ImageFormat::Png).unwrap();
    browser.choose("files", &[photos.file("hides.png", png.get_ref()), photos.picture("snow.png", 220)]);
    let results = results(&browser, 2);
    for (result, hides) in results.iter().zip([true, false]) {
        assert_eq!(result["hidesAnother"], hides);
        assert_eq!((&result["label"], &result["unsure"]), (&json!("husky"), &json!(hides)));
    }
    let warned = "cards().map((card) => !card.querySelector('.warning').hidden)";
    assert_eq!(browser.read(warned), json!([true, false]));
    no_violations(&browser);
}

#[test]
fn a_format_that_only_the_browser_reads_is_judged_and_says_so() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    // 24x16 light grey pixels; nothing here can write AVIF, so they lie in a file.
    browser.choose("files", &[photos.file("light.avif", include_bytes!("fixtures/white.avif"))]);
    let result = &results(&browser, 1)[0];
    assert_eq!((&result["label"], &result["decodedBy"]), (&json!("husky"), &json!("browser")));
    browser.until("the page says so", "cards()[0].innerText.includes('decoded by the browser')");
    no_violations(&browser);
}

#[test]
fn another_model_can_be_loaded_and_a_bad_one_changes_nothing() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    browser.choose("files", &[photos.picture("snow.png", 220)]);
    assert_eq!(results(&browser, 1)[0]["label"], "husky");

    let mut broken = support::model::bright_model("broken");
    let last = broken.len() - 1;
    broken[last] ^= 1;
    browser.choose("model-file", &[photos.file("broken.safetensors", &broken)]);
    browser.until("the error shows", "shown($('problem'))");
    let text = browser.read("$('problem-text').textContent");
    assert!(text.as_str().unwrap().starts_with("broken.safetensors: "), "{text}");
    assert!(text.as_str().unwrap().ends_with("The model bright stays in use."), "{text}");
    assert!(browser.read("failures[0].code").as_str().unwrap().starts_with("model-"));
    browser.choose("files", &[photos.picture("snow2.png", 220)]);
    assert_eq!(results(&browser, 2)[1]["label"], "husky");

    browser.choose("model-file", &[photos.file("other.safetensors", &support::model::dark_model("other"))]);
    browser.until("the model changed", "$('model').textContent.startsWith('Model other') && !shown($('problem'))");
    // The photos that are there are judged again.
    let results = results(&browser, 4);
    assert_eq!((&results[2]["label"], &results[3]["label"]), (&json!("nothusky"), &json!("nothusky")));
    assert!(browser.read("$('model').textContent").as_str().unwrap().ends_with(" · unverified"));
    // One that ships is known again, whatever the file is called.
    let tiny = fs::read(site.folder().join("models/tiny.safetensors")).unwrap();
    browser.choose("model-file", &[photos.file("mine.safetensors", &tiny)]);
    browser.until("the model changed", "$('model').textContent.startsWith('Model tiny')");
    assert!(!browser.read("$('model').textContent").as_str().unwrap().contains("unverified"));
    no_violations(&browser);
}

#[test]
fn another_model_under_the_name_of_one_that_ships_is_refused() {
    let site = Site::shipped();
    site.change(DEFAULT_MODEL, &support::model::bright_model("bright"));
    let (server, browser) = (site.serve("/"), Browser::start());
    browser.open(&server.url());
    browser.until("the error shows", "shown($('problem')) && $('problem-text').textContent.includes('was built with')");
    assert_eq!(browser.read("failures.map(({ code }) => code)"), json!(["model-digest"]));
    assert_eq!(browser.read("$('model').textContent"), "No model");
    no_violations(&browser);
}

#[test]
fn a_heat_map_and_feature_maps_show_what_an_answer_rests_on() {
    let (site, photos) = (Site::shipped(), Photos::new());
    let (_server, browser) = open(&site);
    browser.read("document.querySelector('husky-classifier').setAttribute('model', 'models/tiny.safetensors')");
    browser.until("the tiny model is there", "$('model').textContent.startsWith('Model tiny')");
    browser.choose("files", &[photos.picture("snow.png", 220)]);
    let plain = results(&browser, 1)[0].clone();
    assert_eq!(
        browser.read("[shown(cards()[0].querySelector('.heat')), shown(cards()[0].querySelector('.inside'))]"),
        json!([false, false])
    );

    browser.click("photos-explain");
    let explained = results(&browser, 2)[1].clone();
    assert_eq!((&explained["label"], &explained["probability"]), (&plain["label"], &plain["probability"]));
    browser.until("the heat map shows", "shown(cards()[0].querySelector('.heat'))");
    assert_eq!(browser.read("$('photos-explain').getAttribute('aria-pressed')"), "true");
    // It lies over all of the photo, and something is seen in it.
    let over = "['.image', '.heat'].map((part) => cards()[0].querySelector(part).getBoundingClientRect()).map(({ x, y, width, height }) => [x, y, width, height].map(Math.round))";
    let boxes = browser.read(over);
    assert_eq!(boxes[0], boxes[1]);
    let alpha = "(() => { const c = cards()[0].querySelector('.heat'); const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height); return [c.width, Math.max(...data.filter((_, i) => i % 4 === 3))] })()";
    assert_eq!(browser.read(alpha), json!([7, 200]));

    browser.read("cards()[0].querySelector('.inside').click()");
    browser.until("the feature maps show", "shown(cards()[0].querySelector('.maps'))");
    assert_eq!(browser.read("cards()[0].querySelector('.mosaic').width"), 8 * 41);
    assert_eq!(browser.read("host.shadowRoot.activeElement.className"), "maps");

    browser.click("photos-explain");
    results(&browser, 3);
    assert_eq!(
        browser.read("['.heat', '.inside', '.maps'].map((part) => shown(cards()[0].querySelector(part)))"),
        json!([false, false, false])
    );
    assert_eq!(browser.read("failures"), json!([]));
    no_violations(&browser);
}

#[test]
fn the_page_offers_the_models_that_ship() {
    let (site, photos) = (Site::shipped(), Photos::new());
    let (_server, browser) = open(&site);
    browser.choose("files", &[photos.picture("snow.png", 220)]);
    results(&browser, 1);
    let names = browser.read("Array.from(document.querySelectorAll('#model option'), (option) => option.value)");
    let names = names.as_array().unwrap();
    assert!(names.len() > 1 && names[0] == "husky", "{names:?}");
    for (i, name) in names.iter().enumerate().rev() {
        browser.read(&format!(
            "(() => {{ const select = document.getElementById('model'); select.value = {name}; select.dispatchEvent(new Event('change')) }})()"
        ));
        // The photo is judged anew each time.
        results(&browser, 1 + names.len() - i);
        let file = fs::read(site.folder().join(format!("models/{}.safetensors", name.as_str().unwrap()))).unwrap();
        let preset = husky::weights::read(&file).unwrap().0.name;
        browser.until("its name shows", &format!("$('model').textContent.startsWith('Model {preset} ')"));
    }
    assert_eq!(browser.read("failures"), json!([]));
    no_violations(&browser);
}

#[test]
fn a_missing_model_is_an_error_that_can_be_retried() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (server, browser) = (site.serve("/"), Browser::start());
    fs::rename(site.folder().join(MODEL), site.folder().join("away")).unwrap();
    browser.open(&server.url());
    browser.until("the error shows", "shown($('problem')) && $('problem-text').textContent.includes('404')");
    assert_eq!(browser.read("failures.map(({ code }) => code)"), json!(["model-download"]));
    browser.choose("files", &[photos.picture("snow.png", 220)]);
    // A file that is no model does not bar the way back.
    browser.choose("model-file", &[photos.file("broken.safetensors", b"broken")]);
    browser.until("its error shows", "$('problem-text').textContent.startsWith('broken.safetensors: ')");
    assert_eq!(browser.read("[shown($('problem-retry')), shown($('model-retry'))]"), json!([true, false]));
    // Nor does it when its error is dismissed, or another takes its place.
    browser.click("problem-close");
    assert_eq!(browser.read("[shown($('problem')), shown($('model-retry'))]"), json!([false, true]));
    assert_eq!(browser.read("host.shadowRoot.activeElement.id"), "model-retry");
    browser
        .read("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))");
    browser.click("camera-start");
    browser.until("the camera's error shows", "shown($('problem')) && shown($('drop'))");
    assert_eq!(browser.read("[shown($('problem-retry')), shown($('model-retry'))]"), json!([false, true]));
    browser.click("model-retry");
    browser.until("the model is missing still", "$('problem-text').textContent.includes('404')");
    assert_eq!(browser.read("[shown($('problem-retry')), shown($('model-retry'))]"), json!([true, false]));
    fs::rename(site.folder().join("away"), site.folder().join(MODEL)).unwrap();
    browser.click("problem-retry");
    assert_eq!(results(&browser, 1)[0]["label"], "husky", "the waiting photo is judged when there is a model");
    let progress = browser.read("[$('progress').value, host.setAttribute('model', 'x'), $('progress').value]");
    assert_eq!((&progress[0], &progress[2]), (&json!(1), &json!(0)), "the next download begins at its beginning");
    no_violations(&browser);
}

#[test]
fn the_camera_answers_live_and_is_released() {
    let site = Site::bright();
    let (server, browser) = open(&site);
    let start = || {
        browser.click("camera-start");
        browser.until("the camera answers", "$('live').textContent.includes('husky') && results.length > 2");
        browser.read("window.stream = $('video').srcObject, stream.getTracks().every((t) => t.readyState === 'live')")
    };
    let released = "stream.getTracks().every((track) => track.readyState === 'ended')";
    assert_eq!(start(), true);
    assert_eq!(
        browser.read("results.every(({ file, decodedBy }) => file === undefined && decodedBy === 'browser')"),
        true
    );

    browser.click("camera-explain");
    browser.until("the heat map shows", "shown($('live-heat')) && $('live-heat').width === 8");
    let same = "['video', 'live-heat'].map($).map((part) => part.getBoundingClientRect()).map(({ width, height }) => [width, height].map(Math.round))";
    let boxes = browser.read(same);
    assert_eq!(boxes[0], boxes[1]);
    browser.click("camera-explain");
    browser.until("the heat map goes", "!shown($('live-heat'))");

    // Of two cameras the other one follows, and the first is off.
    let first = browser.read("stream.getVideoTracks()[0].getSettings().deviceId");
    browser.until("there is another camera", "shown($('camera-switch'))");
    browser.click("camera-switch");
    browser.until(
        "the other camera runs",
        "$('video').srcObject && $('video').srcObject !== stream && results.length > 4",
    );
    assert_eq!(browser.read(released), true);
    assert_ne!(browser.read("$('video').srcObject.getVideoTracks()[0].getSettings().deviceId"), first);

    browser.read("window.stream = $('video').srcObject");
    browser.click("camera-stop");
    browser.until("stopping releases the camera", released);
    assert!(browser.read("shown($('drop')) && !shown($('camera'))") == true);

    assert_eq!(start(), true);
    browser.cover_with_a_tab();
    browser.until("hiding the page releases the camera", released);

    browser.open_ready(&server.url());
    assert_eq!(start(), true);
    browser.read("host.remove()");
    browser.until("removing the element releases the camera", released);
    browser.read("window.count = results.length");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(browser.read("results.length - count"), 0);
    no_violations(&browser);
}

#[test]
fn a_refused_camera_is_an_error_and_the_page_goes_on() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    browser
        .read("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))");
    browser.click("camera-start");
    browser.until("the error shows", "shown($('problem')) && shown($('drop'))");
    assert_eq!(browser.read("failures[0].code"), "camera-denied");
    browser.choose("files", &[photos.picture("snow.png", 220)]);
    results(&browser, 1);
    no_violations(&browser);
}

#[test]
fn it_works_offline_under_a_sub_path() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (server, browser) = (site.serve("/some/where/"), Browser::start());
    let url = server.url();
    browser.open_ready(&url);
    installed(&browser);
    server.stop();
    browser.open_ready(&url);
    browser.choose("files", &[photos.picture("snow.jpg", 220)]);
    assert_eq!(results(&browser, 1)[0]["label"], "husky");
    browser.open(&format!("{url}embed.html"));
    browser.until("the other page is there too", "shown($('model')) && !shown($('progress'))");
    no_violations(&browser);
}

#[test]
fn a_new_version_takes_over_whole_or_not_at_all() {
    let site = Site::bright();
    let (server, browser) = open(&site);
    let url = server.url();
    installed(&browser);
    let page = fs::read_to_string(site.folder().join("index.html")).unwrap();
    let versions = "caches.keys().then((names) => names.length)";
    let update = "navigator.serviceWorker.ready.then((r) => r.update()).then(() => true, () => true)";

    // A deployment that is not complete: the list promises what is not there.
    let whole = site.list();
    let mut broken = whole.clone();
    broken["files"][0]["sha256"] = json!("0".repeat(64));
    fs::write(site.folder().join("index.html"), page.replace("<title>", "<title>New ")).unwrap();
    site.publish(&broken);
    browser.read(update);
    browser.until(
        "the half version is given up",
        "navigator.serviceWorker.ready.then((r) => !r.installing && !r.waiting)",
    );
    assert_eq!(browser.read(versions), 1);
    browser.open_ready(&url);
    assert_eq!(browser.read("document.title.startsWith('New')"), false, "old and new were mixed");

    // The whole of it: the open page keeps the old version, the next visit has the new one.
    fs::write(
        site.folder().join("precache.json"),
        json!({ "version": site.list()["version"], "files": whole["files"] }).to_string(),
    )
    .unwrap();
    site.change("index.html", page.replace("<title>", "<title>New ").as_bytes());
    browser.read(update);
    browser.until("the new version waits", "navigator.serviceWorker.ready.then((r) => Boolean(r.waiting))");
    assert_eq!(browser.read(versions), 2);
    browser.open("about:blank");
    server.stop();
    std::thread::sleep(std::time::Duration::from_millis(500));
    browser.open_ready(&url);
    assert_eq!(browser.read("document.title.startsWith('New')"), true);
    browser.until("the old version is gone", &format!("{versions}.then((n) => n === 1)"));
    no_violations(&browser);
}

/// Waits until the site is kept for offline use.
fn installed(browser: &Browser) {
    browser.until(
        "the site is kept for offline use",
        "navigator.serviceWorker.ready.then((registration) => registration.active.state === 'activated')",
    );
}

#[test]
fn a_blog_post_elsewhere_embeds_two_elements_with_one_worker_and_one_model() {
    let (site, photos) = (Site::bright(), Photos::new());
    let all = tempfile::tempdir().unwrap();
    support::site::copy(site.folder(), &all.path().join("tools/husky"));
    // What a blogger does: copy the tag and the element, and say where the folder is.
    let element = "<husky-classifier>";
    let post = fs::read_to_string(site.folder().join("embed.html")).unwrap();
    assert_eq!((post.matches("<script").count(), post.matches(element).count()), (1, 1));
    let post = post.replace("=\"husky-classifier.js", "=\"../../tools/husky/husky-classifier.js");
    // The first in colours of its own, which the second must not get.
    let first = "<husky-classifier class=\"red\"></husky-classifier>";
    let post = post.replacen(element, &format!("{first}{element}"), 1);
    fs::create_dir_all(all.path().join("blog/2026")).unwrap();
    fs::write(all.path().join("blog/2026/post.html"), post).unwrap();

    let server = Server::start(all.path(), "/", std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let browser = Browser::start();
    browser.open_ready(&format!("{}blog/2026/post.html", server.url()));
    let second =
        |id: &str| format!("document.querySelectorAll('husky-classifier')[1].shadowRoot?.getElementById('{id}')");
    browser.until("the second has its model too", &format!("{}?.textContent.startsWith('Model')", second("model")));
    let accent = |i: u32| {
        browser.read(&format!("getComputedStyle(document.querySelectorAll('husky-classifier')[{i}].shadowRoot.getElementById('choose')).backgroundColor"))
    };
    browser.read("document.querySelector('.red').style.setProperty('--husky-accent', 'rgb(200, 0, 0)')");
    assert_eq!(accent(0), "rgb(200, 0, 0)");
    assert_ne!(accent(1), "rgb(200, 0, 0)");
    let loads = server.requests().iter().filter(|line| line.ends_with(DEFAULT_MODEL)).count();
    assert_eq!(loads, 1, "{:?}", server.requests());
    browser.choose("files", &[photos.picture("snow.png", 220), photos.picture("night.png", 20)]);
    results(&browser, 2);
    assert_eq!(browser.read(&format!("{}.children.length", second("photos"))), 0);
    assert_eq!(browser.read("workers.length"), 1);
    // One of them may go: the other still answers.
    browser.read("document.querySelectorAll('husky-classifier')[1].remove()");
    browser.choose("files", &[photos.picture("day.png", 220)]);
    results(&browser, 3);
    assert_eq!(browser.read("workers.length"), 1);
    no_violations(&browser);
}

#[test]
fn a_dead_worker_is_replaced_and_only_its_photo_fails() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    // A message that is none of ours crashes it, once the first answer is there.
    browser.read("addEventListener('husky-result', () => workers.at(-1).postMessage(null), { once: true })");
    let files: Vec<PathBuf> = (0..8).map(|i| photos.picture(&format!("{i}.png"), 220)).collect();
    browser.choose("files", &files);
    browser.until("all are judged", "results.length + failures.length === 8");
    assert_eq!(browser.read("failures.map(({ code }) => code)"), json!(["worker-died"]));
    assert_eq!(browser.read("workers.length"), 2);
    browser.read("cards().find((card) => shown(card.querySelector('.again'))).querySelector('.again').click()");
    browser.until("trying again helps", "results.length === 8");
    no_violations(&browser);
}

/// A script for [`Browser::before_pages`]: twenty seconds pass in one.
const SHORT_SECONDS: &str =
    "const wait = setTimeout; window.setTimeout = (act, ms, ...rest) => wait(act, ms / 20, ...rest);";

#[test]
fn a_worker_that_hangs_is_stopped_after_its_time() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (server, browser) = (site.serve("/"), Browser::start());
    browser.before_pages(SHORT_SECONDS);
    browser.open_ready(&server.url());
    browser.read("workers[0].terminate()");
    browser.choose("files", &[photos.picture("a.png", 220), photos.picture("b.png", 220)]);
    browser.until("the second is judged by a new worker", "results.length === 1");
    assert_eq!(browser.read("failures.map(({ file, code }) => [file, code])"), json!([["a.png", "timeout"]]));
    assert_eq!(browser.read("workers.length"), 2);
    no_violations(&browser);
}

/// Changes the site's worker: `script` runs in it before anything is downloaded.
fn change_worker(site: &Site, script: &str) {
    let worker = fs::read_to_string(site.folder().join("worker.js")).unwrap();
    site.change("worker.js", format!("{script}\n{worker}").as_bytes());
}

#[test]
fn a_slow_download_of_what_reads_photo_files_is_waited_for() {
    let (site, photos) = (Site::bright(), Photos::new());
    change_worker(
        &site,
        "const download = fetch, wait = (ms) => new Promise((act) => setTimeout(act, ms)); \
         self.fetch = async (...what) => { await wait(4000); return download(...what); };",
    );
    let (server, browser) = (site.serve("/"), Browser::start());
    browser.before_pages(SHORT_SECONDS);
    browser.open_ready(&server.url());
    browser.choose("files", &[photos.picture("a.png", 220)]);
    results(&browser, 1);
    assert_eq!(browser.read("failures"), json!([]));
    assert_eq!(browser.read("workers.length"), 1);
    no_violations(&browser);
}

#[test]
fn a_download_of_what_reads_photo_files_that_hangs_ends_and_can_be_tried_again() {
    let (site, photos) = (Site::bright(), Photos::new());
    // The first download never comes, and two minutes pass in one second.
    change_worker(
        &site,
        "const download = fetch, { timeout } = AbortSignal; \
         AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 120); \
         self.fetch = (_, { signal }) => new Promise((_, fail) => signal.addEventListener('abort', () => { \
           self.fetch = download; fail(signal.reason); }));",
    );
    let (_server, browser) = open(&site);
    browser.choose("files", &[photos.picture("a.png", 220), photos.picture("b.png", 220)]);
    results(&browser, 1);
    assert_eq!(browser.read("failures.map(({ file, code }) => [file, code])"), json!([["a.png", "decoder-download"]]));
    assert_eq!(browser.read("workers.length"), 1, "the worker has nothing to answer for");
    no_violations(&browser);
}

#[test]
fn what_is_announced_does_not_wait_for_a_photo_that_was_removed() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    // The worker hangs once the first answer is there.
    browser.read("addEventListener('husky-result', () => workers.at(-1).terminate(), { once: true })");
    browser.choose("files", &[photos.picture("a.png", 220), photos.picture("b.png", 220)]);
    results(&browser, 1);
    assert_eq!(browser.read("$('announcement').textContent"), "");
    browser.read("cards()[1].querySelector('.remove').click()");
    assert_eq!(browser.read("$('announcement').textContent"), "1 photo: 1\u{a0}×\u{a0}Husky");
    no_violations(&browser);
}

#[test]
fn the_keyboard_is_enough() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    let focused = || browser.read("host.shadowRoot.activeElement?.id ?? ''");
    browser.press(None, &[TAB]);
    assert_eq!(focused(), "choose", "the first stop of the page");
    assert_ne!(browser.read("getComputedStyle($('choose')).outlineStyle"), "none", "the focus can be seen");
    browser.read("$('files').addEventListener('click', (event) => { event.preventDefault(); window.asked = true; })");
    browser.press(None, &[ENTER]);
    assert_eq!(browser.read("window.asked"), true);
    browser.press(None, &[TAB, ENTER]);
    browser.until("the camera runs", "results.length > 0");
    assert_eq!(focused(), "camera-stop");
    // The next camera: whoever switched can switch again.
    browser.until("there is another", "shown($('camera-switch'))");
    let camera = "$('video').srcObject?.getVideoTracks()[0]?.getSettings().deviceId";
    let first = browser.read(camera);
    browser.press(None, &[TAB]);
    assert_eq!(focused(), "camera-explain");
    browser.press(None, &[TAB, ENTER]);
    browser.until("it runs", &format!("{camera} && {camera} !== {first}"));
    assert_eq!(focused(), "camera-switch");
    browser.press(Some(SHIFT), &[TAB, TAB]);
    assert_eq!(focused(), "camera-stop");
    browser.press(None, &[' ']);
    browser.until("it is off", "shown($('drop'))");
    assert_eq!(focused(), "camera-start");
    browser.read("(results.length = 0, true)");
    browser.choose("files", &[photos.picture("snow.png", 220), photos.picture("ice.png", 210)]);
    results(&browser, 2);
    // Heat maps, clear all, and the photo's own button.
    browser.press(None, &[TAB]);
    assert_eq!(focused(), "photos-explain");
    browser.press(None, &[TAB]);
    assert_eq!(focused(), "clear");
    browser.press(None, &[TAB]);
    for name in ["snow.png", "ice.png"] {
        assert_eq!(browser.read("host.shadowRoot.activeElement.ariaLabel"), format!("Remove {name}"));
        browser.press(None, &[ENTER]);
    }
    assert_eq!((browser.read("cards().length"), focused()), (json!(0), json!("choose")));
    browser.press(None, &[TAB, TAB]);
    assert_eq!(focused(), "choose-model");
    browser.press(Some(SHIFT), &[TAB]);
    assert_eq!(focused(), "camera-start");
    no_violations(&browser);
}

#[test]
fn it_fits_a_small_screen_and_a_dark_one() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    let long = photos.picture(&format!("{}.png", "a-very-long-name".repeat(8)), 220);
    browser.choose("files", &[long, photos.file("letter.pdf", b"no picture")]);
    results(&browser, 1);
    browser.until("the other failed", "failures.length === 1");
    for width in [320, 360, 768, 1280] {
        let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", screen);
        let widest = browser.read("document.scrollingElement.scrollWidth");
        assert!(widest.as_i64().unwrap() <= width, "{widest} pixels on a screen of {width}");
        // The element's frame cuts off what is too wide, so it is asked too.
        let cut = "[...$('frame').querySelectorAll('*')].filter((part) => shown(part) && !part.closest('.unseen')
            && part.getBoundingClientRect().right > $('frame').getBoundingClientRect().right).map((part) => part.className)";
        assert_eq!(browser.read(cut), json!([]), "cut off at {width} pixels");
    }
    let brightness = "(rgb => rgb.reduce((a, b) => a + b) / 3)(getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))";
    assert!(browser.read(brightness).as_f64().unwrap() > 200.0);
    browser.devtools(
        "Emulation.setEmulatedMedia",
        json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] }),
    );
    assert!(browser.read(brightness).as_f64().unwrap() < 50.0);
    let inside = brightness.replace("document.body", "$('frame')");
    assert!(browser.read(&inside).as_f64().unwrap() < 60.0);
    no_violations(&browser);
}

#[test]
fn javascript_gets_typed_objects_and_coded_errors() {
    let (site, photos) = (Site::bright(), Photos::new());
    let (_server, browser) = open(&site);
    let photo = photos.picture("snow.png", 220);
    let bytes: Vec<Value> = fs::read(photo).unwrap().into_iter().map(Value::from).collect();
    let script = format!(
        "(async () => {{
            const {{ Classifier }} = await import(new URL('husky.js', location));
            const model = new Uint8Array(await (await fetch('{MODEL}')).arrayBuffer());
            const classifier = Classifier.load(model);
            const decoder = await import(new URL('husky_decoder.js', location));
            await decoder.default();
            const decode = (photo) => decoder.decode(photo, classifier.info().inputSize);
            const answer = classifier.classify(decode(new Uint8Array({})));
            const frame = classifier.classifyFrame(new ImageData(4, 3));
            const codes = [];
            for (const fails of [() => Classifier.load(model.slice(1)), () => decode(new Uint8Array(9))]) {{
                try {{ fails(); }} catch (error) {{ codes.push([error instanceof Error, error.code, error.message.length > 20]); }}
            }}
            const info = classifier.info();
            classifier.free();
            return {{ answer, frame, info, codes }};
        }})()",
        json!(bytes)
    );
    let got = browser.read(&script);
    assert_eq!((&got["answer"]["label"], &got["answer"]["decodedBy"]), (&json!("husky"), &json!("husky")));
    // Transparent is white, as the page shows it.
    assert_eq!((&got["frame"]["label"], &got["frame"]["decodedBy"]), (&json!("husky"), &json!("browser")));
    assert_eq!(got["info"]["labels"], json!(["husky", "nothusky"]));
    assert_eq!((&got["info"]["parameters"], &got["info"]["inputSize"]), (&json!(193), &json!(8)));
    for code in got["codes"].as_array().unwrap() {
        assert!(code[0] == true && code[1].is_string() && code[2] == true, "{code}");
    }
    assert_eq!(got["codes"][1][1], "photo-format");
    no_violations(&browser);
}

/// The heart of the project: the page and the native command judge alike. 50 real photos where they are at hand.
#[test]
fn the_page_agrees_with_the_native_command() {
    let drawn = Photos::new();
    let (site, model, files) = if let Some(files) = real_photos() {
        (Site::shipped(), DEFAULT_MODEL, files)
    } else {
        println!("the real photos of ../shared/data/husky/validation are not here: generated ones are used");
        let name = |i: usize| format!("{i}.{}", ["jpg", "png", "webp"][i % 3]);
        // To the model that ships, none of these is a husky.
        (Site::bright(), MODEL, (0..50).map(|i| drawn.picture(&name(i), (i * 5) as u8)).collect())
    };
    assert_eq!(files.len(), 50);
    let native = native(&site.folder().join(model), &files);
    assert!(native.iter().any(|line| line["label"] != native[0]["label"]), "one answer for all of them shows little");
    let (_server, browser) = open(&site);
    browser.choose("files", &files);
    let page = results(&browser, files.len());
    for (file, result) in files.iter().zip(&page) {
        let expected = native.iter().find(|line| Path::new(line["file"].as_str().unwrap()) == file).unwrap();
        for what in ["label", "unsure"] {
            assert_eq!(result[what], expected[what], "{}", file.display());
        }
        let difference = result["probability"].as_f64().unwrap() - expected["probability"].as_f64().unwrap();
        assert!(difference.abs() <= 1e-3, "{}: {difference}", file.display());
    }
    no_violations(&browser);
}

/// 50 photos, spread evenly over the validation set.
fn real_photos() -> Option<Vec<PathBuf>> {
    // Chromium's driver takes no path with `..` in it.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/husky/validation").canonicalize().ok()?;
    let mut all: Vec<PathBuf> = Vec::new();
    for label in fs::read_dir(folder).ok()? {
        all.extend(fs::read_dir(label.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
    }
    all.sort();
    Some((0..50).map(|i| all[i * all.len() / 50].clone()).collect())
}

/// What `husky predict --json` says, an object for each photo.
fn native(model: &Path, files: &[PathBuf]) -> Vec<Value> {
    let output =
        Command::new(program("HUSKY_BINARY")).arg("predict").arg(model).args(files).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
