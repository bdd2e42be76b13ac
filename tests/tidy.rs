//! Holds the repository to those of its rules that a program can check. ARCHITECTURE.md says why they are there.
//!
//! Each test breaks its rule once, to show that it can fail, and then looks at every file that git tracks.
#![allow(clippy::unwrap_used, reason = "a file that cannot be read is a failed test")]

use std::{fs, path::Path, process::Command};

/// What a rule has against a file; nothing if all is well.
type Rule = fn(path: &str, text: &str) -> Vec<String>;

/// Where `unsafe` is: the matrix product takes pointers, and a test switches a crate's SIMD off.
const UNSAFE: &[&str] = &["ops/src/gemm.rs", "trainer/tests/resize.rs"];
/// Pictures that are drawn, not taken: no photo is in the repository.
const PICTURES: &[&str] = &[
    "docs/activations.png",
    "docs/attack.png",
    "docs/audit.png",
    "docs/explain.png",
    "docs/explore.png",
    "tests/fixtures/cmyk.jpg",
    "tests/fixtures/progressive.jpg",
    "tests/fixtures/white.avif",
];
/// Files of one idea that takes more than [`MOST_LINES`].
const LONG: &[&str] = &["tests/decode.rs", "tests/end_to_end.rs"];
const MOST_LINES: usize = 400;
const MOST_BYTES: u64 = 20_000_000;

#[test]
fn web_crates_stay_in_src_web() {
    let rule: Rule = |path, text| {
        let homes = ["src/web/", "tests/browser", "bench/src/web.rs"];
        let at_home = homes.iter().any(|home| path.starts_with(home));
        let crates = ["wasm_bindgen", "wasm_bindgen_futures", "web_sys", "js_sys", "serde_wasm_bindgen"];
        let foreign = words(text).filter(|word| crates.contains(word) || word.starts_with("gloo"));
        if at_home || !is_rust(path) { vec![] } else { foreign.map(|word| format!("{path} uses {word}")).collect() }
    };
    breaks(rule, "src/decode.rs", "use web_sys::Window;");
    breaks(rule, "trainer/src/main.rs", "fn f() { gloo_timers::sleep(1) }");
    keeps(rule, "src/web/dom.rs", "use web_sys::Window;");
    keeps(rule, "xtask/src/dist.rs", "wasm_bindgen_cli_support::Bindgen::new()");
    everywhere(rule);
}

#[test]
fn the_classifier_has_no_files_clock_threads_or_chance() {
    let rule: Rule = |path, text| {
        let classifier = ["src/", "engine/src/"].iter().any(|folder| path.starts_with(folder));
        if !classifier || path.starts_with("src/web/") || !is_rust(path) {
            return vec![];
        }
        let modules = ["fs", "time", "thread", "env", "net", "process"];
        let std = std_modules(text).into_iter().filter(|module| modules.contains(module));
        let others = ["rand", "rand_chacha", "getrandom", "rayon", "println", "eprintln", "candle_core"];
        let crates = words(text).filter(|word| others.contains(word));
        std.chain(crates).map(|name| format!("{path} uses {name}")).collect()
    };
    breaks(rule, "src/decode.rs", "let bytes = std::fs::read(path);");
    breaks(rule, "src/decode.rs", "use std::{\n    collections::BTreeMap,\n    time::Instant,\n};");
    breaks(rule, "engine/src/lib.rs", "let x = rand::random();");
    breaks(rule, "src/lib.rs", "println!(\"{x}\")");
    keeps(rule, "src/decode.rs", "// unlike std::fs\nuse std::collections::BTreeMap; let time = 1;");
    keeps(rule, "trainer/src/photos.rs", "std::fs::read(path)");
    everywhere(rule);
}

#[test]
fn only_resize_resizes() {
    let rule: Rule = |path, text| {
        let calls = ["fast_image_resize", "resize_exact", "resize_to_fill", "thumbnail_exact"];
        // What it attacks are other programs' resizes.
        let home = if path == "trainer/src/attack/scaling.rs" { path } else { "src/resize.rs" };
        only_in(home, &calls, path, text)
    };
    breaks(rule, "trainer/src/photos.rs", "photo.thumbnail_exact(128, 128)");
    breaks(rule, "src/web/camera.rs", "use fast_image_resize::Resizer;");
    keeps(rule, "src/resize.rs", "use fast_image_resize::Resizer;");
    everywhere(rule);
}

#[test]
fn only_decode_decodes_files() {
    let rule: Rule = |path, text| {
        let decoders = ["ImageReader", "load_from_memory", "load_from_memory_with_format", "ImageDecoder", "zune_jpeg"];
        only_in("src/decode.rs", &decoders, path, text)
    };
    breaks(rule, "trainer/src/photos.rs", "image::load_from_memory(&bytes)");
    keeps(rule, "src/decode.rs", "image::ImageReader::with_format(bytes, format)");
    everywhere(rule);
}

