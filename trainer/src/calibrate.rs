//! What turns a trained network's logits into answers: temperature, threshold, and where to be unsure, all fitted to
//! validation photos; and `husky calibrate`, which fits them anew.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use husky::{Classifier, Spec, Verdict, spec::Step, weights};
use serde::{Deserialize, Serialize};

use crate::files::{self, write_atomically};
use crate::judge::judge;
use crate::metrics::{log_loss, probabilities};
use crate::{model_file, output};

/// Fit a model's temperature and threshold to photos anew
///
/// As after training, which fits them to the validation photos. Worth it for other photos, another rule, or weights in fewer
/// bits. The weights stay as they are.
///
/// Example: husky calibrate model.safetensors photos --threshold-rule fpr=0.03 --out calibrated.safetensors
#[derive(clap::Args, Debug)]
pub struct CalibrateArgs {
    /// The model file
    model: PathBuf,
    /// Folder with one folder of photos for each label, or a data set with a `validation`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What the threshold is picked for: balanced (balanced accuracy), f1, or fpr=RATE (as many of the positive label as may
    /// be found with so many false positives)
    #[arg(long, default_value = "balanced", value_name = "RULE")]
    threshold_rule: Rule,
    /// Let the network see photos at this side in pixels. Random crops show things larger in training than they are in whole
    /// photos, which makes up for a tenth or a fifth more (Touvron et al. 2019). Needs a network that ends in a mean over all
    /// places [default: as it was trained]
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,
    /// The new file; MODEL itself may be named
    #[arg(long, value_name = "FILE", value_parser = files::new_file())]
    out: PathBuf,
}

/// What a threshold on the probability of the first of two labels is picked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Rule {
    /// The largest balanced accuracy.
    Balanced,
    /// The largest harmonic mean of precision and recall.
    F1,
    /// The largest recall at which no more than this share of the other label's photos is called positive.
    FalsePositives(f64),
}

impl Rule {
    /// Refuses what there is no threshold for.
    ///
    /// # Errors
    /// Other than two labels, and another rule than the default.
    pub fn check(self, labels: usize) -> Result<()> {
        ensure!(
            labels == 2 || self == Self::Balanced,
            "--threshold-rule {self} picks the threshold between two labels, and there are {labels}: leave it out"
        );
        Ok(())
    }

