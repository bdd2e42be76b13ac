//! Classifies one photo: `cargo run --release --example classify -- models/husky.safetensors photo.jpg`.

use std::{env::args, error::Error, fs};

use husky::{Classifier, Verdict};

fn main() -> Result<(), Box<dyn Error>> {
    let (Some(model), Some(photo)) = (args().nth(1), args().nth(2)) else {
        return Err("name a model and a photo".into());
    };
    let Verdict { label, probability, unsure, .. } =
        Classifier::load(&fs::read(model)?)?.classify(&fs::read(photo)?)?;
    println!("{label}, {:.1} %{}", 100.0 * probability, if unsure { ", but unsure" } else { "" });
    Ok(())
}
