#![allow(clippy::unwrap_used)]

use super::*;

/// Rows of two probabilities from those of the first label.
fn rows(scores: &[f32]) -> Vec<Vec<f32>> {
    scores.iter().map(|&p| vec![p, 1.0 - p]).collect()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6, "{a} {b}");
}

#[test]
fn roc_auc_counts_pairs_and_half_of_the_ties() {
    // Positive 0.9 0.6 0.4 against negative 0.6 0.4 0.1: 3 + 2.5 + 1.5 of 9 pairs.
    let scores = rows(&[0.9, 0.6, 0.6, 0.4, 0.4, 0.1]);
    close(roc_auc(&scores, &[0, 0, 1, 1, 0, 1]).unwrap(), 7.0 / 9.0);
    close(roc_auc(&rows(&[0.9, 0.1]), &[0, 1]).unwrap(), 1.0);
    close(roc_auc(&rows(&[0.9, 0.1]), &[1, 0]).unwrap(), 0.0);
    close(roc_auc(&rows(&[0.5; 4]), &[0, 1, 0, 1]).unwrap(), 0.5);
}

#[test]
fn roc_auc_is_the_share_of_pairs_on_any_scores() {
    let mut rng = rng(1, Stream::Bootstrap, 9, 9);
    // Ten levels, so that many are equal.
    let scores: Vec<f32> = (0..200).map(|_| rng.random_range(0..10) as f32 / 10.0).collect();
    let labels: Vec<usize> = (0..200).map(|_| rng.random_range(0..2)).collect();
    let (mut wins, mut pairs) = (0.0, 0.0);
    for p in (0..200).filter(|&i| labels[i] == 0) {
        for n in (0..200).filter(|&i| labels[i] == 1) {
            pairs += 1.0;
            wins += if scores[p] > scores[n] { 1.0 } else { f64::from(u8::from(scores[p] == scores[n])) / 2.0 };
        }
    }
    close(roc_auc(&rows(&scores), &labels).unwrap(), wins / pairs);
}

