//! Transfer learning as a user runs it: from a backbone's weights, with a teacher, interrupted and resumed.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use candle_core::Tensor;
use husky::spec::{Layer, Step};
use tempfile::TempDir;
use trainer::backbone;
use trainer::dataset::{self, Dataset};
use trainer::kinds::Kinds;
use trainer::model_file;
use trainer::network::{Network, Tensors};
use trainer::presets::Preset;

const PIXELS: u32 = 32;

/// A file as timm would have written it, of Lite0 with fresh weights; without the tensors whose names contain `without`.
fn write_backbone(path: &Path, without: &str) -> Tensors {
    let spec = Preset::Lite0.spec(vec!["disc".into(), "stripes".into()], Some(PIXELS));
    let mut tensors = Network::fresh(&spec, 7).unwrap();
    let mut file = HashMap::new();
    let steps = spec.steps().unwrap();
    for (p, [conv, norm]) in steps.iter().flat_map(Step::parameters).zip(Preset::Lite0.timm_names()) {
        // Keras' first depthwise weights are so small that nothing of a photo would be left after fifty layers.
        let channels = if let [_, _, channels] = p.shape[..] { channels } else { 1 };
        let weight = tensors[&p.weight_name()].affine((channels as f64).sqrt(), 0.0).unwrap();
        tensors.insert(p.weight_name(), weight.clone());
        let weight = match p.shape.len() {
            3 => weight.permute((2, 0, 1)).unwrap().unsqueeze(1).unwrap(),
            _ => weight.permute((3, 2, 0, 1)).unwrap(),
        };
        file.insert(format!("{conv}.weight"), weight.contiguous().unwrap());
        // Each vector another, so that none can be mistaken.
        let own = ["gamma", "beta", "moving_mean", "moving_variance"];
        let parts = ["weight", "bias", "running_mean", "running_var"];
        for (i, (own, part)) in own.into_iter().zip(parts).enumerate() {
            let name = format!("{}.{own}", p.layer);
            // For the same reason a small variance.
            let scale = if part == "running_var" { 0.25 } else { 1.0 };
            let values = tensors[&name].affine(scale, 0.01 * i as f64).unwrap();
            file.insert(format!("{norm}.{part}"), values.clone());
            tensors.insert(name, values);
        }
    }
    tensors.retain(|name, _| !name.starts_with("dense"));
    file.retain(|name, _| without.is_empty() || !name.contains(without));
    candle_core::safetensors::save(&file, path).unwrap();
    tensors
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Drawn photos in `data` and a backbone in `lite0.safetensors`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    common::draw(&folder.path().join("data/training"), 1, 40);
    common::draw(&folder.path().join("data/validation"), 2, 20);
    write_backbone(&folder.path().join("lite0.safetensors"), "");
    folder
}

/// What it tells on the way where it has to succeed.
fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = common::husky(folder, arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

/// What it tells where it has to fail on the way.
fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = common::husky(folder, arguments);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const LITE0: [&str; 10] =
    ["train", "data", "--preset", "lite0", "--backbone", "lite0.safetensors", "--size", "32", "--batch-size", "8"];

#[test]
fn a_backbone_comes_in_whole_or_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lite0.safetensors");
    let spec = Preset::Lite0.spec(vec!["disc".into(), "stripes".into()], Some(PIXELS));
    let expected = write_backbone(&path, "");
    let found = backbone::load(&path, Preset::Lite0, &spec).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, tensor) in &expected {
        assert_eq!(found[name].dims(), tensor.dims(), "{name}");
        assert!(values(&found[name]) == values(tensor), "{name}");
    }
    let error = |path: &Path, preset: Preset| {
        let spec = preset.spec(spec.labels.clone(), Some(PIXELS));
        format!("{:#}", backbone::load(path, preset, &spec).unwrap_err())
    };
    write_backbone(&path, "blocks.3.1.bn2");
    assert!(error(&path, Preset::Lite0).contains("4 of 245 tensors are missing, such as blocks.3.1.bn2.weight"));
    assert!(error(&path, Preset::Lite1).contains("is not the backbone of lite1"));
    assert!(error(&path, Preset::Quick).contains("the preset quick has no weights to begin with"));
    fs::write(&path, "no tensors").unwrap();
    assert!(error(&path, Preset::Lite0).contains("is no safetensors file"));
}

