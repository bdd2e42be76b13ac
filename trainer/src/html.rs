//! Pages that need nothing else: reports to look at, keep and send.

use std::path::Path;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use crate::photos;

/// Side of a photo on a page.
const THUMBNAIL: u32 = 160;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}\
    td.n{text-align:right;font-variant-numeric:tabular-nums}.curves{display:flex;flex-wrap:wrap;gap:1rem}svg{max-width:100%}\
    .sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(160px,1fr));gap:1rem}figure{margin:0;font-size:.8rem;\
    overflow-wrap:anywhere}figure img{width:100%;display:block}pre{overflow-x:auto}";

/// A page with this title, which is its heading, too, and body.
pub fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

/// A photo as the network sees it, stretched to a square, over a caption in HTML. Pages put them into a `div.sheet`.
///
/// # Errors
/// One sentence that names the file, where it can't be read as a photo.
pub fn figure(file: &Path, caption: &str) -> Result<String> {
    let named = || file.display().to_string();
    let picture = husky::decode::decode(&photos::read(file).with_context(named)?, THUMBNAIL).with_context(named)?;
    let picture = husky::resize::resize(&picture, THUMBNAIL);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 85).encode(
        picture.rgb(),
        THUMBNAIL,
        THUMBNAIL,
        ExtendedColorType::Rgb8,
    )?;
    Ok(format!(
        "<figure><img alt=\"\" src=\"data:image/jpeg;base64,{}\"><figcaption>{caption}</figcaption></figure>\n",
        BASE64_STANDARD.encode(jpeg)
    ))
}

/// Text that stands for itself in HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