#[test]
fn unsafe_stays_where_it_is_listed() {
    let rule: Rule = |path, text| {
        let faults = words(text).filter(|word| *word == "unsafe").map(|_| format!("{path} has unsafe code"));
        if !is_rust(path) || UNSAFE.contains(&path) { vec![] } else { faults.collect() }
    };
    breaks(rule, "engine/src/lib.rs", "unsafe { x.get_unchecked(0) }");
    keeps(rule, UNSAFE[0], "unsafe { gemm() }");
    keeps(rule, "engine/src/lib.rs", "#![deny(unsafe_code)]");
    everywhere(rule);
}

#[test]
fn nothing_is_left_to_do() {
    let rule: Rule = |path, text| {
        let macros = ["todo!", "dbg!", "unimplemented!", "TODO", "FIXME", "XXX"];
        let code = if path.ends_with(".rs") { code(text) } else { text.to_owned() };
        let left = macros.into_iter().filter(|left| code.contains(left) || text.contains(&format!("// {left}")));
        left.map(|left| format!("{path} has {left}")).collect()
    };
    breaks(rule, "src/decode.rs", "fn f() { todo!() }");
    breaks(rule, "src/decode.rs", "// TODO: everything");
    breaks(rule, "www/page.js", "// FIXME");
    everywhere(rule);
}

#[test]
fn source_files_are_short() {
    let rule: Rule = |path, text| {
        let lines = text.lines().count();
        let is_wrong = is_rust(path) && (lines > MOST_LINES) != LONG.contains(&path);
        is_wrong
            .then(|| {
                format!(
                    "{path} has {lines} lines: split it, or list it here; or take it off the list where it is short"
                )
            })
            .into_iter()
            .collect()
    };
    breaks(rule, "src/decode.rs", &"\n".repeat(MOST_LINES + 1));
    keeps(rule, "src/decode.rs", &"\n".repeat(MOST_LINES));
    breaks(rule, LONG[0], "");
    everywhere(rule);
}

#[test]
fn there_is_no_photo_and_nothing_huge() {
    let fault = |path: &str, bytes: u64| {
        let extension = path.rsplit('.').next().unwrap().to_lowercase();
        let picture = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "avif", "heic", "tif", "tiff"];
        let photo = picture.contains(&&*extension) && !PICTURES.contains(&path) && !path.starts_with("www/icon");
        photo || bytes > MOST_BYTES
    };
    assert!(fault("tests/husky.JPG", 1) && fault("models/classic.safetensors", MOST_BYTES + 1));
    assert!(!fault("www/icon-192.png", 1) && !fault(PICTURES[0], 1) && !fault("src/lib.rs", MOST_BYTES));
    for path in tracked() {
        let bytes = fs::metadata(&path).unwrap().len();
        assert!(!fault(&path, bytes), "{path} ({bytes} bytes) is a photo or too large for the repository");
    }
}

#[test]
fn every_model_has_a_card() {
    let has_card = |cards: &str, model: &str| {
        let name = Path::new(model).file_stem().unwrap().to_str().unwrap();
        cards.lines().any(|line| line.starts_with('#') && words(line).any(|word| word == name))
    };
    assert!(has_card("# Models\n## `classic.safetensors`: the article's", "models/classic.safetensors"));
    assert!(!has_card("# Models\nclassic is good", "models/classic.safetensors"));
    for model in tracked().iter().filter(|path| path.starts_with("models/") && path.ends_with(".safetensors")) {
        let cards = fs::read_to_string("models/README.md").unwrap_or_default();
        assert!(has_card(&cards, model), "{model} has no section in models/README.md");
    }
}

#[test]
fn pages_have_no_inline_code() {
    let rule: Rule = |path, text| {
        let mut faults = Vec::new();
        for tag in tags(path, text) {
            let inline_script = tag.starts_with("script") && !tag.contains(" src=");
            let handler = tag.split_whitespace().skip(1).any(|a| a.starts_with("on") && a.contains('='));
            let style = tag.starts_with("style") || tag.contains(" style=");
            if inline_script || handler || style || tag.contains("javascript:") {
                faults.push(format!("{path} has inline code in <{tag}>"));
            }
        }
        faults
    };
    breaks(rule, "www/index.html", "<script>alert(1)</script>");
    breaks(rule, "www/index.html", "<style>p {}</style>");
    breaks(rule, "www/index.html", "<p style=\"color: red\">");
    breaks(rule, "www/index.html", "<a\n  onclick=\"f()\">");
    breaks(rule, "www/index.html", "<a href=\"javascript:f()\">");
    keeps(rule, "www/index.html", "<script type=\"module\" src=\"page.js\"></script><p class=\"style\">on=1");
    everywhere(rule);
}

