#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use husky::weights::Precision;
use rand::RngExt;

use super::*;
use crate::network::Frozen;
use crate::presets::Preset;

/// A network that has learnt nothing: it is sure of nothing, so that all that an attack does shows in its answer.
static VICTIM: LazyLock<Victim> = LazyLock::new(|| {
    let spec = Preset::Quick.spec(["husky", "nothusky"].map(str::to_owned).to_vec(), None);
    let network = Network::new(&spec, Network::fresh(&spec, 1).unwrap(), Frozen::default()).unwrap();
    let model = husky::weights::write(&spec, &network.weights(&spec).unwrap(), Precision::F32).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), model).unwrap();
    Victim::load(file.path()).unwrap()
});

/// Waves in colours, with some grain.
pub fn waves(size: u32, number: u64) -> Vec<u8> {
    let rng = &mut rng(number, Stream::Attack, 0, 0);
    let waves: Vec<[f32; 3]> = (0..9).map(|_| [0; 3].map(|_| rng.random_range(-20.0..20.0))).collect();
    let places = (0..size * size).map(|i| [i % size, i / size].map(|place| place as f32 / size as f32));
    let light = |[x, y]: [f32; 2], waves: &[[f32; 3]]| {
        128.0 + waves.iter().map(|[a, b, shift]| 30.0 * (a * x + b * y + shift).sin()).sum::<f32>()
    };
    places.flat_map(|place| waves.chunks(3).map(|waves| light(place, waves) as u8).collect::<Vec<_>>()).collect()
}

fn picture(number: u64) -> Picture {
    VICTIM.picture(waves(VICTIM.size(), number)).unwrap()
}

/// Of the label that was answered before.
fn probability(before: &Picture, rgb: Vec<u8>) -> f32 {
    VICTIM.picture(rgb).unwrap().verdict.probabilities[VICTIM.label(&before.verdict)]
}

fn furthest(a: &[u8], b: &[u8]) -> u8 {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn along_the_gradient_it_is_worse_than_by_chance() {
    for number in 0..4 {
        let before = picture(number);
        let rng = &mut rng(number, Stream::Attack, 1, 0);
        let by_chance: Vec<u8> = before
            .rgb
            .iter()
            .map(|value| if rng.random() { value.saturating_add(1) } else { value.saturating_sub(1) })
            .collect();
        let [fgsm, pgd] =
            [gradient::fgsm(&VICTIM, &before, 1.0), gradient::pgd(&VICTIM, &before, 4.0, rng)].map(Result::unwrap);
        assert!(furthest(&before.rgb, &fgsm) == 1 && (1..=4).contains(&furthest(&before.rgb, &pgd)));
        let [by_chance, fgsm, pgd] = [by_chance, fgsm, pgd].map(|rgb| probability(&before, rgb));
        assert!(fgsm < by_chance && pgd < by_chance, "{number}: {by_chance}, {fgsm}, {pgd}");
    }
}

#[test]
fn a_search_keeps_what_helps() {
    // One that is not answered with the first label yet.
    let before = (5..50).map(picture).find(|picture| picture.verdict.label == VICTIM.labels()[1]).unwrap();
    let rng = &mut rng(5, Stream::Attack, 1, 0);
    let painted = search::pixels(&VICTIM, &before, 40, rng).unwrap();
    let changed = before.rgb.chunks(3).zip(painted.chunks(3)).filter(|(a, b)| a != b).count();
    assert!((1..=40).contains(&changed), "{changed}");
    assert!(probability(&before, painted) < before.verdict.probability);

    let after = VICTIM.picture(search::brute(&VICTIM, &before, 60, rng).unwrap()).unwrap();
    assert!(after.verdict.probabilities[0] > before.verdict.probabilities[0]);
}
