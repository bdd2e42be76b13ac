//! A photo in the pixels of another that careless resizes look at (Xiao et al. 2019).

use std::fmt::Write;

use anyhow::{Result, ensure};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use husky::{Pixels, resize};
use rand::RngExt;
use rayon::prelude::*;
use serde::Serialize;

use super::{Attempt, Picture, Victim};
use crate::progress::Progress;
use crate::random::{Stream, rng};

/// How programs shrink photos that do not care for the pixels between those they look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Careless {
    /// One pixel
    Nearest,
    /// Two by two
    Bilinear,
    /// Four by four (Catmull and Rom)
    Bicubic,
}

/// Less is not the same photo any more, to people (Quiring et al. 2020).
const LEAST_DECIBELS: f64 = 15.0;
/// Of [`craft`]; only bicubic windows overlap and need more than one.
const ITERATIONS: usize = 40;

/// What became of some pairs.
#[derive(Serialize)]
pub struct Row {
    /// What the photos were made for.
    resize: Careless,
    /// How many times they are larger than the network's input.
    factor: u32,
    pairs: usize,
    /// That still look like the photo that people are to see; all others here are of these.
    hidden: usize,
    /// Where the careless resize made the model answer as about the hidden photo.
    fooled_careless: usize,
    /// Where this crate's showed it the hidden photo, not the one that people see.
    shown: usize,
    /// Where the model leans towards the hidden photo's label behind this crate's: where up to a quarter of the pixels are the
    /// hidden photo's, that shines through for people as well.
    swayed: usize,
    /// Of which the page and `husky predict` warn; no answer about them is sure.
    warned: usize,
    /// Where the answer that they give is surely the hidden photo's.
    fooled: usize,
}

/// Hides photos in others, `count` pairs of two of which the model is sure and answers differently, for each resize and factor.
pub fn attack(
    victim: &Victim,
    pictures: &[(String, Picture)],
    factors: &[u32],
    count: usize,
    seed: u64,
) -> Result<(Vec<Row>, Vec<Attempt>)> {
    let sure: Vec<&Picture> = pictures.iter().map(|(_, picture)| picture).filter(|p| !p.verdict.unsure).collect();
    let differs = |picture: &&&Picture| picture.verdict.label != sure[0].verdict.label;
    ensure!(
        !sure.is_empty() && sure.iter().any(|picture| differs(&picture)),
        "scaling needs photos of two labels, of which the model is sure: name more"
    );
    let pair = |i: usize| {
        let rng = &mut rng(seed, Stream::Attack, 0, i as u64);
        loop {
            let [cover, hidden] = [(); 2].map(|()| sure[rng.random_range(0..sure.len())]);
            if cover.verdict.label != hidden.verdict.label {
                return [cover, hidden];
            }
        }
    };
    let pairs: Vec<[&Picture; 2]> = (0..count).map(pair).collect();
    let (mut rows, mut attempts) = (Vec::new(), Vec::new());
    let progress = Progress::new("hiding photos", 3 * factors.len() * count);
    for resize in [Careless::Nearest, Careless::Bilinear, Careless::Bicubic] {
        for &factor in factors {
            let hide = |pair: &[&Picture; 2]| {
                let outcome = hide(victim, pair, resize, factor);
                progress.step();
                outcome
            };
            let outcomes = pairs.par_iter().map(hide).collect::<Result<Vec<_>>>()?;
            let hidden: Vec<_> = outcomes.into_iter().filter(|outcome| outcome.decibels >= LEAST_DECIBELS).collect();
            let count = |is: fn(&Outcome) -> bool| hidden.iter().filter(|outcome| is(outcome)).count();
            rows.push(Row {
                resize,
                factor,
                pairs: pairs.len(),
                hidden: hidden.len(),
                fooled_careless: count(|outcome| outcome.fooled_careless),
                shown: count(|outcome| outcome.shown),
                swayed: count(|outcome| outcome.swayed),
                warned: count(|outcome| outcome.warned),
                fooled: count(|outcome| outcome.attempt.fooled),
            });
            attempts.extend(hidden.into_iter().map(|outcome| outcome.attempt).take(2));
        }
    }
    Ok((rows, attempts))
}

struct Outcome {
    /// What the network sees through this crate's resize.
    attempt: Attempt,
    decibels: f64,
    fooled_careless: bool,
    shown: bool,
    swayed: bool,
    warned: bool,
}

