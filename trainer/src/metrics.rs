//! Figures about answers. Each takes one row of probabilities a photo, in the order of the model's labels, and the index
//! of each photo's true label. Of two labels the first is the positive one.

use husky::Verdict;
use rand::RngExt;
use rayon::prelude::*;
use serde::Serialize;

use crate::random::{Stream, rng};

/// The false-positive rate of [`recall_at_fpr`] in the reports.
pub const MAX_FALSE_POSITIVE_RATE: f64 = 0.01;
/// Bins of [`expected_calibration_error`].
const BINS: usize = 15;
/// Resamples behind an interval.
const RESAMPLES: u64 = 1000;
/// Quantile of the normal distribution for 95 %, both sides.
const Z: f64 = 1.959_963_984_540_054;

/// An interval of 95 % confidence, `[low, high]`.
pub type Interval = [f64; 2];

/// All figures about some photos.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Share of right answers.
    pub accuracy: f64,
    /// Mean over the labels of the share of right answers.
    pub balanced_accuracy: f64,
    /// See [`roc_auc`].
    pub roc_auc: Option<f64>,
    /// See [`recall_at_fpr`], at 1 %.
    pub recall_at_1pct_fpr: Option<f64>,
    /// See [`log_loss`].
    pub log_loss: f64,
    /// See [`expected_calibration_error`].
    pub ece: f64,
}

impl Figures {
    /// Each figure under the name that people read.
    pub fn rows(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("accuracy", Some(self.accuracy)),
            ("balanced accuracy", Some(self.balanced_accuracy)),
            ("ROC AUC", self.roc_auc),
            ("recall at 1 % false positives", self.recall_at_1pct_fpr),
            ("log loss", Some(self.log_loss)),
            ("expected calibration error", Some(self.ece)),
        ]
    }
}

/// 95 % intervals of [`Figures`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each is the interval of the figure of its name")]
pub struct Intervals {
    pub accuracy: Interval,
    pub balanced_accuracy: Interval,
    pub roc_auc: Option<Interval>,
    pub recall_at_1pct_fpr: Option<Interval>,
    pub log_loss: Interval,
    pub ece: Interval,
}

impl Intervals {
    /// In the order of [`Figures::rows`].
    pub fn rows(&self) -> [Option<Interval>; 6] {
        let Self { accuracy, balanced_accuracy, roc_auc, recall_at_1pct_fpr, log_loss, ece } = *self;
        [Some(accuracy), Some(balanced_accuracy), roc_auc, recall_at_1pct_fpr, Some(log_loss), Some(ece)]
    }
}

/// Judged photos, one row each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged<P> {
    /// Probability of every label.
    pub probabilities: Vec<P>,
    /// True label.
    pub labels: Vec<usize>,
    /// Answered label.
    pub answers: Vec<usize>,
}

impl<P: AsRef<[f32]> + Sync> Judged<P> {
    /// All figures; there must be a photo.
    pub fn figures(&self) -> Figures {
        let Self { probabilities, labels, answers } = self;
        let classes = probabilities[0].as_ref().len();
        let confusion = confusion(labels, answers, classes);
        let correct: usize = (0..classes).map(|label| confusion[label][label]).sum();
        Figures {
            accuracy: correct as f64 / labels.len() as f64,
            balanced_accuracy: balanced_accuracy(&confusion),
            roc_auc: roc_auc(probabilities, labels),
            recall_at_1pct_fpr: recall_at_fpr(probabilities, labels, MAX_FALSE_POSITIVE_RATE),
            log_loss: log_loss(probabilities, labels),
            ece: expected_calibration_error(probabilities, labels, answers),
        }
    }

