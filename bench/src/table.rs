//! Medians, and tables in Markdown.

use std::fmt;

/// The middle of `values`; of an even number, the mean of the two in the middle. NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    f64::midpoint(middle(sorted.len() / 2), middle(sorted.len().saturating_sub(1) / 2))
}

/// What was measured once a launch (or round), over all of them.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The median.
    pub fn median(&self) -> f64 {
        median(&self.0)
    }

    /// The median of the launches' quotients `self / other`, each of one launch.
    pub fn ratio(&self, other: &Self) -> f64 {
        median(&self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect::<Vec<_>>())
    }
}

/// `median (smallest–largest)`.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median() < 100.0 { 2 } else { 0 };
        let smallest = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        write!(f, "{:.digits$} ({smallest:.digits$}–{largest:.digits$})", self.median())
    }
}

/// A table; the first column is text, the others are figures.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table under these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row, a cell for each heading.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// As Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width = |c: usize| self.rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or_default()).collect();
        for (i, row) in self.rows.iter().enumerate() {
            for (c, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                if c == 0 { write!(f, "| {cell:<width$} |")? } else { write!(f, " {cell:>width$} |")? }
            }
            writeln!(f)?;
            if i == 0 {
                for (c, &width) in widths.iter().enumerate() {
                    if c == 0 { write!(f, "|{:-<1$}|", "", width + 2)? } else { write!(f, "{:-<1$}:|", "", width + 1)? }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_ratio_compares_within_a_launch() {
        // The second launch ran at half the speed; the ratio does not change.
        let (slow, fast) = (Samples(vec![4.0, 8.0, 4.0]), Samples(vec![2.0, 4.0, 2.0]));
        assert_eq!(slow.ratio(&fast), 2.0);
        assert_eq!(slow.to_string(), "4.00 (4.00–8.00)");
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["engine", "ms"]);
        table.row(["husky".into(), "5".into()]);
        assert_eq!(table.to_string(), "| engine | ms |\n|--------|---:|\n| husky  |  5 |\n");
    }
}