fn hide(victim: &Victim, [cover, hidden]: &[&Picture; 2], careless: Careless, factor: u32) -> Result<Outcome> {
    let size = victim.size();
    let large = resize::resize(&Pixels::from_rgb(size, size, cover.rgb.clone())?, size * factor);
    let crafted = Pixels::from_rgb(size * factor, size * factor, craft(&large, &hidden.rgb, size, careless))?;
    let seen_carelessly = victim.picture(careless.shrink(&crafted, size)?)?;
    // As files are judged: whole.
    let judge = |photo| {
        let verdict = victim.classifier.classify_pixels(photo)?;
        anyhow::Ok(Picture { rgb: resize::resize(photo, size).into_rgb(), verdict })
    };
    let (unchanged, seen) = (judge(&large)?, judge(&crafted)?);
    // Not where enlarging alone did it.
    let swayed = seen.verdict.label == hidden.verdict.label && unchanged.verdict.label != hidden.verdict.label;
    let distance =
        |other: &Picture| seen.rgb.iter().zip(&other.rgb).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
    Ok(Outcome {
        decibels: decibels(&large, &crafted),
        fooled_careless: seen_carelessly.verdict.label == hidden.verdict.label,
        shown: distance(hidden) < distance(cover),
        swayed,
        warned: seen.verdict.hides_another,
        attempt: Attempt {
            from: format!("{careless:?} x {factor}"),
            before: seen_carelessly,
            fooled: swayed && !seen.verdict.unsure,
            after: seen,
        },
    })
}

impl Careless {
    /// The pixels, of `size * factor` in a row, that make up each of `size`, with their weights.
    fn taps(self, size: usize, factor: usize) -> Vec<Vec<(usize, f32)>> {
        let last = (size * factor - 1) as f32;
        let taps = |i: usize| {
            let center = (i as f32 + 0.5) * factor as f32;
            // Pixel n's centre lies at n + 0.5.
            let (first, weights) = match self {
                Self::Nearest => (center.floor(), vec![1.0]),
                Self::Bilinear => {
                    let share = (center - 0.5).fract();
                    ((center - 0.5).floor(), vec![1.0 - share, share])
                }
                Self::Bicubic => {
                    let t = (center - 0.5).fract();
                    let near = |t: f32| 1.0 - 2.5 * t * t + 1.5 * t * t * t;
                    let far = |t: f32| 2.0 - 4.0 * t + 2.5 * t * t - 0.5 * t * t * t;
                    ((center - 0.5).floor() - 1.0, vec![far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)])
                }
            };
            let taps = weights.into_iter().enumerate().map(|(i, weight)| (first + i as f32, weight));
            let inside: Vec<_> = taps.filter(|(place, w)| (0.0..=last).contains(place) && *w != 0.0).collect();
            let sum: f32 = inside.iter().map(|(_, weight)| weight).sum();
            inside.into_iter().map(|(place, weight)| (place as usize, weight / sum)).collect()
        };
        (0..size).map(taps).collect()
    }

    /// The picture in `size` by `size`, by another's code.
    fn shrink(self, picture: &Pixels, size: u32) -> Result<Vec<u8>> {
        let algorithm = match self {
            Self::Nearest => ResizeAlg::Nearest,
            Self::Bilinear => ResizeAlg::Interpolation(FilterType::Bilinear),
            Self::Bicubic => ResizeAlg::Interpolation(FilterType::CatmullRom),
        };
        let mut rgb = vec![0; 3 * (size * size) as usize];
        let source = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.rgb())?;
        let mut target = TypedImage::<U8x3>::from_buffer(size, size, &mut rgb)?;
        Resizer::new().resize_typed(&source, &mut target, &ResizeOptions::new().resize_alg(algorithm))?;
        Ok(rgb)
    }
}