#[test]
fn the_site_works_under_any_path() {
    let rule: Rule = |path, text| {
        if !of_the_site(path) {
            return vec![];
        }
        let lines = || code(text).lines().filter(|line| !line.contains(".endsWith(")).map(str::to_owned).collect();
        let parts: Vec<String> = if path.ends_with(".html") { tags(path, text) } else { lines() };
        let starts = |part: &str, quote: &str| {
            part.split(quote).skip(1).any(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '/'))
        };
        let absolute = parts.iter().filter(|part| ["\"/", "'/", "`/", "(/"].iter().any(|quote| starts(part, quote)));
        absolute.map(|part| format!("{path} has an address that starts with a slash: {part}")).collect()
    };
    breaks(rule, "www/index.html", "<a href=\"/about.html\">");
    breaks(rule, "www/index.html", "<img src='//host/a.png'>");
    breaks(rule, "www/page.js", "fetch(\"/models/a.safetensors\")");
    breaks(rule, "www/page.css", "a { background: url(/a.png) }");
    keeps(rule, "www/index.html", "<a href=\"./\">text \"/a\"</a>");
    keeps(rule, "www/page.js", "path.endsWith(\"/list.json\")");
    everywhere(rule);
}

#[test]
fn the_site_names_no_other_host() {
    let rule: Rule = |path, text| {
        let namespace = "http://www.w3.org/";
        let text = code(&text.replace(namespace, ""));
        let foreign = of_the_site(path) && ["http://", "https://", "ws://", "wss://"].iter().any(|s| text.contains(s));
        foreign.then(|| format!("{path} names another host")).into_iter().collect()
    };
    breaks(rule, "www/page.js", "fetch('https://example.org')");
    breaks(rule, "src/web/widget.html", "<img src=\"http://example.org/a.png\">");
    keeps(rule, "www/icon.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\">");
    everywhere(rule);
}

/// Of the code that ships, only `home` says one of `names`.
fn only_in(home: &str, names: &[&str], path: &str, text: &str) -> Vec<String> {
    let shipped = ["src/", "engine/src/", "trainer/src/"].iter().any(|folder| path.starts_with(folder));
    if !shipped || !is_rust(path) || path == home {
        return vec![];
    }
    words(text).filter(|word| names.contains(word)).map(|word| format!("{path} uses {word}")).collect()
}

/// The rule holds for every tracked file.
fn everywhere(rule: Rule) {
    // This file names what it forbids.
    let files = tracked().into_iter().filter(|path| path != "tests/tidy.rs");
    // What is not text has no rules of text.
    let texts = files.filter_map(|path| Some((fs::read_to_string(&path).ok()?, path)));
    let faults: Vec<_> = texts.flat_map(|(text, path)| rule(&path, &text)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn breaks(rule: Rule, path: &str, text: &str) {
    assert!(!rule(path, text).is_empty(), "the rule overlooks {text:?} in {path}");
}

fn keeps(rule: Rule, path: &str, text: &str) {
    assert_eq!(rule(path, text), Vec::<String>::new());
}

/// The files that git tracks and that are there.
fn tracked() -> Vec<String> {
    let output = Command::new("git").args(["ls-files", "-z"]).output().expect("git lists the files");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let paths = String::from_utf8(output.stdout).unwrap();
    let files: Vec<_> = paths.split('\0').filter(|path| Path::new(path).is_file()).map(str::to_owned).collect();
    assert!(files.iter().any(|path| path == "src/lib.rs"), "git lists other files: {files:?}");
    files
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// What a visitor's browser gets.
fn of_the_site(path: &str) -> bool {
    path.starts_with("www/") || (path.starts_with("src/web/") && (path.ends_with(".html") || path.ends_with(".css")))
}

/// The text without lines that are comments.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The words of the code.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
}

/// The modules of `std` that the code names, one by one or in a group.
fn std_modules(text: &str) -> Vec<&str> {
    let uses = text.split("std::").zip(text.split("std::").skip(1));
    let code = uses.filter(|(before, _)| !before.lines().next_back().unwrap_or_default().contains("//"));
    let named = code.map(|(_, after)| match after.strip_prefix('{') {
        Some(group) => group.split(';').next().unwrap_or_default(),
        None => after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default(),
    });
    named.flat_map(words).collect()
}

/// The insides of a page's tags; of other files, nothing.
fn tags(path: &str, text: &str) -> Vec<String> {
    let pages = path.ends_with(".html") || path.ends_with(".svg");
    let tags = text.split('<').skip(1).filter(|_| pages).filter_map(|rest| rest.split('>').next());
    tags.map(|tag| tag.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}
