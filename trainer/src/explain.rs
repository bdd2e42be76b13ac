//! `husky explain`: where in a photo an answer comes from.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use husky::explain::{Explanation, Heat, overlay};
use husky::{Classifier, Pixels, Verdict, decode, resize};
use image::imageops::{self, FilterType};
use image::{RgbImage, Rgba, RgbaImage};
use rayon::prelude::*;
use serde::Serialize;

use crate::files::{self, png_bytes, write_atomically};
use crate::{model_file, output, photos};

/// Show where in a photo an answer comes from
///
/// Writes a picture of three: the photo; over it, from red to yellow, what the last convolution finds there for the label (the
/// class-activation map; where the network does not end in a mean, HiResCAM); and by how much the answer suffers where a
/// patch of the photo is painted grey. What speaks against the label is not coloured.
///
/// Example: husky explain models/husky.safetensors photo.jpg --out why.png
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The photo
    #[arg(value_name = "PHOTO")]
    pub photo: PathBuf,
    /// The picture to write
    #[arg(long, value_name = "PNG", value_parser = files::new_file())]
    pub out: PathBuf,
    /// The label to ask about [default: the one that is answered]
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,
    /// Write one JSON object: the answer, and both maps as rows of numbers
    #[arg(long)]
    pub json: bool,
}

/// Height and width of each of the three pictures, at most.
const SIDE: u32 = 480;

/// Places of the grey patch, down and across.
const PATCHES: usize = 12;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    #[serde(flatten)]
    verdict: &'a Verdict,
    /// The label that the maps speak of.
    explained: &'a str,
    /// What each place adds to the label's logit.
    heat: Vec<&'a [f32]>,
    /// What the label's log-odds lose where a patch is grey.
    occlusion: Vec<&'a [f32]>,
}

/// Runs the command.
///
/// # Errors
/// One sentence that names the file or the label that is wrong.
pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    files::ensure_other(&args.out, [&args.model, &args.photo])?;
    let classifier = model_file::load(&args.model)?;
    let labels = &classifier.spec().labels;
    let file = || args.photo.display().to_string();
    let photo = photos::read(&args.photo).with_context(file)?;
    // As `husky predict` reads it: at another size, the answer may be another.
    let pixels = decode::decode(&photo, classifier.spec().input.size).with_context(file)?;
    let index = |label: &String| {
        let index = labels.iter().position(|known| known == label);
        index.with_context(|| format!("--label {label}: the model knows {}", labels.join(", ")))
    };
    let asked = args.label.as_ref().map(index).transpose()?;
    let Explanation { verdict, label, heat } = classifier.explain(&pixels, asked).with_context(file)?;
    let occlusion = occlusion(&classifier, &pixels, index(&label)?)?;
    let shown = decode::decode(&photo, SIDE).with_context(file)?;
    write_atomically(&args.out, &png_bytes(&panels(&shown, &[&heat, &occlusion]).into())?)?;
    if args.json {
        let (heat, occlusion) = (rows(&heat), rows(&occlusion));
        let report = Report { file: file(), verdict: &verdict, explained: &label, heat, occlusion };
        output::print(&(serde_json::to_string(&report)? + "\n"))?;
    } else {
        let (answer, percent, out) = (verdict.answer(), 100.0 * verdict.probability, args.out.display());
        output::print(&format!(
            "{answer}, {percent:.1} %\n{out}: the photo, what speaks for {label}, and what is missed when it is covered\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the label's log-odds lose where a patch of the photo, a sixth of its side, is grey (Zeiler and Fergus 2014).
///
/// # Errors
/// The network's answer is no number.
pub fn occlusion(classifier: &Classifier, photo: &Pixels, label: usize) -> Result<Heat> {
    let size = classifier.spec().input.size as usize;
    let picture = resize::resize(photo, size as u32).into_rgb();
    let log_odds = |rgb: Vec<u8>| -> Result<f32> {
        let mut probabilities =
            classifier.classify_pixels(&Pixels::from_rgb(size as u32, size as u32, rgb)?)?.probabilities;
        let own = probabilities.swap_remove(label);
        let others: f32 = probabilities.iter().sum();
        Ok(own.max(f32::MIN_POSITIVE).ln() - others.max(f32::MIN_POSITIVE).ln())
    };
    let whole = log_odds(picture.clone())?;
    let covered = |place: usize| {
        let mut rgb = picture.clone();
        // Twice as large as the way from one to the next, and centred.
        let span = |place: usize| {
            let edge = |place: usize| (2 * place).saturating_sub(1).min(2 * PATCHES) * size / (2 * PATCHES);
            edge(place)..edge(place + 2)
        };
        for y in span(place / PATCHES) {
            let columns = span(place % PATCHES);
            rgb[3 * (y * size + columns.start)..3 * (y * size + columns.end)].fill(127);
        }
        Ok(whole - log_odds(rgb)?)
    };
    let values = (0..PATCHES * PATCHES).into_par_iter().map(covered).collect::<Result<_>>()?;
    Ok(Heat { height: PATCHES, width: PATCHES, values })
}

/// The photo alone, and under each map, side by side.
fn panels(photo: &Pixels, maps: &[&Heat]) -> RgbaImage {
    let scale = f64::from(SIDE) / f64::from(photo.width().max(photo.height()));
    let side = |length: u32| (f64::from(length) * scale).round().max(1.0) as u32;
    let (width, height) = (side(photo.width()), side(photo.height()));
    let full = RgbImage::from_raw(photo.width(), photo.height(), photo.rgb().to_vec()).unwrap_or_default();
    let photo = image::DynamicImage::from(imageops::resize(&full, width, height, FilterType::Triangle)).into_rgba8();
    let gap = 8;
    let columns = 1 + maps.len() as u32;
    let mut panels = RgbaImage::from_pixel(columns * (width + gap) - gap, height, Rgba([255; 4]));
    for (column, map) in std::iter::once(None).chain(maps.iter().map(Some)).enumerate() {
        let mut panel = photo.clone();
        if let Some(map) = map {
            let colors = RgbaImage::from_raw(map.width as u32, map.height as u32, overlay(map)).unwrap_or_default();
            imageops::overlay(&mut panel, &imageops::resize(&colors, width, height, FilterType::CatmullRom), 0, 0);
        }
        imageops::overlay(&mut panels, &panel, i64::from((width + gap) * column as u32), 0);
    }
    panels
}

fn rows(map: &Heat) -> Vec<&[f32]> {
    map.values.chunks(map.width).collect()
}
