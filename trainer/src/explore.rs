//! `husky explore`: what a data set looks like.

mod charts;
mod html;
mod sheet;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::files::{self, png_bytes, write_atomically};
use crate::output;
use crate::photos::Skipped;
use crate::scan::{Photo, Scan, scan};

/// Show what a data set looks like
///
/// For each part and label: how many photos, how large, how wide, their mean colour. Then formats, and what cameras left in
/// the files. --out draws a sheet of photos, taken at random, stretched as the network sees them.
///
/// Example: husky explore DATA --out sheet.png --html explore.html
#[derive(Debug, clap::Args)]
pub struct ExploreArgs {
    /// Folder with training/LABEL/… and validation/LABEL/…, or LABEL/… alone
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// Write a sheet of 40 photos for training under their labels, of each label as many
    #[arg(long, value_name = "PNG", value_parser = files::new_file())]
    pub out: Option<PathBuf>,
    /// Write a page: the sheet, histograms and these figures
    #[arg(long, value_name = "FILE", value_parser = files::new_file())]
    pub html: Option<PathBuf>,
    /// Which photos are on the sheet
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    photos: usize,
    groups: Vec<Group>,
    /// How many photos have each format.
    formats: BTreeMap<&'static str, usize>,
    exif: Cameras,
    /// Files that are no photos.
    broken: Vec<Skipped>,
}

/// The photos of a label in a part.
#[derive(Serialize)]
struct Group {
    part: &'static str,
    label: String,
    photos: usize,
    width: Range<u32>,
    height: Range<u32>,
    /// Width by height.
    aspect: Range<f64>,
    /// Length of the file.
    bytes: Range<usize>,
    /// Red, green and blue, in `0..=255`: the mean of all pixels, each photo counting alike.
    color: [f64; 3],
}

#[derive(Serialize)]
struct Range<T> {
    smallest: T,
    median: T,
    largest: T,
}

/// What EXIF data say, as numbers of photos.
#[derive(Default, Serialize)]
struct Cameras {
    /// That have any.
    present: usize,
    /// That have to be turned or mirrored to be upright.
    turned: usize,
    /// That say where they were taken: think twice before you pass them on.
    with_place: usize,
    models: BTreeMap<String, usize>,
}

/// Runs the command.
///
/// # Errors
/// One sentence for a folder that can't be read, or a picture or page that can't be written.
pub fn run(args: &ExploreArgs) -> Result<ExitCode> {
    let scan = scan(&args.data, None)?;
    let report = report(&scan);
    if args.out.is_some() || args.html.is_some() {
        let sheet = png_bytes(&sheet::draw(&scan, args.seed)?.into())?;
        if let Some(path) = &args.out {
            write_atomically(path, &sheet)?;
        }
        if let Some(path) = &args.html {
            write_atomically(path, html::page(&report, &scan, &args.data, &sheet)?.as_bytes())?;
        }
    }
    output::print(&if args.json { serde_json::to_string(&report)? + "\n" } else { report.text() })?;
    Ok(ExitCode::SUCCESS)
}

fn report(Scan { labels, photos, broken }: &Scan) -> Report {
    let mut formats = BTreeMap::new();
    let mut exif = Cameras::default();
    for photo in photos {
        *formats.entry(photo.format).or_default() += 1;
        let Some(found) = &photo.exif else { continue };
        exif.present += 1;
        exif.turned += usize::from(found.turned);
        exif.with_place += usize::from(found.place);
        if let Some(camera) = &found.camera {
            *exif.models.entry(camera.clone()).or_default() += 1;
        }
    }
    let parts = [(false, "training"), (true, "validation")];
    let groups = parts.into_iter().flat_map(|part| labels.iter().enumerate().map(move |label| (part, label)));
    let group = |((in_validation, part), (label, name)): ((bool, &'static str), (usize, &String))| {
        let of = |photo: &&Photo| (photo.in_validation, photo.label) == (in_validation, label);
        Group::of(part, name, &photos.iter().filter(of).collect::<Vec<_>>())
    };
    Report { photos: photos.len(), groups: groups.filter_map(group).collect(), formats, exif, broken: broken.clone() }
}

impl Group {
    /// None where no photo is there.
    fn of(part: &'static str, label: &str, photos: &[&Photo]) -> Option<Self> {
        let mut color = [0.0; 3];
        for photo in photos {
            let mean = photo.mean_color();
            color.iter_mut().zip(mean).for_each(|(sum, mean)| *sum += mean / photos.len() as f64);
        }
        Some(Self {
            part,
            label: label.to_owned(),
            photos: photos.len(),
            width: Range::of(photos.iter().map(|photo| photo.width).collect(), u32::cmp)?,
            height: Range::of(photos.iter().map(|photo| photo.height).collect(), u32::cmp)?,
            aspect: Range::of(photos.iter().map(|photo| aspect(photo)).collect(), f64::total_cmp)?,
            bytes: Range::of(photos.iter().map(|photo| photo.bytes).collect(), usize::cmp)?,
            color,
        })
    }
}

/// Width by height.
fn aspect(photo: &Photo) -> f64 {
    f64::from(photo.width) / f64::from(photo.height)
}

impl<T: Copy> Range<T> {
    fn of(mut values: Vec<T>, order: impl Fn(&T, &T) -> std::cmp::Ordering) -> Option<Self> {
        values.sort_by(order);
        Some(Self { smallest: *values.first()?, median: *values.get(values.len() / 2)?, largest: *values.last()? })
    }
}

impl Report {
    fn text(&self) -> String {
        let Self { photos, groups, formats, exif, broken } = self;
        let mut text = format!("{photos} photos, {} files that are none (husky audit lists them)\n\n", broken.len());
        // Writing to a string cannot fail, here and below.
        let mut line = |line: String| _ = writeln!(text, "{line}");
        let longest = groups.iter().map(|group| group.label.chars().count()).max().unwrap_or_default().max(5);
        line(format!(
            "{:<11}{:<longest$}{:>8}  {:<18}{:<17}{:<11}mean colour",
            "part", "label", "photos", "size, widths", "width by height", "file, kB"
        ));
        for Group { part, label, photos, width, height, aspect, bytes, color: [red, green, blue] } in groups {
            let size = format!("{}x{}, {}-{}", width.median, height.median, width.smallest, width.largest);
            let aspect = format!("{:.2}, {:.2}-{:.2}", aspect.median, aspect.smallest, aspect.largest);
            let [median, smallest, largest] = [bytes.median, bytes.smallest, bytes.largest].map(|bytes| bytes / 1000);
            let bytes = format!("{median}, {smallest}-{largest}");
            let color = format!("{red:.0} {green:.0} {blue:.0}");
            line(format!("{part:<11}{label:<longest$}{photos:>8}  {size:<18}{aspect:<17}{bytes:<11}{color}"));
        }
        let counts: Vec<String> = formats.iter().map(|(format, count)| format!("{count} {format}")).collect();
        line(format!("\nMedians, and all from the smallest to the largest. Formats: {}", counts.join(", ")));
        let Cameras { present, turned, with_place, models } = exif;
        line(format!(
            "EXIF data: in {present} photos, of {} cameras; {turned} are turned, {with_place} say where they were taken",
            models.len()
        ));
        text
    }
}