#[test]
fn a_model_is_a_backbone_for_its_own_network() {
    let folder = folder();
    let folder = folder.path();
    let tuned = ["--epochs", "1", "--steps-per-epoch", "2", "--out", "first"];
    succeed(folder, &[&LITE0[..], &tuned].concat());
    let on = |preset, out| {
        let from = ["--backbone", "first/model.safetensors", "--size", "40", "--kinds", "5", "--epochs", "0"];
        [&["train", "data", "--preset", preset, "--out", out][..], &from].concat()
    };
    name_kinds(&folder.join("data/training/stripes"), ["wide", "narrow"]);
    succeed(folder, &on("lite0", "second"));
    let read = |run: &str| {
        let file = fs::read(folder.join(run).join("model.safetensors")).unwrap();
        husky::weights::read(&file).unwrap()
    };
    let [(_, first), (spec, second)] = ["first", "second"].map(read);
    for parameters in spec.steps().unwrap().iter().flat_map(Step::parameters).filter(|p| p.shape.len() > 2) {
        for name in [parameters.weight_name(), parameters.bias_name()] {
            let near = first.get(&name).iter().zip(second.get(&name)).all(|(a, b)| (a - b).abs() <= 1e-6 * a.abs());
            assert!(near, "{name}");
        }
    }
    let error = fail(folder, &on("tiny", "other"));
    assert!(error.contains("first/model.safetensors: is a model of another network than tiny"), "{error}");
    let mut damaged = fs::read(folder.join("first/model.safetensors")).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(folder.join("first/model.safetensors"), damaged).unwrap();
    let error = fail(folder, &on("lite0", "third"));
    assert!(error.contains("first/model.safetensors: the model file is damaged"), "{error}");
}

#[test]
fn a_head_is_fitted_first_and_layers_that_are_frozen_stay() {
    let folder = folder();
    let folder = folder.path();
    let told = succeed(folder, &[&LITE0[..], &["--epochs", "0", "--out", "head"]].concat());
    assert!(told.contains("epoch 0/0"), "{told}");
    let metrics = fs::read_to_string(folder.join("head/metrics.csv")).unwrap();
    assert_eq!(metrics.lines().count(), 2, "{metrics}");
    // A random network's features tell drawings apart, if the layer on top of them is fitted.
    let loss: f64 = metrics.lines().nth(1).unwrap().split(',').nth(1).unwrap().parse().unwrap();
    assert!(loss < 0.6, "{metrics}");
    let all_but_the_last = ["--epochs", "1", "--steps-per-epoch", "3", "--frozen-layers", "49", "--out", "frozen"];
    succeed(folder, &[&LITE0[..], &all_but_the_last].concat());
    let weights = |run: &str| {
        let file = fs::read(folder.join(run).join("checkpoint.safetensors")).unwrap();
        candle_core::safetensors::load_buffer(&file, &candle_core::Device::Cpu).unwrap()
    };
    let (head, frozen) = (weights("head"), weights("frozen"));
    for (name, tensor) in head.iter().filter(|(name, _)| !name.contains('/')) {
        assert_eq!(values(tensor) == values(&frozen[name]), !name.starts_with("dense"), "{name}");
    }
    let error = fail(folder, &[&LITE0[..], &["--frozen-layers", "50", "--out", "none"]].concat());
    assert!(error.contains("the last one must learn"), "{error}");
}

/// Names a label's drawings as two kinds, every third as the first.
fn name_kinds(label: &Path, kinds: [&str; 2]) {
    for (i, file) in fs::read_dir(label).unwrap().map(|file| file.unwrap().path()).enumerate() {
        let name = file.file_name().unwrap().to_str().unwrap();
        fs::rename(&file, label.join(format!("{}_{name}", kinds[usize::from(i % 3 > 0)]))).unwrap();
    }
}

