//! The report as one page that needs nothing else: curves, confusion matrix, calibration, groups and the worst errors.

use std::fmt::Write;
use std::ops::Range;

use anyhow::Result;
use plotters::prelude::*;

use super::Report;
use super::robustness::Row;
use crate::curves::svg;
use crate::html::{document, escape, figure};
use crate::judge::{Photo, judged};
use crate::metrics::{self, Judged};

/// Errors on the contact sheet.
const WORST: usize = 24;
const LINE: RGBColor = RGBColor(31, 119, 180);
const MARK: RGBColor = RGBColor(214, 84, 0);

/// The page's text.
///
/// # Errors
/// A photo of the contact sheet can't be read any more.
pub fn page(report: &Report, model: &str, photos: &[Photo]) -> Result<String> {
    Ok(document(model, &body(report, photos)?))
}

/// What a page says about a model's answers.
pub fn body(report: &Report, photos: &[Photo]) -> Result<String> {
    let judged = judged(photos, &report.labels);
    let mut body = format!("<p>{} photos, {} files skipped</p>\n", report.n, report.skipped);
    body.extend(report.answers().map(|answers| format!("<p>{}</p>\n", escape(&answers))));
    body += &figures(report);
    body += &confusion(report);
    if let [positive, _] = &report.labels[..] {
        body += &format!("<div class=\"curves\">{}</div>\n", curves(&judged)?);
        body += &format!("<h2>Answered {}, by group</h2>\n{}", escape(positive), groups(report)?);
    }
    body += &robustness(report);
    Ok(body + &worst(photos, &report.labels)?)
}

fn figures(report: &Report) -> String {
    let mut table = "<table>\n<tr><th>figure<th>value<th>95 % interval\n".to_owned();
    for (name, figure, interval) in report.rows() {
        let value = figure.map_or("-".to_owned(), |figure| format!("{figure:.4}"));
        let interval = interval.map_or(String::new(), |[low, high]| format!("{low:.4} to {high:.4}"));
        // Writing to a string cannot fail.
        let _ = writeln!(table, "<tr><td>{name}<td class=n>{value}<td class=n>{interval}");
    }
    table + "</table>\n"
}

fn confusion(report: &Report) -> String {
    let mut table = "<h2>Confusion matrix</h2>\n<table>\n<tr><th>label".to_owned();
    report.labels.iter().for_each(|label| table += &format!("<th>answered {}", escape(label)));
    for (label, row) in report.labels.iter().zip(&report.confusion) {
        table += &format!("\n<tr><th>{}", escape(label));
        row.iter().for_each(|count| table += &format!("<td class=n>{count}"));
    }
    table + "\n</table>\n"
}

/// ROC, precision by recall, and how often a stated probability comes true.
fn curves(judged: &Judged<Vec<f32>>) -> Result<String> {
    let Some(roc) = metrics::roc(&judged.probabilities, &judged.labels) else {
        return Ok("<p>no curves: photos of both labels are needed for them</p>".to_owned());
    };
    let positives = judged.labels.iter().filter(|&&label| label == 0).count() as f64;
    let negatives = judged.labels.len() as f64 - positives;
    let roc: Vec<(f64, f64)> = roc.into_iter().map(|[rate, recall]| (rate, recall)).collect();
    let precision = |&(rate, recall): &(f64, f64)| {
        let found = recall * positives;
        (recall, found / (found + rate * negatives))
    };
    let precisions: Vec<(f64, f64)> = roc.iter().skip(1).map(precision).collect();
    let bins = metrics::reliability(&judged.probabilities, &judged.labels);
    let stated: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.probability, bin.share)).collect();
    Ok([
        chart(["ROC", "false-positive rate", "recall"], &roc, false)?,
        chart(["Precision and recall", "recall", "precision"], &precisions, false)?,
        chart(["Calibration", "stated probability", "share that is so"], &stated, true)?,
    ]
    .concat())
}

fn chart([title, x, y]: [&str; 3], points: &[(f64, f64)], diagonal: bool) -> Result<String> {
    svg((380, 340), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart.configure_mesh().x_desc(x).y_desc(y).light_line_style(WHITE).draw()?;
        if diagonal {
            chart.draw_series(DashedLineSeries::new([(0.0, 0.0), (1.0, 1.0)], 4, 4, BLACK.mix(0.5).into()))?;
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, MARK.filled())))?;
        }
        chart.draw_series(LineSeries::new(points.iter().copied(), LINE.stroke_width(2)))?;
        Ok(())
    })
}

/// How the answers hold, where that was asked for.
fn robustness(report: &Report) -> String {
    if report.robustness.is_empty() {
        return String::new();
    }
    let mut table = "<h2>The same photos, distorted</h2>\n<table>\n<tr><th>photos<th>ROC AUC<th>balanced accuracy<th>\
                     answers changed<th>sure"
        .to_owned();
    for Row { distortion, roc_auc, balanced_accuracy, changed, coverage } in &report.robustness {
        let roc_auc = roc_auc.map_or("-".to_owned(), |figure| format!("{figure:.4}"));
        let [changed, coverage] = [changed, coverage].map(|share| 100.0 * share);
        // Writing to a string cannot fail.
        let _ = write!(
            table,
            "\n<tr><td>{distortion}<td class=n>{roc_auc}<td class=n>{balanced_accuracy:.4}<td class=n>{changed:.1} %\
             <td class=n>{coverage:.1} %"
        );
    }
    table + "\n</table>\n"
}

/// A bar for each group: the share of its photos that was answered with the first label.
fn groups(report: &Report) -> Result<String> {
    let count = report.groups.len();
    let height = 40 + 18 * count as u32;
    svg((760, height), |area| {
        let names: Vec<String> = report.groups.iter().map(|(name, group)| format!("{name} ({})", group.n)).collect();
        let places: Range<f64> = -0.5..count as f64 - 0.5;
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .x_label_area_size(26)
            .y_label_area_size(230)
            .build_cartesian_2d(0.0..1.0, places)?;
        let name = |place: &f64| {
            let place = count as f64 - 1.0 - place;
            names.get(place.round() as usize).filter(|_| place.fract().abs() < 1e-9).cloned().unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(2 * count)
            .y_label_formatter(&name)
            .light_line_style(WHITE)
            .draw()?;
        chart.draw_series(report.groups.values().enumerate().map(|(i, group)| {
            let place = (count - 1 - i) as f64;
            Rectangle::new([(0.0, place - 0.35), (group.positive_rate, place + 0.35)], LINE.filled())
        }))?;
        Ok(())
    })
}

/// The answers that were most sure and wrong.
fn worst(photos: &[Photo], labels: &[String]) -> Result<String> {
    let mut errors: Vec<&Photo> = photos.iter().filter(|photo| photo.verdict.label != labels[photo.label]).collect();
    let truth = |photo: &Photo| photo.verdict.probabilities[photo.label];
    errors.sort_by(|a, b| truth(a).total_cmp(&truth(b)));
    if errors.is_empty() {
        return Ok("<h2>No errors</h2>\n".to_owned());
    }
    let mut sheet = format!("<h2>The worst of {} errors</h2>\n<div class=\"sheet\">\n", errors.len());
    for photo in errors.into_iter().take(WORST) {
        let name = photo.file.file_name().unwrap_or_default().to_string_lossy();
        let (name, label) = (escape(&name), escape(&labels[photo.label]));
        sheet += &figure(&photo.file, &format!("{name}<br>is {label}, and got {:.1} % for it", 100.0 * truth(photo)))?;
    }
    Ok(sheet + "</div>\n")
}