#[test]
fn recall_at_fpr_takes_the_laxest_threshold_that_the_rate_allows() {
    // Falling scores: P P N P N P, 4 positive and 2 negative.
    let (scores, labels) = (rows(&[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), [0, 0, 1, 0, 1, 0]);
    close(recall_at_fpr(&scores, &labels, 0.01).unwrap(), 0.5);
    close(recall_at_fpr(&scores, &labels, 0.5).unwrap(), 0.75);
    close(recall_at_fpr(&scores, &labels, 1.0).unwrap(), 1.0);
    // A negative photo with the highest score: nothing is found without calling it.
    close(recall_at_fpr(&rows(&[0.9, 0.9, 0.1]), &[1, 0, 0], 0.01).unwrap(), 0.0);
}

#[test]
fn one_false_positive_in_a_hundred_is_allowed() {
    // Falling: N, then 100 positive, then 99 negative. 1 of 100 negative is exactly 1 %.
    let scores: Vec<f32> = (0..200).map(|i| 1.0 - i as f32 / 200.0).collect();
    let labels: Vec<usize> = (0..200).map(|i| usize::from(i == 0 || i > 100)).collect();
    close(recall_at_fpr(&rows(&scores), &labels, 0.01).unwrap(), 1.0);
}

#[test]
fn figures_of_two_labels_are_none_for_more_or_for_photos_of_one() {
    let three = vec![vec![0.2, 0.3, 0.5]; 3];
    assert_eq!(roc_auc(&three, &[0, 1, 2]), None);
    assert_eq!(recall_at_fpr(&three, &[0, 1, 2], 0.01), None);
    assert_eq!(roc_auc(&rows(&[0.4, 0.6]), &[0, 0]), None);
    assert_eq!(recall_at_fpr(&rows(&[0.4, 0.6]), &[1, 1], 0.01), None);
}

#[test]
fn confusion_and_balanced_accuracy() {
    let confusion = confusion(&[0, 0, 0, 0, 1, 1], &[0, 0, 0, 1, 1, 0], 3);
    assert_eq!(confusion, [[3, 1, 0], [1, 1, 0], [0, 0, 0]]);
    // 3/4 and 1/2; the label without photos does not count.
    close(balanced_accuracy(&confusion), 0.625);
}

#[test]
fn log_loss_is_the_mean_and_clipped() {
    close(log_loss(&rows(&[0.5, 0.25]), &[0, 1]), (2.0_f64.ln() - 0.75_f64.ln()) / 2.0);
    close(log_loss(&rows(&[0.0]), &[0]), -(1e-7_f64.ln()));
    close(log_loss(&[[0.25, 0.25, 0.5]], &[2]), 2.0_f64.ln());
}

#[test]
fn log_loss_does_not_hide_a_nan() {
    assert!(log_loss(&rows(&[f32::NAN, 0.5]), &[0, 0]).is_nan());
}

#[test]
fn expected_calibration_error_by_hand() {
    // 0.75 and 0.79 share bin 11 of 15 ([0.733, 0.8)): one of two is right, mean confidence 0.77, so 0.27.
    // 1.0 is in the last bin and right: 0. Weighted by 2 and 1 photos.
    let scores = rows(&[0.75, 0.79, 1.0]);
    close(expected_calibration_error(&scores, &[0, 1, 0], &[0, 0, 0]), 0.27 * 2.0 / 3.0);
    // In different bins nothing cancels out: 0.1 too little and 0.7 too much.
    close(expected_calibration_error(&rows(&[0.9, 0.3]), &[0, 0], &[0, 1]), (0.1 + 0.7) / 2.0);
}

#[test]
fn wilson_is_the_textbooks() {
    // R: prop.test(8, 10, correct = FALSE) and prop.test(0, 20, correct = FALSE)
    let [low, high] = wilson(8, 10);
    assert!((low - 0.490_162).abs() < 1e-5 && (high - 0.943_317).abs() < 1e-5, "{low} {high}");
    let [low, high] = wilson(0, 20);
    assert!(low == 0.0 && (high - 0.161_125).abs() < 1e-5, "{low} {high}");
}

#[test]
fn intervals_hold_the_figures_and_never_change() {
    let mut rng = rng(2, Stream::Bootstrap, 9, 9);
    let labels: Vec<usize> = (0..300).map(|i| usize::from(i % 3 != 0)).collect();
    let score = |&label: &usize| (0.4 * rng.random::<f32>() + if label == 0 { 0.4 } else { 0.2 }).clamp(0.0, 1.0);
    let probabilities = rows(&labels.iter().map(score).collect::<Vec<_>>());
    let answers = probabilities.iter().map(|p| usize::from(p[0] < 0.5)).collect();
    let judged = Judged { probabilities, labels, answers };
    let (figures, intervals) = (judged.figures(), judged.intervals());
    let holds = |[low, high]: Interval, figure: f64| {
        assert!(low < figure && figure < high && high - low < 0.3, "{low} {figure} {high}");
    };
    holds(intervals.accuracy, figures.accuracy);
    holds(intervals.balanced_accuracy, figures.balanced_accuracy);
    holds(intervals.roc_auc.unwrap(), figures.roc_auc.unwrap());
    holds(intervals.recall_at_1pct_fpr.unwrap(), figures.recall_at_1pct_fpr.unwrap());
    holds(intervals.log_loss, figures.log_loss);
    assert_eq!(judged.intervals(), intervals);
}

#[test]
fn resamples_keep_the_number_of_photos_of_each_label() {
    let judged = Judged { probabilities: rows(&[0.1, 0.2, 0.3, 0.4]), labels: vec![0, 1, 1, 1], answers: vec![0; 4] };
    for number in 0..20 {
        let resample = judged.resample(number);
        assert_eq!(resample.labels, judged.labels);
        assert_eq!(resample.probabilities[0], [0.1, 0.9]);
        assert!(resample.probabilities[1..].iter().all(|p| p[0] > 0.1));
    }
    assert_ne!(judged.resample(0), judged.resample(1));
}
