//! The course of a run as a picture.

use std::ops::Range;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::checkpoint::Epoch;

const TRAINING: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 84, 0);

/// Loss and accuracy by epoch, training and validation, as SVG. The chosen epoch is marked.
///
/// # Errors
/// None in practice: the picture is drawn in memory.
pub fn draw(history: &[Epoch], best: u32) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (1000, 420)).into_drawing_area();
        draw_panels(&area, history, best).map_err(|e| anyhow!("the curves could not be drawn: {e}"))?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_panels(area: &Area, history: &[Epoch], best: u32) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let panels = area.split_evenly((1, 2));
    let first = history.first().map_or(1, |epoch| epoch.epoch);
    let largest = history.iter().map(|e| e.loss.max(e.validation_loss)).fold(0.1, f64::max);
    let losses = [history.iter().map(|e| e.loss).collect(), history.iter().map(|e| e.validation_loss).collect()];
    // The legends stand where such curves are not.
    panel(&panels[0], first, "Loss", 0.0..largest * 1.05, &losses, best, SeriesLabelPosition::LowerLeft)?;
    let accuracies =
        [history.iter().map(|e| e.accuracy).collect(), history.iter().map(|e| e.validation_accuracy).collect()];
    let smallest = accuracies.iter().flatten().copied().fold(0.9, f64::min);
    panel(&panels[1], first, "Accuracy", smallest - 0.02..1.0, &accuracies, best, SeriesLabelPosition::UpperLeft)
}

fn panel(
    area: &Area,
    first: u32,
    title: &str,
    range: Range<f64>,
    [training, validation]: &[Vec<f64>; 2],
    best: u32,
    legend: SeriesLabelPosition,
) -> Result<(), Box<dyn std::error::Error>> {
    let last = first + training.len().max(2) as u32 - 1;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(first..last, range.clone())?;
    chart.configure_mesh().x_desc("epoch").y_label_formatter(&|y| format!("{y:.2}")).light_line_style(WHITE).draw()?;
    for (name, color, values) in [("training", TRAINING, training), ("validation", VALIDATION, validation)] {
        let points = values.iter().enumerate().map(|(i, &y)| (first + i as u32, y));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    let mark = [(best, range.start), (best, range.end)];
    chart
        .draw_series(DashedLineSeries::new(mark, 4, 4, BLACK.stroke_width(1)))?
        .label(format!("chosen: epoch {best}"))
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK));
    chart
        .configure_series_labels()
        .position(legend)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}
