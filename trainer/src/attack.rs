//! `husky attack`: how little it takes to fool a model.

mod gradient;
mod picture;
mod scaling;
mod search;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use husky::spec::Layer;
use husky::{Classifier, Pixels, Verdict, decode, resize};
use rayon::iter::Either;
use rayon::prelude::*;
use serde::Serialize;

use crate::files::{self, png_bytes, write_atomically};
use crate::network::Network;
use crate::photos::Skipped;
use crate::progress::Progress;
use crate::random::{Stream, rng};
use crate::{model_file, output, photos};

/// Try to fool a model
///
/// Changes photos until the model answers something else about them, and says how often that works. What counts is the answer of
/// the shipped classifier about whole 8-bit pixels. Photos are stretched to the network's input first.
///
/// Example: husky attack models/husky.safetensors photos --kind pgd --strength 1,2,4 --out attacked.png
#[derive(Debug, clap::Args)]
pub struct AttackArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Photos, and folders whose photos are taken, however deep; brute needs none
    #[arg(value_name = "PHOTO|DIR")]
    #[arg(required_if_eq_any([("kind", "fgsm"), ("kind", "pgd"), ("kind", "pixels"), ("kind", "scaling")]))]
    pub photos: Vec<PathBuf>,
    /// How
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// How hard, one table row each: 255ths that a value may change by (fgsm, pgd), pixels that may change (pixels), questions
    /// that may be asked (brute), times that the photo is larger than the network's input (scaling)
    #[arg(long, value_name = "N,N…", value_delimiter = ',')]
    pub strength: Vec<u32>,
    /// Photos at most, taken evenly from all; pairs of photos for scaling, beginnings for brute
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub count: usize,
    /// What is tried where the attack throws dice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write a picture: photos before, after, and the difference
    #[arg(long, value_name = "PNG", value_parser = files::new_file())]
    pub out: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One step along the sign of the gradient (Goodfellow et al. 2015)
    Fgsm,
    /// Ten smaller steps from a random beginning (Madry et al. 2018)
    Pgd,
    /// A few pixels in glaring colours, found by 300 questions, without the gradient (after Croce et al. 2022)
    Pixels,
    /// Another photo in the pixels that careless resizes look at (Xiao et al. 2019)
    Scaling,
    /// From one colour or noise to the first label, by questions alone, as in the article's series
    Brute,
}

impl Kind {
    /// What is tried where nothing is said.
    fn strengths(self) -> Vec<u32> {
        match self {
            Self::Fgsm | Self::Pgd => vec![1, 2, 4, 8],
            Self::Pixels => vec![10, 50, 250],
            Self::Scaling => (2..=10).collect(),
            Self::Brute => vec![100, 1000],
        }
    }