    /// How good it is to find so many of all positive photos, with so many of all negative ones beside them.
    fn value(self, found: usize, positives: usize, false_alarms: usize, negatives: usize) -> f64 {
        let [found, positives, false_alarms, negatives] =
            [found, positives, false_alarms, negatives].map(|count| count as f64);
        match self {
            // Integers until the last step, so that equally good thresholds are equal.
            Self::Balanced => found * negatives - false_alarms * positives,
            Self::F1 => 2.0 * found / (positives + found + false_alarms),
            Self::FalsePositives(rate) if false_alarms > rate * negatives => f64::NEG_INFINITY,
            // Of equally many, with the fewest false alarms.
            Self::FalsePositives(_) => found - false_alarms / (negatives + 1.0),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Balanced => f.write_str("balanced"),
            Self::F1 => f.write_str("f1"),
            Self::FalsePositives(rate) => write!(f, "fpr={rate}"),
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = |text: &str| text.parse().ok().filter(|rate| (0.0..1.0).contains(rate));
        match text {
            "balanced" => Ok(Self::Balanced),
            "f1" => Ok(Self::F1),
            _ => text.strip_prefix("fpr=").and_then(rate).map(Self::FalsePositives).ok_or_else(|| {
                format!("{text:?} is none of balanced, f1, and fpr=RATE with a rate of at least 0 and below 1")
            }),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

/// Runs the command.
///
/// # Errors
/// One sentence that names the file: the model is bad, or the photos are; or the new file can't be written.
pub fn run(args: &CalibrateArgs) -> Result<ExitCode> {
    let file = model_file::read(&args.model)?;
    let in_model = || args.model.display().to_string();
    let (mut spec, tensors) = weights::read(&file).with_context(in_model)?;
    args.threshold_rule.check(spec.labels.len())?;
    let precision = weights::precision(&file)?;
    if let Some(size) = args.size {
        let shapes = |spec: &Spec| -> husky::Result<Vec<_>> {
            Ok(spec.steps()?.iter().flat_map(Step::parameters).map(|p| p.shape.clone()).collect())
        };
        let (trained, old) = (shapes(&spec)?, spec.input.size);
        spec.input.size = size;
        ensure!(
            shapes(&spec).with_context(in_model)? == trained,
            "{}: its network has weights for {old} pixels a side and no other --size",
            in_model()
        );
    }
    let classifier = Classifier::load(&weights::write(&spec, &tensors, precision)?)?;
    let (photos, _) = judge(&classifier, &args.folder)?;
    let labels: Vec<usize> = photos.iter().map(|photo| photo.label).collect();
    let several = labels.iter().any(|label| *label != labels[0]);
    ensure!(several, "{}: photos of one label alone tell nothing", args.folder.display());
    let logits: Vec<Vec<f32>> = photos.iter().map(|photo| logits(&photo.verdict, spec.temperature)).collect();
    calibrate(&mut spec, &logits, &labels, args.threshold_rule);
    write_atomically(&args.out, &weights::write(&spec, &tensors, precision)?)?;
    let unsure = spec.unsure.map(|[low, high]| format!(", unsure between {low:.4} and {high:.4}")).unwrap_or_default();
    output::print(&format!("temperature {:.4}, threshold {:.4}{unsure}\n", spec.temperature, spec.threshold))?;
    if TEMPERATURES.iter().any(|end| (f64::from(spec.temperature) / end).ln().abs() < 1e-3) {
        output::print(
            "no other temperature is tried beyond: on so few photos, or such easy ones, it says little; calibrate on more\n",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The logits behind an answer, up to what is the same for all labels and changes nothing.
fn logits(verdict: &Verdict, temperature: f32) -> Vec<f32> {
    // Not minus infinity, where a probability is too small to be told from 0.
    let ln = |p: f32| p.max(f32::MIN_POSITIVE).ln();
    match verdict.probabilities[..] {
        [first, second] => vec![(ln(first) - ln(second)) * temperature],
        ref all => all.iter().map(|&p| ln(p) * temperature).collect(),
    }
}

/// Fits the temperature and, of two labels, the threshold and the range of unsure answers to photos with these logits and
/// labels.
pub fn calibrate(spec: &mut Spec, logits: &[Vec<f32>], labels: &[usize], rule: Rule) {
    spec.temperature = fit_temperature(logits, labels);
    let calibrated = probabilities(logits, spec.temperature);
    (spec.threshold, spec.unsure) = match spec.labels.len() {
        2 => {
            let threshold = best_threshold(&calibrated, labels, rule);
            (threshold, unsure_range(&calibrated, threshold))
        }
        _ => (0.5, None),
    };
}

/// The share of photos like those of the validation about which a model is unsure.
const UNSURE: f64 = 0.05;

/// The probabilities around the threshold, as far to both sides as logits go, between which that share of the photos lies:
/// those about which the network says least. None for too few photos.
fn unsure_range(probabilities: &[Vec<f32>], threshold: f32) -> Option<[f32; 2]> {
    let logit = |p: f32| (f64::from(p.max(f32::MIN_POSITIVE)) / f64::from((1.0 - p).max(f32::MIN_POSITIVE))).ln();
    let center = logit(threshold);
    let mut distances: Vec<f64> = probabilities.iter().map(|p| (logit(p[0]) - center).abs()).collect();
    distances.sort_by(f64::total_cmp);
    let count = (UNSURE * distances.len() as f64) as usize;
    let half = distances[count.checked_sub(1)?].midpoint(distances[count]);
    let probability = |logit: f64| (1.0 / (1.0 + (-logit).exp())) as f32;
    // Rounding must not push the threshold out.
    Some([probability(center - half).min(threshold), probability(center + half).max(threshold)])
}

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

/// The threshold on the first of two probabilities that the rule likes best: midway between neighbouring scores, and of
/// equally good ones that nearest to 0.5, which is also the answer where no threshold tells anything apart.
pub fn best_threshold(probabilities: &[Vec<f32>], labels: &[usize], rule: Rule) -> f32 {
    let [positives, negatives] = [0, 1].map(|label| labels.iter().filter(|&&l| l == label).count());
    if positives * negatives == 0 {
        return 0.5;
    }
    let mut photos: Vec<(f32, usize)> = probabilities.iter().map(|p| p[0]).zip(labels.iter().copied()).collect();
    photos.sort_by(|a, b| a.0.total_cmp(&b.0));
    // From the laxest threshold up, under which everything is positive.
    let (mut found, mut false_alarms) = (positives, negatives);
    let mut best = (rule.value(found, positives, false_alarms, negatives), 0.5);
    let mut groups = photos.chunk_by(|a, b| a.0 == b.0).peekable();
    while let Some(group) = groups.next() {
        let below = group[0].0;
        // Above the highest score nothing is positive: a rate of false alarms may leave no other choice.
        let above = groups.peek().map_or(1.0, |next| next[0].0);
        if above == below {
            break;
        }
        // The threshold passes the group: its positive photos are lost, its negative ones are won.
        let lost = group.iter().filter(|(_, label)| *label == 0).count();
        found -= lost;
        false_alarms -= group.len() - lost;
        let middle = below + (above - below) / 2.0;
        // Between neighbouring floats there is nothing; a score that equals the threshold is positive.
        let threshold = if middle > below { middle } else { above };
        let value = rule.value(found, positives, false_alarms, negatives);
        let nearer = (threshold - 0.5).abs() < (best.1 - 0.5_f32).abs();
        if value > best.0 || (value == best.0 && nearer) {
            best = (value, threshold);
        }
    }
    best.1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
    fn it_is_unsure_of_the_twentieth_that_is_nearest_to_the_threshold() {
        let scores = rows(&(1..100).map(|i| i as f32 / 100.0).collect::<Vec<_>>());
        // Of 99 photos the four nearest.
        let [low, high] = unsure_range(&scores, 0.502).unwrap();
        assert_eq!(scores.iter().filter(|p| p[0] > low && p[0] < high).count(), 4, "{low} {high}");
        let [low, high] = unsure_range(&scores, 0.9).unwrap();
        assert!(low < 0.9 && high > 0.9 && 0.9 - low > high - 0.9, "{low} {high}");
        assert_eq!(unsure_range(&scores[..19], 0.5), None);
        for threshold in [0.0, 1.0] {
            let [low, high] = unsure_range(&scores, threshold).unwrap();
            assert!(low <= threshold && threshold <= high && low >= 0.0 && high <= 1.0);
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
        assert_eq!(best_threshold(&scores, &[1, 1, 0, 1, 0, 0], Rule::Balanced), 0.55);
        assert_eq!(best_threshold(&scores, &[1, 1, 0, 0, 0, 0], Rule::Balanced), 0.3);
    }

    #[test]
    fn a_label_counts_as_much_as_the_other_whatever_its_photos() {
        // Both highest scores are 0.75: finding the only positive photo outweighs one negative of four.
        assert_eq!(best_threshold(&rows(&[0.1, 0.2, 0.5, 0.75, 0.75]), &[1, 1, 1, 1, 0], Rule::Balanced), 0.625);
    }

    #[test]
    fn equal_scores_stay_together() {
        assert_eq!(best_threshold(&rows(&[0.25, 0.5, 0.5, 0.75]), &[1, 0, 1, 0], Rule::Balanced), 0.375);
        assert_eq!(best_threshold(&rows(&[0.5; 4]), &[0, 1, 0, 1], Rule::Balanced), 0.5);
        assert_eq!(best_threshold(&rows(&[0.3, 0.4]), &[0, 0], Rule::Balanced), 0.5);
    }

    #[test]
    fn each_rule_has_its_own_threshold() {
        // Rising: P N N N P N N P P. Above 0.75 are 2 of 4 and none wrong, above 0.45 are 3 and 2 wrong.
        let scores = rows(&[0.05, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9]);
        let labels = [0, 1, 1, 1, 0, 1, 1, 0, 0];
        let threshold = |rule: &str| best_threshold(&scores, &labels, rule.parse().unwrap());
        assert_eq!(threshold("fpr=0"), 0.75);
        assert_eq!(threshold("fpr=0.39"), 0.75);
        // Exactly two of five may be wrong.
        assert_eq!(threshold("fpr=0.4"), 0.4);
        // Halves of the sums of recalls: 0.75 at 0.75, (0.75 + 0.6) / 2 at 0.4.
        assert_eq!(threshold("balanced"), 0.75);
        // 2 * 2 / (4 + 2 + 0) and 2 * 3 / (4 + 3 + 2) are both two thirds, and 0.4 is nearer to 0.5.
        assert_eq!(threshold("f1"), 0.4);
        for wrong in ["", "fpr", "fpr=", "fpr=1", "fpr=-0.1", "fpr=nan", "best"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
        for rule in ["balanced", "f1", "fpr=0.01"] {
            assert_eq!(rule.parse::<Rule>().unwrap().to_string(), rule);
        }
    }

    #[test]
    fn a_rate_that_only_silence_keeps_is_kept() {
        let threshold = |scores: &[f32]| best_threshold(&rows(scores), &[0, 1], Rule::FalsePositives(0.0));
        assert_eq!(threshold(&[0.25, 0.5]), 0.75);
        // A score of 1 is above no threshold that there is.
        assert_eq!(threshold(&[0.25, 1.0]), 0.5);
    }

    #[test]
    fn neighbouring_floats_are_told_apart() {
        let (below, above) = (0.7_f32, 0.7_f32.next_up());
        assert_eq!(best_threshold(&rows(&[below, above]), &[1, 0], Rule::Balanced), above);
    }
}
