//! `husky train` as a user runs it: it learns, it repeats itself to the byte, and nothing stops it for good.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use rand::RngExt;
use tempfile::TempDir;
use trainer::random::{Stream, rng};

/// A folder with drawn photos in `data`, and the runs of one test beside it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    common::draw(&folder.path().join("data/training"), 1, 150);
    common::draw(&folder.path().join("data/validation"), 2, 40);
    folder
}

/// `husky train` with a small recipe.
fn start(folder: &Path, run: &str, options: &[&str]) -> Command {
    let mut command = command(folder);
    command.args(["train", "data", "--out", run, "--learning-rate", "0.004", "--steps-per-epoch", "20"]);
    command.args(["--rotation-range", "10"]).args(options);
    if !options.contains(&"--preset") {
        command.args(["--preset", "quick"]);
    }
    command
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_husky"));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn resume(folder: &Path, run: &str) -> Command {
    let mut command = command(folder);
    command.args(["train", "--resume", run]);
    command
}

fn succeed(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn read(folder: &Path, run: &str, file: &str) -> Vec<u8> {
    fs::read(folder.join(run).join(file)).unwrap()
}

#[test]
fn a_small_network_learns_the_drawings() {
    let folder = folder();
    let folder = folder.path();
    fs::write(folder.join("data/training/disc/empty.png"), "").unwrap();
    let told = stderr(&succeed(start(folder, "run", &["--epochs", "12"])));
    // No terminal, so plain lines: what is trained on, then one line an epoch.
    assert!(told.contains("training: 150 disc, 150 stripes; validation: 40 disc, 40 stripes"), "{told}");
    let epochs: Vec<&str> = told.lines().filter(|line| line.contains("validation: loss")).collect();
    assert!(epochs.len() > 3 && epochs.iter().all(|line| line.contains("images/s")), "{told}");
    let json = folder.join("figures.json");
    let mut evaluate = command(folder);
    evaluate.args(["evaluate", "run/model.safetensors", "data/validation", "--json"]).arg(&json);
    succeed(evaluate);
    let figures: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert!(figures["accuracy"].as_f64().unwrap() > 0.95, "{figures}");
    // What training said about its best epoch is what the model file does, through the classifier's own code.
    let metrics = String::from_utf8(read(folder, "run", "metrics.csv")).unwrap();
    let mut metrics = csv::Reader::from_reader(metrics.as_bytes());
    let epochs: Vec<trainer::checkpoint::Epoch> = metrics.deserialize().collect::<Result<_, _>>().unwrap();
    let best = epochs.iter().min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss)).unwrap();
    let auc = best.validation_roc_auc.unwrap();
    assert!((figures["roc_auc"].as_f64().unwrap() - auc).abs() < 1e-3, "{figures} {auc}");
    // In half precision it is half as large and answers the same.
    let mut quantize = command(folder);
    quantize.args(["quantize", "run/model.safetensors", "--precision", "f16", "--out", "half.safetensors"]);
    succeed(quantize);
    let half = fs::read(folder.join("half.safetensors")).unwrap();
    assert_eq!(husky::weights::precision(&half).unwrap(), husky::weights::Precision::F16);
    let whole = husky::Classifier::load(&read(folder, "run", "model.safetensors")).unwrap();
    let half = husky::Classifier::load(&half).unwrap();
    let photo = fs::read(folder.join("data/validation/disc/disc_0000.png")).unwrap();
    let (whole, half) = (whole.classify(&photo).unwrap(), half.classify(&photo).unwrap());
    assert!(whole.label == half.label && (whole.probability - half.probability).abs() < 0.01, "{whole:?} {half:?}");
    for file in ["config.toml", "checkpoint.safetensors"] {
        assert!(folder.join("run").join(file).is_file(), "{file}");
    }
    let skipped = String::from_utf8(read(folder, "run", "skipped.csv")).unwrap();
    let skipped: Vec<&str> = skipped.lines().collect();
    assert!(skipped.len() == 2 && skipped[0] == "file,reason" && skipped[1].contains("/empty.png,"), "{skipped:?}");
    assert!(String::from_utf8(read(folder, "run", "curves.svg")).unwrap().contains("validation"));
}

