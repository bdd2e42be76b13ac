//! The data set as one page that needs nothing else.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use base64::prelude::{BASE64_STANDARD, Engine};

use super::charts::histogram;
use super::{Group, Report, aspect};
use crate::html::{document, escape};
use crate::scan::{Photo, Scan};

/// The page's text, with the sheet of photos, which is a PNG file.
///
/// # Errors
/// None in practice: the charts are drawn in memory.
pub fn page(report: &Report, scan: &Scan, data: &Path, sheet: &[u8]) -> Result<String> {
    let mut body = format!("<pre>{}</pre>\n<h2>Mean colours</h2>\n<table>\n", escape(&report.text()));
    for Group { part, label, color: [red, green, blue], .. } in &report.groups {
        let label = escape(label);
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            body,
            "<tr><td>{part}<td>{label}<td style=\"width:8rem;background:rgb({red:.0} {green:.0} {blue:.0})\"></tr>"
        );
    }
    body += "</table>\n<h2>Spread</h2>\n<p>The share of each label's photos, training and validation together.</p>\n<div class=curves>\n";
    type Chart = (&'static str, &'static str, fn(&Photo) -> f64);
    let charts: [Chart; 3] = [
        ("Size", "pixels, square root of their number", |photo| {
            (f64::from(photo.width) * f64::from(photo.height)).sqrt()
        }),
        ("Aspect", "width by height", aspect),
        ("File", "kB", |photo| photo.bytes as f64 / 1000.0),
    ];
    for (title, unit, of) in charts {
        let mut values = vec![Vec::new(); scan.labels.len()];
        scan.photos.iter().for_each(|photo| values[photo.label].push(of(photo)));
        body += &histogram(title, unit, &scan.labels, &values)?;
    }
    let sheet = BASE64_STANDARD.encode(sheet);
    let _ = write!(
        body,
        "</div>\n<h2>Some of the photos for training</h2>\n\
         <p><img alt=\"photos under their labels\" style=\"max-width:100%\" src=\"data:image/png;base64,{sheet}\"></p>\n\
         <h2>Cameras</h2>\n<table>\n"
    );
    let mut cameras: Vec<(&String, &usize)> = report.exif.models.iter().collect();
    cameras.sort_by(|a, b| b.1.cmp(a.1));
    for (camera, count) in cameras {
        let _ = writeln!(body, "<tr><td>{}<td class=n>{count}</tr>", escape(camera));
    }
    Ok(document(&format!("What is in {}", data.display()), &(body + "</table>\n")))
}
