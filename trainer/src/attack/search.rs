//! Attacks of someone who can only ask.

use anyhow::Result;
use rand::seq::index;
use rand::{Rng, RngExt};

use super::{Picture, Victim};
use crate::random::{Stream, rng};

/// Questions that [`pixels`] asks.
const QUESTIONS: usize = 300;

/// `count` pixels in black, white or full colours, at places where the answer suffers most: some are moved, and stay moved if the
/// answer became less probable; fewer, the longer it goes on.
pub fn pixels(victim: &Victim, picture: &Picture, count: usize, rng: &mut impl Rng) -> Result<Vec<u8>> {
    let label = victim.label(&picture.verdict);
    let places = picture.rgb.len() / 3;
    let color = |rng: &mut dyn Rng| [(); 3].map(|()| if rng.random::<bool>() { 255 } else { 0 });
    let mut painted: Vec<(usize, [u8; 3])> =
        index::sample(rng, places, count).into_iter().map(|place| (place, color(rng))).collect();
    let mut best = (f32::INFINITY, picture.rgb.clone());
    for question in 0..QUESTIONS {
        let mut moved = painted.clone();
        if question > 0 {
            let share = 0.5 * (1.0 - question as f64 / QUESTIONS as f64);
            for i in index::sample(rng, count, ((count as f64 * share) as usize).max(1)) {
                moved[i] = (rng.random_range(0..places), color(rng));
            }
        }
        let mut rgb = picture.rgb.clone();
        moved.iter().for_each(|(place, color)| rgb[3 * place..3 * place + 3].copy_from_slice(color));
        let tried = victim.picture(rgb)?;
        if tried.verdict.label != picture.verdict.label {
            return Ok(tried.rgb);
        }
        let probability = tried.verdict.probabilities[label];
        if probability <= best.0 {
            (painted, best) = (moved, (probability, tried.rgb));
        }
    }
    Ok(best.1)
}

/// What [`brute`] begins with: black, noise, white, noise, and then any one colour and noise in turn.
pub fn beginnings(victim: &Victim, count: usize, seed: u64) -> Result<Vec<(String, Picture)>> {
    let len = 3 * (victim.size() * victim.size()) as usize;
    let beginning = |i: usize| {
        // The strengths of the attack itself begin at 1.
        let rng = &mut rng(seed, Stream::Attack, 0, i as u64);
        let color = match i {
            0 => [0; 3],
            2 => [255; 3],
            _ => rng.random(),
        };
        let (name, rgb) = match i % 2 {
            0 => ("one colour", color.repeat(len / 3)),
            _ => ("noise", (0..len).map(|_| rng.random()).collect()),
        };
        Ok((name.to_owned(), victim.picture(rgb)?))
    };
    (0..count).map(beginning).collect()
}

/// Paints half-transparent rectangles of any size and colour, and keeps each that makes the first label more probable, until that is
/// answered without doubt or `questions` were asked.
pub fn brute(victim: &Victim, picture: &Picture, questions: u32, rng: &mut impl Rng) -> Result<Vec<u8>> {
    let (size, wanted) = (victim.size() as usize, &victim.labels()[0]);
    let mut best = picture.clone();
    for _ in 0..questions {
        if best.verdict.label == *wanted && !best.verdict.unsure {
            break;
        }
        let mut span = || {
            let [a, b] = [(); 2].map(|()| rng.random_range(0..size));
            a.min(b)..a.max(b) + 1
        };
        let (rows, columns) = (span(), span());
        let color: [u8; 3] = rng.random();
        let mut rgb = best.rgb.clone();
        for y in rows {
            let (pixels, _) = rgb[3 * (y * size + columns.start)..3 * (y * size + columns.end)].as_chunks_mut::<3>();
            for pixel in pixels {
                pixel.iter_mut().zip(color).for_each(|(old, new)| *old = old.midpoint(new));
            }
        }
        let tried = victim.picture(rgb)?;
        if tried.verdict.probabilities[0] >= best.verdict.probabilities[0] {
            best = tried;
        }
    }
    Ok(best.rgb)
}