    /// What a strength may be, and what it is, in words.
    fn limits(self, size: u32) -> (RangeInclusive<u32>, &'static str) {
        match self {
            Self::Fgsm | Self::Pgd => (1..=255, "255ths"),
            Self::Pixels => (1..=size * size, "pixels"),
            Self::Scaling => (2..=(8192 / size).max(2), "times as large"),
            Self::Brute => (1..=1_000_000, "questions"),
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    kind: Kind,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rows: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scaling: Vec<scaling::Row>,
}

/// What became of the photos with one answer.
#[derive(Serialize)]
struct Row {
    strength: u32,
    /// The answer before the attack; for brute, what it began with.
    from: String,
    photos: usize,
    /// Of which another label was answered afterwards; for brute, the first label.
    fooled: usize,
    /// Without being unsure.
    fooled_and_sure: usize,
}

/// The model that is to be fooled.
struct Victim {
    classifier: Classifier,
    /// The same as training operations, for their gradients.
    network: Network,
}

/// A picture that is attacked, `[size, size, 3]`, as the network sees it.
#[derive(Clone)]
struct Picture {
    rgb: Vec<u8>,
    verdict: Verdict,
}

/// An attack on one picture, and what came of it.
struct Attempt {
    from: String,
    before: Picture,
    after: Picture,
    fooled: bool,
}

/// Runs the command.
///
/// # Errors
/// One sentence for a model, a photo or a strength that does not serve, or a picture that can't be written.
pub fn run(args: &AttackArgs) -> Result<ExitCode> {
    if let Some(out) = &args.out {
        files::ensure_other(out, args.photos.iter().chain([&args.model]))?;
    }
    let victim = Victim::load(&args.model)?;
    let strengths = if args.strength.is_empty() { args.kind.strengths() } else { args.strength.clone() };
    let (limits, unit) = args.kind.limits(victim.size());
    if let Some(wrong) = strengths.iter().find(|strength| !limits.contains(strength)) {
        bail!(
            "--strength {wrong}: for this attack it is a number of {unit}, from {} to {}",
            limits.start(),
            limits.end()
        );
    }
    ensure!(args.count > 0, "--count must be at least 1");
    let pictures = match args.kind {
        Kind::Brute => search::beginnings(&victim, args.count, args.seed)?,
        Kind::Scaling => pictures(&victim, &args.photos, usize::MAX)?,
        _ => pictures(&victim, &args.photos, args.count)?,
    };
    let mut report = Report { kind: args.kind, rows: Vec::new(), scaling: Vec::new() };
    let mut shown = Vec::new();
    if args.kind == Kind::Scaling {
        (report.scaling, shown) = scaling::attack(&victim, &pictures, &strengths, args.count, args.seed)?;
    } else {
        for strength in strengths {
            let attempts = attack(&victim, args.kind, strength, &pictures, args.seed)?;
            report.rows.extend(rows(strength, &attempts));
            shown.extend(attempts);
        }
    }
    if let Some(path) = &args.out {
        write_atomically(path, &png_bytes(&picture::draw(victim.size(), &shown).into())?)?;
    }
    output::print(&if args.json { serde_json::to_string(&report)? + "\n" } else { report.text(unit) })?;
    Ok(ExitCode::SUCCESS)
}

/// Attacks each of the pictures, of which each has a name for what it is.
fn attack(
    victim: &Victim,
    kind: Kind,
    strength: u32,
    pictures: &[(String, Picture)],
    seed: u64,
) -> Result<Vec<Attempt>> {
    let progress = Progress::new("attacking", pictures.len());
    let attack = |(i, (from, before)): (usize, &(String, Picture))| {
        let rng = &mut rng(seed, Stream::Attack, strength.into(), i as u64);
        let rgb = match kind {
            Kind::Fgsm => gradient::fgsm(victim, before, strength as f32)?,
            Kind::Pgd => gradient::pgd(victim, before, strength as f32, rng)?,
            Kind::Pixels => search::pixels(victim, before, strength as usize, rng)?,
            Kind::Brute | Kind::Scaling => search::brute(victim, before, strength, rng)?,
        };
        progress.step();
        let after = victim.picture(rgb)?;
        let fooled = match kind {
            Kind::Brute => after.verdict.label == victim.labels()[0],
            _ => after.verdict.label != before.verdict.label,
        };
        Ok(Attempt { from: from.clone(), before: before.clone(), after, fooled })
    };
    pictures.par_iter().enumerate().map(attack).collect()
}

/// Photos by their answers, `count` at most, taken evenly from all; files that are none are said on standard error.
fn pictures(victim: &Victim, photos: &[PathBuf], count: usize) -> Result<Vec<(String, Picture)>> {
    let (files, unread): (Vec<_>, Vec<_>) = photos.iter().map(|path| photos::named(path)).unzip();
    unread.concat().iter().for_each(|Skipped { file, reason }| output::say(format_args!("{file}: {reason}")));
    let files = files.concat();
    let taken: Vec<&PathBuf> = files.iter().step_by((files.len() / count.max(1)).max(1)).take(count).collect();
    let read = |path: &Path| -> Result<Picture> {
        let pixels = decode::decode(&photos::read(path)?, victim.size())?;
        victim.picture(resize::resize(&pixels, victim.size()).into_rgb())
    };
    let read = |path: &&PathBuf| read(path).map_err(|error| format!("{}: {error:#}", path.display()));
    let (skipped, pictures): (Vec<_>, Vec<_>) = taken.par_iter().map(read).partition_map(Either::from);
    skipped.iter().for_each(output::say);
    ensure!(!pictures.is_empty(), "no photo that can be read is there: name photos or folders of them");
    Ok(pictures.into_iter().map(|picture| (picture.verdict.label.clone(), picture)).collect())
}

fn rows(strength: u32, attempts: &[Attempt]) -> Vec<Row> {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for Attempt { from, after, fooled, .. } in attempts {
        let row = Row { strength, from: from.clone(), photos: 0, fooled: 0, fooled_and_sure: 0 };
        let row = rows.entry(from).or_insert(row);
        row.photos += 1;
        row.fooled += usize::from(*fooled);
        row.fooled_and_sure += usize::from(*fooled && !after.verdict.unsure);
    }
    rows.into_values().collect()
}

impl Victim {
    fn load(path: &Path) -> Result<Self> {
        let bytes = model_file::read(path)?;
        let named = || path.display().to_string();
        let (mut spec, weights) = husky::weights::read(&bytes).with_context(named)?;
        spec.architecture.0 = without_dropout(spec.architecture.0);
        let network = Network::from_weights(&spec, &weights).with_context(named)?;
        Ok(Self { classifier: Classifier::load(&bytes).with_context(named)?, network })
    }

    fn size(&self) -> u32 {
        self.classifier.spec().input.size
    }

    fn labels(&self) -> &[String] {
        &self.classifier.spec().labels
    }

    /// The picture with these pixels, `[size, size, 3]`, and what the shipped code answers about it.
    fn picture(&self, rgb: Vec<u8>) -> Result<Picture> {
        let pixels = Pixels::from_rgb(self.size(), self.size(), rgb)?;
        let verdict = self.classifier.classify_pixels(&pixels)?;
        Ok(Picture { rgb: pixels.into_rgb(), verdict })
    }

    /// The index of the answer.
    fn label(&self, verdict: &Verdict) -> usize {
        self.labels().iter().position(|label| *label == verdict.label).unwrap_or_default()
    }
}

/// At inference dropout does nothing, and it is inference that is attacked.
fn without_dropout(layers: Vec<Layer>) -> Vec<Layer> {
    let kept = layers.into_iter().filter(|layer| !matches!(layer, Layer::Dropout { .. }));
    kept.map(|layer| match layer {
        Layer::Residual { layers } => Layer::Residual { layers: without_dropout(layers) },
        layer => layer,
    })
    .collect()
}

impl Report {
    fn text(&self, unit: &str) -> String {
        if self.kind == Kind::Scaling {
            return scaling::text(&self.scaling);
        }
        let longest = self.rows.iter().map(|row| row.from.chars().count()).max().unwrap_or_default().max(4);
        let mut text = format!("{unit:<10}  {:<longest$}  photos  fooled  and sure\n", "from");
        for Row { strength, from, photos, fooled, fooled_and_sure } in &self.rows {
            let [fooled, sure] = [fooled, fooled_and_sure].map(|count| 100.0 * *count as f64 / *photos as f64);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{strength:<10}  {from:<longest$}  {photos:>6}  {fooled:>4.0} %  {sure:>6.0} %");
        }
        text
    }
}

#[cfg(test)]
mod tests;
