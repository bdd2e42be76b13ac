//! `husky predict`: a model's answer for each photo.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Result;
use husky::{Classifier, Verdict};
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    judge::{judge_together, together},
    model_file, output,
    photos::{self, Skipped},
};

/// Say what photos show
///
/// One line a photo: label, probability, milliseconds, file. The milliseconds are for reading, decoding and all; of many
/// photos, which are judged up to eight together, they are the mean of these. A file that is no photo is a line on standard
/// error; the others go on, and the exit code is 1 at the end. Of two labels, the first is answered from the model's own
/// threshold on, which need not be 50 %: `husky summary MODEL` shows it, and between which probabilities the answer is
/// `unsure`. So it is about a picture that is no photo, whatever the network says.
/// Of a photo that hides another picture for careless programs the answer is unsure, and a line on standard error says why.
///
/// Example: husky predict models/husky.safetensors photo.jpg
#[derive(Debug, clap::Args)]
pub struct PredictArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Photos, and folders whose photos are taken in order of their names, however deep
    #[arg(value_name = "PHOTO|DIR", required = true)]
    pub photos: Vec<PathBuf>,
    /// Write one JSON object a line: file, label, probability, probabilities, unsure, hides_another, milliseconds; for a
    /// bad file (which is also a line on standard error) file, error, code
    #[arg(long)]
    pub json: bool,
}

/// Photos that are judged before their lines are printed: enough that no core waits for long at the end of them, and few
/// enough that lines keep coming.
const PHOTOS_AT_ONCE: usize = 256;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Answer {
        file: &'a str,
        #[serde(flatten)]
        verdict: &'a Verdict,
        milliseconds: f64,
    },
    Bad {
        file: &'a str,
        error: &'a str,
        code: &'a str,
    },
}

/// Runs the command; exit code 1 says that a file could not be judged.
///
/// # Errors
/// One sentence for a model file that can't be read or is wrong, or where nothing can be printed.
pub fn run(args: &PredictArgs) -> Result<ExitCode> {
    let classifier = model_file::load(&args.model)?;
    let mut exit_code = ExitCode::SUCCESS;
    for photo in &args.photos {
        let (files, mut unseen) = photos::named(photo);
        if files.is_empty() && unseen.is_empty() {
            unseen.push(Skipped { file: photo.display().to_string(), reason: "no file is in this folder".into() });
        }
        for Skipped { file, reason } in unseen {
            exit_code = ExitCode::FAILURE;
            if !bad(args.json, &file, &reason, "photo-unreadable")? {
                return Ok(exit_code);
            }
        }
        for files in files.chunks(PHOTOS_AT_ONCE) {
            let chunks = files.par_chunks(together(files.len())).with_max_len(1);
            let answers: Vec<_> = chunks.flat_map_iter(|files| judge(&classifier, files)).collect();
            for (path, answer) in files.iter().zip(answers) {
                let file = path.display().to_string();
                let go_on = match answer {
                    Ok(answer) => good(args.json, &file, &answer)?,
                    Err(error) => {
                        exit_code = ExitCode::FAILURE;
                        let code = error.downcast_ref().map_or("photo-unreadable", husky::Error::code);
                        bad(args.json, &file, &format!("{error:#}"), code)?
                    }
                };
                if !go_on {
                    return Ok(exit_code);
                }
            }
        }
    }
    Ok(exit_code)
}

struct Answer {
    verdict: Verdict,
    milliseconds: f64,
}

fn judge(classifier: &Classifier, files: &[PathBuf]) -> impl Iterator<Item = Result<Answer>> {
    let start = Instant::now();
    let verdicts = judge_together(classifier, files.iter());
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0 / files.len() as f64;
    verdicts.into_iter().map(move |verdict| Ok(Answer { verdict: verdict?, milliseconds }))
}

fn good(json: bool, file: &str, answer: &Answer) -> Result<bool> {
    let &Answer { ref verdict, milliseconds } = answer;
    if verdict.hides_another {
        output::say(format_args!(
            "{file}: hides another picture in single pixels, to deceive programs: don't rely on an answer about it"
        ));
    }
    if json {
        return json_line(&Line::Answer { file, verdict, milliseconds });
    }
    let percent = 100.0 * verdict.probability;
    output::print(&format!("{:<12} {percent:>5.1} % {milliseconds:>8.1} ms  {file}\n", verdict.answer()))
}

fn bad(json: bool, file: &str, error: &str, code: &str) -> Result<bool> {
    output::say(format_args!("{file}: {error}"));
    if json { json_line(&Line::Bad { file, error, code }) } else { Ok(true) }
}

fn json_line(line: &Line) -> Result<bool> {
    output::print(&(serde_json::to_string(line)? + "\n"))
}
