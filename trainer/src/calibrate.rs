//! What turns a trained network's logits into answers: temperature and threshold, both fitted to validation photos.

use crate::metrics::{log_loss, probabilities};

/// The temperatures that are tried: outside, there are too few photos to tell.
const TEMPERATURES: [f64; 2] = [0.1, 10.0];

/// The temperature that makes the log loss of rows of `logits` smallest (Guo et al. 2017, "On Calibration of Modern
/// Neural Networks"), by golden-section search: the loss has a single valley along it.
pub fn fit_temperature(logits: &[Vec<f32>], labels: &[usize]) -> f32 {
    let loss = |log: f64| log_loss(&probabilities(logits, log.exp() as f32), labels);
    let golden = (5_f64.sqrt() - 1.0) / 2.0;
    let [mut low, mut high] = TEMPERATURES.map(f64::ln);
    let [mut a, mut b] = [high - golden * (high - low), low + golden * (high - low)];
    let [mut loss_a, mut loss_b] = [loss(a), loss(b)];
    while high - low > 1e-4 {
        if loss_a <= loss_b {
            (high, b, loss_b) = (b, a, loss_a);
            a = high - golden * (high - low);
            loss_a = loss(a);
        } else {
            (low, a, loss_a) = (a, b, loss_b);
            b = low + golden * (high - low);
            loss_b = loss(b);
        }
    }
    ((low + high) / 2.0).exp() as f32
}

/// The threshold on the first of two probabilities that makes the balanced accuracy largest: midway between
/// neighbouring scores, and of equally good ones that nearest to 0.5, which is also the answer where no threshold tells
/// anything apart.
pub fn best_threshold(probabilities: &[Vec<f32>], labels: &[usize]) -> f32 {
    let totals = [0, 1].map(|label| labels.iter().filter(|&&l| l == label).count());
    if totals.contains(&0) {
        return 0.5;
    }
    let mut photos: Vec<(f32, usize)> = probabilities.iter().map(|p| p[0]).zip(labels.iter().copied()).collect();
    photos.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Integers, so that equally good thresholds are equal: balanced accuracy times twice both totals.
    let [positives, negatives] = totals;
    let mut value = positives * negatives;
    let mut best = (value, 0.5);
    let groups: Vec<&[(f32, usize)]> = photos.chunk_by(|a, b| a.0 == b.0).collect();
    for pair in groups.windows(2) {
        // The threshold passes the lower group: its positive photos are lost, its negative ones are won.
        for &(_, label) in pair[0] {
            value = if label == 0 { value - negatives } else { value + positives };
        }
        let (below, above) = (pair[0][0].0, pair[1][0].0);
        let middle = below + (above - below) / 2.0;
        // Between neighbouring floats there is nothing; a score that equals the threshold is positive.
        let threshold = if middle > below { middle } else { above };
        let nearer = (threshold - 0.5).abs() < (best.1 - 0.5_f32).abs();
        if value > best.0 || (value == best.0 && nearer) {
            best = (value, threshold);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use husky::Verdict;
    use rand::RngExt;

    use super::*;
    use crate::random::{Stream, rng};

    fn rows(scores: &[f32]) -> Vec<Vec<f32>> {
        scores.iter().map(|&p| vec![p, 1.0 - p]).collect()
    }

    #[test]
    fn the_temperature_that_was_put_in_is_found() {
        let mut rng = rng(3, Stream::Bootstrap, 9, 9);
        for temperature in [0.5, 1.0, 3.0] {
            let (mut one, mut three, mut labels, mut labels3) = (vec![], vec![], vec![], vec![]);
            for _ in 0..20_000 {
                // Logits whose labels are drawn by the probabilities that they state, then made too sure.
                let row: Vec<f32> = (0..3).map(|_| rng.random_range(-2.0..2.0)).collect();
                let draw = rng.random::<f32>();
                labels.push(usize::from(draw > Verdict::probabilities(&row[..1], 1.0)[0]));
                let p = Verdict::probabilities(&row, 1.0);
                labels3.push(usize::from(draw > p[0]) + usize::from(draw > p[0] + p[1]));
                one.push(vec![row[0] * temperature]);
                three.push(row.iter().map(|z| z * temperature).collect());
            }
            for found in [fit_temperature(&one, &labels), fit_temperature(&three, &labels3)] {
                assert!((found / temperature - 1.0).abs() < 0.05, "{found} {temperature}");
            }
        }
    }

    #[test]
    fn the_temperature_stays_in_bounds() {
        let sure_and_right = fit_temperature(&[vec![1.0], vec![-1.0]], &[0, 1]);
        assert!((sure_and_right - 0.1).abs() < 1e-3, "{sure_and_right}");
        let sure_and_wrong = fit_temperature(&[vec![1.0], vec![-1.0]], &[1, 0]);
        assert!((sure_and_wrong - 10.0).abs() < 1e-2, "{sure_and_wrong}");
    }

    #[test]
    fn the_threshold_is_midway_between_neighbours() {
        // Rising: N N P N P P. From 0.3 on 3 of 3 and 2 of 3 are right; from 0.75 on 2 of 3 and 3 of 3, nearer to 0.5.
        let scores = rows(&[0.1, 0.2, 0.4, 0.5, 0.6, 0.9]);
        assert_eq!(best_threshold(&scores, &[1, 1, 0, 1, 0, 0]), 0.55);
        assert_eq!(best_threshold(&scores, &[1, 1, 0, 0, 0, 0]), 0.3);
    }

    #[test]
    fn a_label_counts_as_much_as_the_other_whatever_its_photos() {
        // Both highest scores are 0.75: finding the only positive photo outweighs one negative of four.
        assert_eq!(best_threshold(&rows(&[0.1, 0.2, 0.5, 0.75, 0.75]), &[1, 1, 1, 1, 0]), 0.625);
    }

    #[test]
    fn equal_scores_stay_together() {
        assert_eq!(best_threshold(&rows(&[0.25, 0.5, 0.5, 0.75]), &[1, 0, 1, 0]), 0.375);
        assert_eq!(best_threshold(&rows(&[0.5; 4]), &[0, 1, 0, 1]), 0.5);
        assert_eq!(best_threshold(&rows(&[0.3, 0.4]), &[0, 0]), 0.5);
    }

    #[test]
    fn neighbouring_floats_are_told_apart() {
        let (below, above) = (0.7_f32, 0.7_f32.next_up());
        assert_eq!(best_threshold(&rows(&[below, above]), &[1, 0]), above);
    }
}
