//! The course of runs as a picture.

use std::ops::Range;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::checkpoint::Epoch;
use crate::run_folder::RunFolder;

const TRAINING: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 84, 0);
const SIZE: (u32, u32) = (1000, 420);

/// Where pictures are drawn.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Colours that the colour-blind tell apart, too (Okabe and Ito 2008), but for the yellow, which white swallows.
pub(crate) struct RunColors;

impl Palette for RunColors {
    const COLORS: &'static [(u8, u8, u8)] =
        &[(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0), (0, 0, 0)];
}

/// A line through epochs.
struct Curve {
    label: Option<String>,
    style: ShapeStyle,
    loss: Vec<(u32, f64)>,
    accuracy: Vec<(u32, f64)>,
}

/// An epoch that was chosen.
struct Mark {
    label: Option<String>,
    style: ShapeStyle,
    epoch: u32,
}

/// Loss and accuracy by epoch, training and validation, as SVG. The chosen epoch is marked.
///
/// # Errors
/// None in practice: the picture is drawn in memory.
pub fn draw(history: &[Epoch]) -> Result<String> {
    let mark = |best: &Epoch| Mark {
        label: Some(format!("chosen: epoch {}", best.epoch)),
        style: BLACK.stroke_width(1),
        epoch: best.epoch,
    };
    let curves = [
        training(history, Some("training".into()), TRAINING.stroke_width(2)),
        validation(history, Some("validation".into()), VALIDATION.stroke_width(2)),
    ];
    panels(&curves, Epoch::best(history).map(mark).as_slice())
}

/// Loss and accuracy by epoch of several runs in one picture, as SVG: validation strong, training faint. Each run's chosen
/// epoch is marked in its colour.
///
/// # Errors
/// None in practice: the picture is drawn in memory.
pub fn overlay(runs: &[RunFolder]) -> Result<String> {
    let (mut curves, mut marks) = (Vec::new(), Vec::new());
    for (i, RunFolder { run, best, history, .. }) in runs.iter().enumerate() {
        let color = RunColors::pick(i);
        curves.push(training(history, None, color.mix(0.3).stroke_width(1)));
        curves.push(validation(history, Some(run.clone()), color.stroke_width(2)));
        marks.push(Mark { label: None, style: color.stroke_width(1), epoch: best.epoch });
    }
    panels(&curves, &marks)
}

fn training(history: &[Epoch], label: Option<String>, style: ShapeStyle) -> Curve {
    let points = |figure: fn(&Epoch) -> f64| history.iter().map(|epoch| (epoch.epoch, figure(epoch))).collect();
    Curve { label, style, loss: points(|e| e.loss), accuracy: points(|e| e.accuracy) }
}

fn validation(history: &[Epoch], label: Option<String>, style: ShapeStyle) -> Curve {
    let points = |figure: fn(&Epoch) -> f64| history.iter().map(|epoch| (epoch.epoch, figure(epoch))).collect();
    Curve { label, style, loss: points(|e| e.validation_loss), accuracy: points(|e| e.validation_accuracy) }
}

fn panels(curves: &[Curve], marks: &[Mark]) -> Result<String> {
    let figures = |of: fn(&Curve) -> &[(u32, f64)]| curves.iter().flat_map(of).map(|(_, y)| *y);
    let largest = figures(|curve| &curve.loss).fold(0.1, f64::max);
    let smallest = figures(|curve| &curve.accuracy).fold(0.9, f64::min);
    svg(SIZE, |area| {
        let panels = area.split_evenly((1, 2));
        let lines: Vec<_> = curves.iter().map(|curve| (curve, &curve.loss[..])).collect();
        // The legends stand where such curves are not.
        panel(&panels[0], "Loss", 0.0..largest * 1.05, &lines, marks, SeriesLabelPosition::UpperRight)?;
        let lines: Vec<_> = curves.iter().map(|curve| (curve, &curve.accuracy[..])).collect();
        panel(&panels[1], "Accuracy", smallest - 0.02..1.0, &lines, marks, SeriesLabelPosition::LowerRight)
    })
}

fn panel(
    area: &Area,
    title: &str,
    range: Range<f64>,
    lines: &[(&Curve, &[(u32, f64)])],
    marks: &[Mark],
    legend: SeriesLabelPosition,
) -> Result<(), Box<dyn std::error::Error>> {
    let epochs = || lines.iter().flat_map(|(_, points)| *points).map(|(epoch, _)| *epoch);
    let first = epochs().min().unwrap_or(1);
    let last = epochs().max().unwrap_or(1).max(first + 1);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(first..last, range.clone())?;
    chart.configure_mesh().x_desc("epoch").y_label_formatter(&|y| format!("{y:.2}")).light_line_style(WHITE).draw()?;
    for (Curve { label, style, .. }, points) in lines {
        let style = *style;
        let line = chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        if let Some(label) = label {
            line.label(label).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
    }
    for Mark { label, style, epoch } in marks {
        let style = *style;
        let ends = [(*epoch, range.start), (*epoch, range.end)];
        let line = chart.draw_series(DashedLineSeries::new(ends, 4, 4, style))?;
        if let Some(label) = label {
            line.label(label).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
    }
    chart
        .configure_series_labels()
        .position(legend)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

/// A picture of this size in pixels, as SVG.
///
/// # Errors
/// None in practice: the picture is drawn in memory.
pub fn svg(size: (u32, u32), content: impl FnOnce(&Area) -> Result<(), Box<dyn std::error::Error>>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| content(&area));
        drawn.map_err(|error| anyhow!("a chart could not be drawn: {error}"))?;
    }
    Ok(svg)
}
