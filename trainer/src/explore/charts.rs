//! How a property is spread over a label's photos.

use anyhow::Result;
use plotters::prelude::*;

use crate::curves::{RunColors, svg};

const SIZE: (u32, u32) = (480, 300);
const BINS: usize = 30;

/// The share of each label's photos in each of 30 bins of equal ratio, as SVG.
///
/// # Errors
/// None in practice: the picture is drawn in memory.
pub fn histogram(title: &str, unit: &str, labels: &[String], values: &[Vec<f64>]) -> Result<String> {
    let all = || values.iter().flatten().copied();
    let smallest = all().fold(f64::INFINITY, f64::min);
    // Not one value alone, which would leave no range.
    let largest = all().fold(smallest * 1.01, f64::max);
    let edge = |bin: usize| smallest * (largest / smallest).powf(bin as f64 / BINS as f64);
    let bin = |value: f64| ((value / smallest).ln() / (largest / smallest).ln() * BINS as f64) as usize;
    let shares: Vec<Vec<f64>> = values
        .iter()
        .map(|values| {
            let mut shares = vec![0.0; BINS];
            values.iter().for_each(|&value| shares[bin(value).min(BINS - 1)] += 1.0 / values.len() as f64);
            shares
        })
        .collect();
    let highest = shares.iter().flatten().copied().fold(0.0, f64::max);
    svg(SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d((smallest..largest).log_scale(), 0.0..highest * 1.05)?;
        let share = |y: &f64| format!("{:.0} %", 100.0 * y);
        let number = |x: &f64| if *x < 10.0 { format!("{x:.1}") } else { format!("{x:.0}") };
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(unit).x_label_formatter(&number).y_label_formatter(&share).light_line_style(WHITE).draw()?;
        for (i, (label, shares)) in labels.iter().zip(&shares).enumerate() {
            // Wider below, so that what lies on it hides no line.
            let style = RunColors::pick(i).stroke_width(2 * (labels.len() - i).min(3) as u32);
            let steps =
                shares.iter().enumerate().flat_map(|(bin, &share)| [(edge(bin), share), (edge(bin + 1), share)]);
            let line = chart.draw_series(LineSeries::new(steps, style))?;
            line.label(label).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperRight).background_style(WHITE.mix(0.8)).draw()?;
        Ok(())
    })
}