    /// The Wilson interval of the accuracy; for the rest, the middle 95 % of the figures of 1,000 resamples that keep
    /// the number of photos of each label (stratified percentile bootstrap). Always the same for the same photos.
    pub fn intervals(&self) -> Intervals {
        let figures: Vec<Figures> = (0..RESAMPLES).into_par_iter().map(|i| self.resample(i).figures()).collect();
        let some = |figure: fn(&Figures) -> Option<f64>| -> Option<Interval> {
            figures.iter().map(figure).collect::<Option<Vec<f64>>>().map(middle)
        };
        let all = |figure: fn(&Figures) -> f64| middle(figures.iter().map(figure).collect());
        let correct = self.labels.iter().zip(&self.answers).filter(|(label, answer)| label == answer).count();
        Intervals {
            accuracy: wilson(correct, self.labels.len()),
            balanced_accuracy: all(|f| f.balanced_accuracy),
            roc_auc: some(|f| f.roc_auc),
            recall_at_1pct_fpr: some(|f| f.recall_at_1pct_fpr),
            log_loss: all(|f| f.log_loss),
            ece: all(|f| f.ece),
        }
    }

    /// As many photos of each label, drawn with replacement.
    fn resample(&self, number: u64) -> Judged<&[f32]> {
        let mut rng = rng(0, Stream::Bootstrap, 0, number);
        let mut of_label = vec![Vec::new(); self.probabilities[0].as_ref().len()];
        self.labels.iter().enumerate().for_each(|(photo, &label)| of_label[label].push(photo));
        let draw = |&label: &usize| of_label[label][rng.random_range(0..of_label[label].len())];
        let photos: Vec<usize> = self.labels.iter().map(draw).collect();
        Judged {
            probabilities: photos.iter().map(|&photo| self.probabilities[photo].as_ref()).collect(),
            labels: self.labels.clone(),
            answers: photos.iter().map(|&photo| self.answers[photo]).collect(),
        }
    }
}

/// The probabilities that a model of this temperature would give, from rows of logits.
pub fn probabilities(logits: &[Vec<f32>], temperature: f32) -> Vec<Vec<f32>> {
    logits.iter().map(|logits| Verdict::probabilities(logits, temperature)).collect()
}

/// How often photos of label (row) got answer (column).
pub fn confusion(labels: &[usize], answers: &[usize], classes: usize) -> Vec<Vec<usize>> {
    let mut confusion = vec![vec![0; classes]; classes];
    labels.iter().zip(answers).for_each(|(&label, &answer)| confusion[label][answer] += 1);
    confusion
}

/// The mean recall of the labels that have photos.
pub fn balanced_accuracy(confusion: &[Vec<usize>]) -> f64 {
    let recall = |(label, row): (usize, &Vec<usize>)| {
        let photos: usize = row.iter().sum();
        (photos > 0).then(|| row[label] as f64 / photos as f64)
    };
    let recalls: Vec<f64> = confusion.iter().enumerate().filter_map(recall).collect();
    recalls.iter().sum::<f64>() / recalls.len() as f64
}

/// Area under the ROC curve: the probability that a positive photo scores higher than a negative one, an equal score
/// counting half (Mann-Whitney). `None` unless there are two labels with photos of both.
pub fn roc_auc(probabilities: &[impl AsRef<[f32]>], labels: &[usize]) -> Option<f64> {
    let steps = roc(probabilities, labels)?;
    // Each step of the curve is a trapezium: its slope is the equal scores.
    let area = |pair: &[[f64; 2]]| (pair[1][0] - pair[0][0]) * (pair[0][1] + pair[1][1]) / 2.0;
    Some(steps.windows(2).map(area).sum())
}

/// The largest recall (share of the positive photos that are found) of any threshold at which at most this share of the
/// negative photos is called positive. `None` unless there are two labels with photos of both.
pub fn recall_at_fpr(probabilities: &[impl AsRef<[f32]>], labels: &[usize], max_rate: f64) -> Option<f64> {
    let steps = roc(probabilities, labels)?;
    steps
        .iter()
        .filter(|[false_positive_rate, _]| *false_positive_rate <= max_rate)
        .map(|[_, recall]| *recall)
        .next_back()
}

