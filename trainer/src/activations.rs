//! `husky activations`: what each convolution of a network makes of a photo.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use husky::{decode, explain, spec::Step};
use image::RgbImage;

use crate::files::{self, png_bytes, write_atomically};
use crate::{model_file, output, photos};

/// Show what each convolution of a network makes of a photo
///
/// Writes a picture of feature maps, as in the article: sixteen a row, layer under layer, and prints which rows are
/// which layer's. A map shows where its filter finds what it looks for; each has the contrast that suits it.
///
/// Example: husky activations models/classic.safetensors photo.jpg --out maps.png
#[derive(Debug, clap::Args)]
pub struct ActivationsArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The photo
    #[arg(value_name = "PHOTO")]
    pub photo: PathBuf,
    /// The picture to write
    #[arg(long, value_name = "PNG", value_parser = files::new_file())]
    pub out: PathBuf,
    /// Maps of a layer, at most: deep layers have hundreds
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub maps: u16,
}

/// Maps in a row, as in the article.
const COLUMNS: usize = 16;
/// Width and height of a map in the picture.
const TILE: usize = 64;

/// Runs the command.
///
/// # Errors
/// One sentence that names the file that is wrong.
pub fn run(args: &ActivationsArgs) -> Result<ExitCode> {
    files::ensure_other(&args.out, [&args.model, &args.photo])?;
    let classifier = model_file::load(&args.model)?;
    let size = classifier.spec().input.size;
    let file = || args.photo.display().to_string();
    let photo = photos::read(&args.photo).with_context(file)?;
    let pixels = decode::decode(&photo, size).with_context(file)?;
    let layers = classifier.feature_maps(&pixels);
    let most = usize::from(args.maps);
    ensure!(!layers.is_empty(), "{}: has no convolutions to look into", args.model.display());
    let mosaic = explain::mosaic(&layers, TILE, COLUMNS, most)
        .with_context(|| format!("--maps {most}: makes too high a picture: ask for fewer"))?;
    let (width, height) = (mosaic.width(), mosaic.height());
    let picture = RgbImage::from_raw(width, height, mosaic.into_rgb()).unwrap_or_default();
    write_atomically(&args.out, &png_bytes(&picture.into())?)?;

    let steps = classifier.spec().steps()?;
    let parameters = steps.iter().flat_map(Step::parameters);
    let names = parameters.filter(|p| p.layer.contains("conv2d")).map(|p| &p.layer);
    let mut row = 1;
    for (maps, name) in layers.iter().zip(names) {
        let rows = maps.channels.min(most).div_ceil(COLUMNS);
        let (height, width, channels) = (maps.height, maps.width, maps.channels);
        if !output::print(&format!("row {row:>4}  {name:<20} {height}x{width}x{channels}\n"))? {
            break;
        }
        row += rows;
    }
    Ok(ExitCode::SUCCESS)
}