#[test]
fn more_labels_take_a_softmax() {
    let folder = folder();
    let folder = folder.path();
    for part in ["training", "validation"] {
        let (from, to) = (folder.join("data").join(part).join("disc"), folder.join("data").join(part).join("round"));
        fs::create_dir(&to).unwrap();
        for (i, file) in fs::read_dir(&from).unwrap().enumerate() {
            let file = file.unwrap();
            if i % 2 == 0 {
                fs::rename(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    }
    succeed(start(folder, "run", &["--epochs", "1"]));
    let classifier = husky::Classifier::load(&read(folder, "run", "model.safetensors")).unwrap();
    assert_eq!(classifier.spec().labels, ["disc", "round", "stripes"]);
    let mut evaluate = command(folder);
    evaluate.args(["evaluate", "run/model.safetensors", "data"]);
    let table = String::from_utf8(succeed(evaluate).stdout).unwrap();
    assert!(table.contains("round") && !table.contains("from probability"), "{table}");
    let mut predict = command(folder);
    predict.args(["predict", "run/model.safetensors", "data/validation"]);
    let lines = String::from_utf8(succeed(predict).stdout).unwrap();
    assert!(lines.lines().all(|line| classifier.spec().labels.iter().any(|label| line.starts_with(label))), "{lines}");
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let folder = folder();
    let folder = folder.path();
    let files = ["1", "2", "4"].map(|threads| {
        succeed(start(folder, threads, &["--epochs", "2", "--adversarial", "4", "--threads", threads]));
        read(folder, threads, "checkpoint.safetensors")
    });
    assert!(files[0] == files[1] && files[0] == files[2]);
    // The other way round: another seed is another model.
    succeed(start(folder, "other", &["--epochs", "2", "--adversarial", "4", "--seed", "2"]));
    assert_ne!(files[0], read(folder, "other", "checkpoint.safetensors"));
}

#[test]
fn the_config_alone_repeats_the_run() {
    let folder = folder();
    let folder = folder.path();
    succeed(start(
        folder,
        "first",
        &["--epochs", "1", "--optimizer", "sgd", "--momentum", "0.5", "--positive", "stripes"],
    ));
    let mut again = command(folder);
    again.args(["train", "--config", "first/config.toml", "--out", "second"]);
    succeed(again);
    assert_eq!(read(folder, "first", "model.safetensors"), read(folder, "second", "model.safetensors"));
    assert_eq!(read(folder, "first", "config.toml"), read(folder, "second", "config.toml"));
    let mut both = command(folder);
    both.args(["train", "--config", "first/config.toml", "--out", "third", "--seed", "5"]);
    let output = both.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("'--config <FILE>' cannot be used with 'DATA and the options of a recipe"));
}

#[test]
fn killed_at_any_moment_a_run_resumes_to_the_same_bytes() {
    let folder = folder();
    let folder = folder.path();
    let epochs = ["--epochs", "6"];
    let begin = Instant::now();
    succeed(start(folder, "whole", &epochs));
    // So short that several kills hit the run, on any machine.
    let longest = begin.elapsed() / 4;
    let mut random = rng(1, Stream::Bootstrap, 0, 0);
    let mut command = start(folder, "killed", &epochs);
    let mut kills = 0;
    loop {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(longest.mul_f64(random.random_range(0.1..1.0)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "it must resume from whatever the kill left");
        kills += 1;
        // Killed before it wrote its config, it never began.
        let begun = folder.join("killed/config.toml").is_file();
        command = if begun { resume(folder, "killed") } else { start(folder, "killed", &epochs) };
        if kills == 12 {
            succeed(command);
            break;
        }
    }
    assert!(kills >= 3, "only {kills} kills hit a run at work");
    for file in ["model.safetensors", "checkpoint.safetensors", "metrics.csv", "curves.svg", "events.out.tfevents"] {
        assert!(read(folder, "whole", file) == read(folder, "killed", file), "{file} differs after {kills} kills");
    }
}

#[test]
fn an_interrupt_saves_the_step_and_exits_130() {
    let folder = folder();
    let folder = folder.path();
    // One long epoch, so that the interrupt falls into it.
    let long = |run: &str| {
        let mut command = command(folder);
        command.args(["train", "data", "--out", run, "--preset", "quick", "--steps-per-epoch", "300", "--epochs", "1"]);
        command
    };
    let mut child = long("run").stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    // Said just before the first step.
    while !line.contains("; training: ") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it ended before it began");
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    told.read_to_string(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{line}");
    assert!(line.contains("husky train --resume run"), "{line}");
    assert!(!folder.join("run/metrics.csv").exists(), "an epoch ended before the interrupt");
    assert!(folder.join("run/checkpoint.safetensors").is_file(), "the step was not saved");
    // From the middle of the epoch to the same end.
    succeed(resume(folder, "run"));
    succeed(long("whole"));
    for file in ["model.safetensors", "checkpoint.safetensors", "metrics.csv"] {
        assert!(read(folder, "run", file) == read(folder, "whole", file), "{file}");
    }
}

#[test]
fn a_full_disk_keeps_the_old_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    common::draw(&folder.join("data/training"), 1, 2);
    common::draw(&folder.join("data/validation"), 2, 2);
    succeed(start(folder, "run", &["--preset", "logistic", "--epochs", "1"]));
    let config = folder.join("run/config.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("epochs = 1", "epochs = 2")).unwrap();
    let before = read(folder, "run", "checkpoint.safetensors");
    // No file of this process may grow beyond 500 KiB, which the decoded photos stay below and the checkpoint does not:
    // to the writer it is what a full disk is.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" train --resume run", env!("CARGO_BIN_EXE_husky")])
        .current_dir(folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let told = "run/checkpoint.safetensors: could not be written, what was there before is kept";
    assert!(stderr(&output).contains(told), "{}", stderr(&output));
    assert!(before == read(folder, "run", "checkpoint.safetensors"));
    succeed(resume(folder, "run"));
    assert!(before != read(folder, "run", "checkpoint.safetensors"));
}

#[test]
fn a_loss_that_is_no_number_stops_and_keeps_the_last_good_epoch() {
    let folder = folder();
    let folder = folder.path();
    // Too large a step, each making the next gradient larger: after some epochs of one step there is nothing left to say.
    let mut command = command(folder);
    command.args([
        "train",
        "data",
        "--out",
        "run",
        "--preset",
        "quick",
        "--optimizer",
        "sgd",
        "--learning-rate",
        "1e7",
    ]);
    command.args(["--steps-per-epoch", "1"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("smaller --learning-rate"), "{}", stderr(&output));
    assert!(stderr(&output).contains("model.safetensors keeps epoch"), "{}", stderr(&output));
    assert!(husky::Classifier::load(&read(folder, "run", "model.safetensors")).is_ok());
}

#[test]
fn a_recipe_that_was_changed_midway_is_refused_but_may_go_on_for_longer() {
    let folder = folder();
    let folder = folder.path();
    succeed(start(folder, "whole", &["--epochs", "2"]));
    succeed(start(folder, "run", &["--epochs", "1"]));
    let config = folder.join("run/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("batch_size = 32", "batch_size = 16")).unwrap();
    let output = resume(folder, "run").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("run/config.toml: was changed"), "{}", stderr(&output));
    fs::write(&config, text.replace("epochs = 1", "epochs = 2")).unwrap();
    succeed(resume(folder, "run"));
    for file in ["model.safetensors", "metrics.csv"] {
        assert_eq!(read(folder, "run", file), read(folder, "whole", file), "{file}");
    }
}

#[test]
fn photos_that_came_midway_are_refused_and_not_the_recipe() {
    let folder = folder();
    let folder = folder.path();
    let mut train = command(folder);
    train.args(["train", "data", "--preset", "quick", "--steps-per-epoch", "0", "--epochs", "1", "--out", "run"]);
    succeed(train);
    // They fill more steps, too.
    common::draw(&folder.join("data/training"), 1, 170);
    let output = resume(folder, "run").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("data: the photos changed since the run began"), "{}", stderr(&output));
}

#[test]
fn mistakes_get_one_sentence() {
    let folder = folder();
    let folder = folder.path();
    fs::create_dir(folder.join("full")).unwrap();
    fs::write(folder.join("full/model.safetensors"), "someone's").unwrap();
    fs::create_dir(folder.join("flat")).unwrap();
    common::draw(&folder.join("three"), 3, 10);
    common::draw(&folder.join("others"), 4, 10);
    fs::rename(folder.join("others/disc"), folder.join("three/other")).unwrap();
    let mistakes: [(&[&str], &str); 17] = [
        (&["train", "nowhere", "--out", "run"], "nowhere"),
        (&["train", "data", "--out", "run", "--batch-size", "0"], "--batch-size"),
        (&["train", "data", "--out", "run", "--momentum", "0.9"], "sgd"),
        (&["train", "data", "--out", "run", "--date", "today"], "--date"),
        (&["train", "data", "--out", "run", "--date", "2026-13-01"], "--date"),
        (&["train", "data", "--out", "run", "--date", "2026-+1-01"], "--date"),
        (&["train", "data", "--out", "run", "--date", "2026-02-30"], "--date"),
        (&["train", "data", "--out", "run", "--size", "3"], "--size 3 does not suit classic"),
        (&["train", "data", "--out", "run", "--desired-accuracy", "99"], "--desired-accuracy"),
        (&["train", "data", "--out", "run", "--learning-rate", "-1"], "--learning-rate must be above 0"),
        (&["train", "data", "--out", "full"], "full: is not an empty folder"),
        (&["train", "data/training", "--out", "data/training/run"], "data/training/run: lies among the photos"),
        (&["train", "data", "--out", "data/training/husky/new/run"], "run: lies among the photos"),
        (&["train", "flat", "--out", "flat/run"], "run: lies among the photos"),
        (
            &["train", "three", "--out", "run", "--threshold-rule", "f1"],
            "--threshold-rule f1 picks the threshold between two",
        ),
        (&["train", "--resume", "nowhere"], "nowhere: no run is there"),
        (&["train", "--config", "nowhere.toml", "--out", "run"], "nowhere.toml"),
    ];
    for (arguments, fragment) in mistakes {
        let output = command(folder).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(fragment), "{arguments:?}: {}", stderr(&output));
        assert!(!folder.join("run").exists(), "{arguments:?} left a folder");
    }
    let unheard = command(folder).args(["train", "data", "--out", "run", "--distillation", "0.5"]).output().unwrap();
    assert_eq!(unheard.status.code(), Some(2));
    assert!(stderr(&unheard).contains("--teacher <MODEL>"), "{}", stderr(&unheard));
    let both = resume(folder, "run").args(["--epochs", "3"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2));
    assert!(stderr(&both).contains("'--resume <RUN>' cannot be used with 'DATA and the options of a recipe"));
    assert!(stderr(&both).lines().count() < 8, "{}", stderr(&both));
    let mut train = command(folder);
    train.args(["train", "three", "--preset", "quick", "--steps-per-epoch", "1", "--epochs", "1", "--out", "thrice"]);
    succeed(train);
    let mut calibrate = command(folder);
    calibrate.args(["calibrate", "thrice/model.safetensors", "three", "--threshold-rule", "f1", "--out", "x"]);
    let output = calibrate.output().unwrap();
    assert!(stderr(&output).contains("between two labels, and there are 3: leave it out"), "{}", stderr(&output));
    succeed(start(folder, "run", &["--epochs", "1"]));
    let output = start(folder, "run", &["--epochs", "1"]).output().unwrap();
    assert!(stderr(&output).contains("husky train --resume run"), "{}", stderr(&output));
    // Two at once would write over each other's files.
    let other = fs::File::open(folder.join("run")).unwrap();
    other.lock().unwrap();
    let output = resume(folder, "run").output().unwrap();
    assert!(stderr(&output).contains("run: another husky is training there"), "{}", stderr(&output));
    drop(other);
    succeed(resume(folder, "run"));
    // A checkpoint of another network is told apart.
    let path = PathBuf::from("run/checkpoint.safetensors");
    fs::copy(folder.join("run/model.safetensors"), folder.join(&path)).unwrap();
    let output = resume(folder, "run").output().unwrap();
    assert!(stderr(&output).contains("run/checkpoint.safetensors"), "{}", stderr(&output));
}
