//! The photos that the audit is about, as one page that needs nothing else.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use super::{Pair, Problem, Report, Suspect};
use crate::html::{document, escape, figure};

/// Photos or pairs of a kind that are shown.
const SHOWN: usize = 60;

/// The page's text.
///
/// # Errors
/// A photo can't be read any more.
pub fn page(report: &Report, data: &Path) -> Result<String> {
    let mut body = format!("<pre>{}</pre>\n", escape(&report.text()));
    for (problem, title) in [
        (Problem::TwoLabels, "One shot under two labels"),
        (Problem::BothParts, "One shot in both parts"),
        (Problem::Repeated, "One shot more than once"),
        (Problem::SameScene, "One scene in both parts"),
    ] {
        let pairs: Vec<&Pair> = report.near.iter().filter(|pair| pair.problem == problem).take(SHOWN).collect();
        if pairs.is_empty() {
            continue;
        }
        body += &format!("<h2>{title}</h2>\n<div class=sheet>\n");
        for photo in pairs.iter().flat_map(|pair| &pair.photos) {
            body += &figure(&data.join(photo), &escape(photo))?;
        }
        body += "</div>\n";
    }
    let suspects = report.suspects.iter().flatten().filter(|suspect| suspect.probability < 0.5).take(SHOWN);
    let figures = suspects.map(|Suspect { photo, label, probability }| {
        let caption = format!("{label} with {:.1} % only: {photo}", 100.0 * probability);
        figure(&data.join(photo), &escape(&caption))
    });
    let figures = figures.collect::<Result<String>>()?;
    if !figures.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(body, "<h2>Doubtful labels</h2>\n<div class=sheet>\n{figures}</div>\n");
    }
    Ok(document(&format!("Audit of {}", data.display()), &body))
}