#[test]
fn a_last_layer_that_learns_kinds_answers_with_labels() {
    let folder = folder();
    let folder = folder.path();
    name_kinds(&folder.join("data/training/stripes"), ["wide", "narrow"]);
    let options = dataset::Options { seed: 1, validation_fraction: 0.2, positive: None, detail: None };
    let data = Dataset::open(&folder.join("data"), 32, &options).unwrap();
    let kinds = |least| Kinds::of(&data.training, &data.labels, least);
    assert_eq!(kinds(5).counts, [1, 2]);
    for (photo, kind) in data.training.photos().iter().zip(kinds(5).of) {
        assert_eq!(kind, if photo.label == 0 { 0 } else { 1 + usize::from(photo.path.contains("wide_")) }, "{photo:?}");
    }
    // Of one there are 14 and of the other 26; what is rare is a kind of its own.
    assert_eq!((kinds(20).counts, kinds(27).counts, kinds(1).of == kinds(20).of), (vec![1, 2], vec![1, 1], false));

    let arguments = [&LITE0[..], &["--epochs", "0", "--out"]].concat();
    let alone = |options: &[&str]| {
        let output = common::husky(folder, &[&arguments[..], options].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).contains("the labels alone are learned")
    };
    assert!(!alone(&["kinds", "--kinds", "5"]));
    let classifier = model_file::load(&folder.join("kinds/model.safetensors")).unwrap();
    assert_eq!(classifier.spec().labels, ["disc", "stripes"]);
    assert_eq!(classifier.spec().architecture.0.last(), Some(&Layer::LogSumExp { groups: vec![1, 2] }));
    let metrics = fs::read_to_string(folder.join("kinds/metrics.csv")).unwrap();
    let loss: f64 = metrics.lines().nth(1).unwrap().split(',').nth(1).unwrap().parse().unwrap();
    assert!(loss < 0.6, "{metrics}");
    // What is learnt from there on goes through the kinds, too.
    succeed(
        folder,
        &[&LITE0[..], &["--kinds", "5", "--epochs", "1", "--steps-per-epoch", "2", "--out", "tuned"]].concat(),
    );
    // Without several kinds nothing is to be taken together.
    assert!(alone(&["none", "--kinds", "27"]) && !alone(&["labels"]));
    let model = |run: &str| fs::read(folder.join(run).join("model.safetensors")).unwrap();
    assert!(model("none") == model("labels"));
    // Only who learnt the same kinds can teach them.
    let quick = ["train", "data", "--preset", "quick", "--kinds", "5", "--steps-per-epoch", "5", "--teacher"];
    succeed(folder, &[&quick[..], &["kinds/model.safetensors", "--epochs", "1", "--out", "taught"]].concat());
    let error = fail(folder, &[&quick[..], &["labels/model.safetensors", "--out", "no"]].concat());
    assert!(error.contains("labels/model.safetensors: was not trained on the kinds"), "{error}");
}

/// The kinds here can be learnt by heart only, so who tries to is left with much of the entropy of a third, for the half that are
/// stripes, 0.32, and answers with the right labels all the same.
#[test]
fn kinds_are_learnt_from_nothing_too() {
    let folder = folder();
    let folder = folder.path();
    let recipe = ["train", "data", "--preset", "quick", "--epochs", "12", "--steps-per-epoch", "20"];
    let losses = |run: &str, kinds: &str| -> [f64; 2] {
        succeed(folder, &[&recipe[..], &["--learning-rate", "0.004", "--kinds", kinds, "--out", run]].concat());
        let metrics = fs::read_to_string(folder.join(run).join("metrics.csv")).unwrap();
        let last: Vec<f64> = metrics.lines().last().unwrap().split(',').map(|value| value.parse().unwrap()).collect();
        [last[1], last[3]]
    };
    name_kinds(&folder.join("data/training/stripes"), ["wide", "narrow"]);
    let ([labels, _], [kinds, validation]) = (losses("labels", "0"), losses("kinds", "5"));
    assert!(labels < 0.1 && kinds > 0.2, "{labels} {kinds}");
    assert!(validation < 0.4, "{validation}");
}