/// The ROC curve, `[false-positive rate, recall]` of each threshold from the strictest (nothing is positive) to the
/// laxest. `None` unless there are two labels with photos of both.
pub fn roc(probabilities: &[impl AsRef<[f32]>], labels: &[usize]) -> Option<Vec<[f64; 2]>> {
    if probabilities.first()?.as_ref().len() != 2 {
        return None;
    }
    let totals = [1, 0].map(|label| labels.iter().filter(|&&l| l == label).count());
    if totals.contains(&0) {
        return None;
    }
    let mut photos: Vec<(f32, usize)> =
        probabilities.iter().map(|p| p.as_ref()[0]).zip(labels.iter().copied()).collect();
    photos.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut counts = [0, 0];
    let mut curve = vec![[0.0, 0.0]];
    for equals in photos.chunk_by(|a, b| a.0 == b.0) {
        equals.iter().for_each(|&(_, label)| counts[1 - label] += 1);
        curve.push([0, 1].map(|axis| counts[axis] as f64 / totals[axis] as f64));
    }
    Some(curve)
}

/// The mean of `-ln(probability of the true label)`, with probabilities of at least 1e-7, as Keras clips them.
pub fn log_loss(probabilities: &[impl AsRef<[f32]>], labels: &[usize]) -> f64 {
    let loss = |(p, &label): (&_, &usize)| {
        let p = f64::from(AsRef::<[f32]>::as_ref(p)[label]);
        // Not through max(), which would hide a NaN.
        -(if p < 1e-7 { 1e-7 } else { p }).ln()
    };
    probabilities.iter().zip(labels).map(loss).sum::<f64>() / labels.len() as f64
}

/// How far the stated confidence is from the truth (Naeini et al. 2015): photos fall into 15 bins of equal width by the
/// probability of their answer, and the difference between a bin's share of right answers and its mean probability is
/// averaged, weighted by the bin's photos.
pub fn expected_calibration_error(probabilities: &[impl AsRef<[f32]>], labels: &[usize], answers: &[usize]) -> f64 {
    let mut bins = [0.0; BINS];
    for ((probabilities, label), &answer) in probabilities.iter().zip(labels).zip(answers) {
        let confidence = f64::from(probabilities.as_ref()[answer]);
        let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
        bins[bin] += f64::from(u8::from(*label == answer)) - confidence;
    }
    bins.iter().map(|surplus| surplus.abs()).sum::<f64>() / labels.len() as f64
}

/// Photos to whose first label about the same probability was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// The mean of these probabilities.
    pub probability: f64,
    /// The share of these photos that have the label.
    pub share: f64,
}

/// How often the stated probability of the first label comes true: photos in ten bins of equal width by that probability,
/// empty ones left out (DeGroot and Fienberg 1983).
pub fn reliability(probabilities: &[impl AsRef<[f32]>], labels: &[usize]) -> Vec<Bin> {
    let mut bins = [(0.0, 0.0, 0.0); 10];
    for (probabilities, &label) in probabilities.iter().zip(labels) {
        let p = f64::from(probabilities.as_ref()[0]);
        let (sum, hits, count) = &mut bins[((p * 10.0) as usize).min(9)];
        *sum += p;
        *hits += f64::from(u8::from(label == 0));
        *count += 1.0;
    }
    let filled = bins.into_iter().filter(|(.., count)| *count > 0.0);
    filled.map(|(sum, hits, count)| Bin { probability: sum / count, share: hits / count }).collect()
}

/// Wilson's 95 % interval of a share.
pub fn wilson(hits: usize, of: usize) -> Interval {
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let center = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    [(center - half) / (1.0 + Z * Z / n), (center + half) / (1.0 + Z * Z / n)].map(|bound| bound.clamp(0.0, 1.0))
}

/// The middle 95 % of some values.
fn middle(mut values: Vec<f64>) -> Interval {
    values.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|quantile| values[((values.len() - 1) as f64 * quantile).round() as usize])
}

#[cfg(test)]
mod tests;
