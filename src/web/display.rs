//! Answers in words and bars, for photos and camera alike.

use js_sys::{JsString, Number};
use web_sys::{Element, HtmlElement};

use super::{Answer, ModelInfo, dom};
use crate::shipped::SHIPPED;

/// A label for people: `husky` is "Husky", and `nothusky` beside it "Not a husky".
pub(super) fn words(labels: &[String], label: &str) -> String {
    if let [positive, negative] = labels
        && label == negative
        && negative.strip_prefix("not").is_some_and(|rest| rest.trim_start_matches(['-', '_', ' ']) == positive)
    {
        let article = if positive.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        return format!("Not {article} {positive}");
    }
    let mut letters = label.chars();
    let first: JsString = letters.next().map_or_else(String::new, String::from).into();
    format!("{}{}", first.to_upper_case(), letters.as_str())
}

/// The answer for people.
pub(super) fn verdict(info: &ModelInfo, answer: &Answer) -> String {
    if answer.unsure() { "Not sure".to_owned() } else { words(&info.labels(), &answer.label()) }
}

/// What bar and percentage speak of: of two labels always the first, so that they agree with the bar's marks;
/// of more, the answered one.
pub(super) fn shown(info: &ModelInfo, answer: &Answer) -> (String, f32) {
    match (<[String; 2]>::try_from(info.labels()), answer.probabilities().get(0).as_f64()) {
        (Ok([first, _]), Some(probability)) => (first, probability as f32),
        _ => (answer.label(), answer.probability()),
    }
}

/// `0.973` is "97.3 %", never broken before the sign. What is not certain never reads as certain.
pub(super) fn percent(probability: f32) -> String {
    match 100.0 * probability {
        p if p > 99.9 => ">\u{a0}99.9\u{a0}%".into(),
        p if p < 0.1 => "<\u{a0}0.1\u{a0}%".into(),
        p => format!("{}\u{a0}%", fixed(p, 1)),
    }
}

/// Fills a bar of our markup.
pub(super) fn fill(bar: &Element, info: &ModelInfo, answer: &Answer) {
    let (label, probability) = shown(info, answer);
    let tick: HtmlElement = dom::child(bar, "tick");
    set_style(&dom::child(bar, "fill"), "width", probability);
    let [low, high] = between(info);
    set_style(&tick, "left", low);
    set_style(&tick, "width", high - low);
    dom::show(&tick, info.labels().len() == 2);
    tick.set_title(&format!("{} from {} on", words(&info.labels(), &label), percent(high)));
    dom::set(bar, "aria-label", &format!("Probability of {label}"));
    dom::set(bar, "aria-valuenow", &fixed(100.0 * probability, 1));
    dom::set(bar, "aria-valuetext", &percent(probability));
    dom::show(bar, true);
}

/// The probabilities of the first label between which it is not sure: of no width where it always is.
fn between(info: &ModelInfo) -> [f32; 2] {
    info.unsure().and_then(|range| range.try_into().ok()).unwrap_or([info.threshold(); 2])
}

/// Whether the answer is the label that is looked for.
pub(super) fn is_positive(info: &ModelInfo, answer: &Answer) -> bool {
    let labels = info.labels();
    !answer.unsure() && (labels.len() != 2 || answer.label() == labels[0])
}

/// The line about the model: `Model classic · 6.6 MB · 3,304,769 parameters · 2026-11-22 · husky from 41.0 % on`. One that
/// was loaded by hand and is none of those that ship is unverified: nobody says whose it is.
pub(super) fn model(info: &ModelInfo, by_hand: bool) -> String {
    let size = match info.bytes() as f32 {
        bytes if bytes < 1e6 => format!("{}\u{a0}kB", fixed((bytes / 1e3).ceil(), 0)),
        bytes => format!("{}\u{a0}MB", fixed(bytes / 1e6, 1)),
    };
    let date = info.date().map(|date| format!(" · {date}")).unwrap_or_default();
    let threshold = match &info.labels()[..] {
        [positive, _] => format!(" · {positive} from {} on", percent(between(info)[1])),
        _ => String::new(),
    };
    let is_known = SHIPPED.iter().any(|(_, digest)| *digest == info.digest());
    let unverified = if by_hand && !is_known { " · unverified" } else { "" };
    format!("Model {} · {size} · {} parameters{date}{threshold}{unverified}", info.name(), thousands(info.parameters()))
}

/// As `3,304,769`.
fn thousands(number: f64) -> String {
    Number::from(number).to_locale_string("en").into()
}

/// With so many decimals. JavaScript's own: Rust's is 10 kB more to download.
pub(super) fn fixed(value: f32, decimals: u8) -> String {
    // Only more than 100 decimals are an error.
    Number::from(value).to_fixed(decimals).map(String::from).unwrap_or_default()
}

fn set_style(element: &HtmlElement, property: &str, fraction: f32) {
    // A percentage is a value that both properties take.
    let _ = element.style().set_property(property, &format!("{}%", fixed(100.0 * fraction, 2)));
}