/// Runs `husky` and interrupts it as soon as `file` is there; whether that stopped it before its end.
fn interrupted(folder: &Path, args: &[&str], file: &str) -> bool {
    let husky = Command::new(env!("CARGO_BIN_EXE_husky")).current_dir(folder).args(args).stderr(Stdio::null()).spawn();
    let mut husky = husky.unwrap();
    while !folder.join(file).exists() {
        assert!(husky.try_wait().unwrap().is_none(), "it ended before it began");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Command::new("kill").args(["-INT", &husky.id().to_string()]).status().unwrap();
    match husky.wait().unwrap().code() {
        Some(130) => true,
        // Without a code it was killed before it listened.
        Some(0) | None => false,
        code => panic!("exit code {code:?}"),
    }
}

#[test]
fn an_interrupted_run_with_batch_norm_average_and_teacher_resumes_to_the_same_bytes() {
    let folder = folder();
    let folder = folder.path();
    succeed(
        folder,
        &["train", "data", "--preset", "quick", "--epochs", "1", "--steps-per-epoch", "5", "--out", "teacher"],
    );
    let recipe = [
        "--teacher",
        "teacher/model.safetensors",
        "--detail",
        "40",
        "--epochs",
        "2",
        "--steps-per-epoch",
        "6",
        "--random-erasing",
        "0.5",
        "--color-jitter",
        "0.2",
    ];
    succeed(folder, &[&LITE0[..], &recipe, &["--out", "whole"]].concat());
    // On a busy machine the interrupt may come when all steps are done: then once more.
    let stopped = (0..5).any(|_| {
        let _ = fs::remove_dir_all(folder.join("stopped"));
        interrupted(folder, &[&LITE0[..], &recipe, &["--out", "stopped"]].concat(), "stopped/checkpoint.safetensors")
    });
    assert!(stopped, "Ctrl-C never stopped it");
    // From another folder, where the paths of the command say nothing.
    succeed(&folder.join("stopped"), &["train", "--resume", "."]);
    for file in ["model.safetensors", "checkpoint.safetensors", "metrics.csv", "curves.svg", "events.out.tfevents"] {
        let read = |run: &str| fs::read(folder.join(run).join(file)).unwrap();
        assert!(read("whole") == read("stopped"), "{file} differs");
    }
    // Without the teacher it is another model.
    let alone = [&LITE0[..], &recipe[2..], &["--out", "alone"]].concat();
    succeed(folder, &alone);
    let model = |run: &str| fs::read(folder.join(run).join("checkpoint.safetensors")).unwrap();
    assert!(model("whole") != model("alone"));
}

#[test]
fn a_teacher_of_other_labels_is_refused() {
    let folder = folder();
    let folder = folder.path();
    let quick = ["train", "data", "--preset", "quick", "--epochs", "1", "--steps-per-epoch", "2"];
    succeed(folder, &[&quick[..], &["--positive", "stripes", "--out", "teacher"]].concat());
    let error = fail(folder, &[&quick[..], &["--teacher", "teacher/model.safetensors", "--out", "run"]].concat());
    assert!(error.contains(r#"knows the labels ["stripes", "disc"] and can't teach ["disc", "stripes"]"#), "{error}");
}

/// Each preset's recipe is made of knobs and of values that the command takes, and ends in the run's config.
#[test]
fn recipes_are_defaults_that_the_command_line_overrides() {
    let folder = folder();
    let folder = folder.path();
    succeed(folder, &[&LITE0[..], &["--epochs", "0", "--learning-rate", "0.5", "--out", "run"]].concat());
    let config: toml::Table = fs::read_to_string(folder.join("run/config.toml")).unwrap().parse().unwrap();
    let said = ["epochs", "learning_rate"];
    for (knob, value) in Preset::Lite0.recipe() {
        let found = config.get(&knob).unwrap_or_else(|| &config["augmentation"][&knob]);
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!(found == value, !said.contains(&&knob[..]), "{knob} is {found} and the recipe says {value}");
    }
    assert_eq!(config["learning_rate"].as_float(), Some(0.5));
}