/// The picture nearest to `cover` that the careless resize makes `hidden` of, about: value by value of what it would see, each of
/// the pixels there is moved by its share of what is missing (Kaczmarz 1937), as far as a pixel can be.
fn craft(cover: &Pixels, hidden: &[u8], size: u32, careless: Careless) -> Vec<u8> {
    let (size, side) = (size as usize, cover.width() as usize);
    let taps = careless.taps(size, side / size);
    let mut values: Vec<f32> = cover.rgb().iter().copied().map(f32::from).collect();
    for _ in 0..ITERATIONS {
        let mut largest = 0.0_f32;
        for (y, rows) in taps.iter().enumerate() {
            for (x, columns) in taps.iter().enumerate() {
                let square = |taps: &[(usize, f32)]| taps.iter().map(|(_, weight)| weight * weight).sum::<f32>();
                let norm = square(rows) * square(columns);
                for channel in 0..3 {
                    let products = rows.iter().flat_map(|(row, a)| {
                        columns.iter().map(move |(column, b)| (3 * (row * side + column) + channel, a * b))
                    });
                    let seen: f32 = products.clone().map(|(place, weight)| weight * values[place]).sum();
                    let missing = f32::from(hidden[3 * (y * size + x) + channel]) - seen;
                    largest = largest.max(missing.abs());
                    for (place, weight) in products {
                        values[place] = (values[place] + weight * missing / norm).clamp(0.0, 255.0);
                    }
                }
            }
        }
        if largest < 1.0 {
            break;
        }
    }
    values.into_iter().map(|value| value.round() as u8).collect()
}

/// The peak signal-to-noise ratio of two pictures of one size: the larger, the more alike.
fn decibels(a: &Pixels, b: &Pixels) -> f64 {
    let square = |(&a, &b): (&u8, &u8)| (f64::from(a) - f64::from(b)).powi(2);
    let mean = a.rgb().iter().zip(b.rgb()).map(square).sum::<f64>() / a.rgb().len() as f64;
    10.0 * (255.0_f64.powi(2) / mean).log10()
}

/// The table.
pub fn text(rows: &[Row]) -> String {
    let mut text =
        "made for  times larger  pairs  hidden  fooled by it  shown by ours  swayed by ours  warned of  fooled by ours\n".to_owned();
    for Row { resize, factor, pairs, hidden, fooled_careless, shown, swayed, warned, fooled } in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<8}  {factor:>12}  {pairs:>5}  {hidden:>6}  {fooled_careless:>12}  {shown:>13}  {swayed:>14}  {warned:>9}  {fooled:>14}",
            format!("{resize:?}")
        );
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::attack::tests::waves;

    const ALL: [Careless; 3] = [Careless::Nearest, Careless::Bilinear, Careless::Bicubic];

    fn distance(a: &[u8], b: &[u8]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn taps_are_what_the_other_code_looks_at() {
        for careless in ALL {
            for factor in 2..=10 {
                let (size, side) = (20, 20 * factor);
                let picture = Pixels::from_rgb(side, side, waves(side, 1)).unwrap();
                let taps = careless.taps(size, factor as usize);
                let places = (0..size).flat_map(|y| (0..size).map(move |x| (y, x)));
                let expected: Vec<u8> = places
                    .flat_map(|(y, x)| [0, 1, 2].map(|channel| (y, x, channel)))
                    .map(|(y, x, channel)| {
                        let products = taps[y].iter().flat_map(|a| taps[x].iter().map(move |b| (a, b)));
                        let value =
                            |row, column| f32::from(picture.rgb()[3 * (row * side as usize + column) + channel]);
                        products.map(|((row, a), (column, b))| a * b * value(*row, *column)).sum::<f32>().round() as u8
                    })
                    .collect();
                let found = careless.shrink(&picture, size as u32).unwrap();
                let furthest = expected.iter().zip(&found).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(furthest <= 1, "{careless:?} x {factor}: {furthest}");
            }
        }
    }

    /// The same file shows a careless program the other photo, and the one resize what people see.
    #[test]
    fn only_careless_programs_see_the_hidden_photo() {
        const SIZE: u32 = 96;
        for careless in ALL {
            let mut looks_like_the_cover = 0;
            for factor in 2..=10 {
                let cover = Pixels::from_rgb(SIZE, SIZE, waves(SIZE, 2)).unwrap();
                let hidden = waves(SIZE, 3);
                let large = resize::resize(&cover, SIZE * factor);
                let crafted = craft(&large, &hidden, SIZE, careless);
                let crafted = Pixels::from_rgb(large.width(), large.height(), crafted).unwrap();
                let (tricked, honest) = (careless.shrink(&crafted, SIZE).unwrap(), resize::resize(&crafted, SIZE));
                if decibels(&large, &crafted) < LEAST_DECIBELS {
                    continue;
                }
                looks_like_the_cover += 1;
                assert!(distance(&tricked, &hidden) < 3.0);
                assert!(distance(honest.rgb(), cover.rgb()) < distance(honest.rgb(), &hidden));
                assert!(husky::hidden::hides_another(&crafted, SIZE));
            }
            assert!(looks_like_the_cover >= 5, "{careless:?}: {looks_like_the_cover}");
        }
    }
}
