//! Pictures that are no photos are not called huskies by the page's model.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::{fs, path::Path, thread};

use husky::{Classifier, Pixels};

/// Side of the pictures.
const SIDE: u32 = 256;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    }
}

fn flat(color: [u8; 3]) -> Pixels {
    Pixels::from_rgb(SIDE, SIDE, color.repeat((SIDE * SIDE) as usize)).unwrap()
}

/// Colours `[channel][y][x]` of a random grid of `cells` a side, as squares, or blended into each other.
fn grid(random: &mut Random, cells: u32, smooth: bool, colored: bool) -> Vec<u8> {
    let points = cells as usize + 1;
    let mut values: Vec<[f32; 3]> = (0..points * points).map(|_| [(); 3].map(|()| f32::from(random.byte()))).collect();
    if !colored {
        values.iter_mut().for_each(|value| *value = [value[0]; 3]);
    }
    let place = |n: u32| {
        let exact = n as f32 * cells as f32 / SIDE as f32;
        (exact as usize, if smooth { exact.fract() } else { 0.0 })
    };
    let mut rgb = Vec::new();
    for ((row, down), (column, right)) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (place(y), place(x)))) {
        let at = |row: usize, column: usize| values[row * points + column];
        let blend =
            |a: [f32; 3], b: [f32; 3], part: f32| -> [f32; 3] { std::array::from_fn(|c| a[c] + (b[c] - a[c]) * part) };
        let upper = blend(at(row, column), at(row, column + 1), right);
        let lower = blend(at(row + 1, column), at(row + 1, column + 1), right);
        rgb.extend(blend(upper, lower, down).map(|value| value as u8));
    }
    rgb
}

/// The `i`th picture of noise: white, of two values, of squares, or of soft clouds; grey or coloured.
fn noise(i: usize) -> Pixels {
    let mut random = Random((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let colored = i.is_multiple_of(2);
    let rgb = match i / 2 % 10 {
        0 => grid(&mut random, SIDE, false, colored),
        1 => grid(&mut random, SIDE, false, colored).into_iter().map(|v| if v > 230 { 255 } else { 0 }).collect(),
        2 => grid(&mut random, SIDE, false, colored).into_iter().map(|v| 120 + v / 16).collect(),
        kind @ 3..=6 => grid(&mut random, SIDE >> (kind - 2), false, colored),
        kind => grid(&mut random, 4 << (kind - 7), true, colored),
    };
    Pixels::from_rgb(SIDE, SIDE, rgb).unwrap()
}

/// Of every `step`th of 256 greys, 4,096 colours and 10,000 pictures of noise, none is a husky.
fn check(step: usize) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/husky.safetensors");
    let classifier = Classifier::load(&fs::read(model).unwrap()).unwrap();
    none_is_a_husky(&classifier, (0..256).step_by(step), |i| flat([i as u8; 3]));
    let part = |i: usize, shift: usize| (i >> shift & 15) as u8 * 17;
    none_is_a_husky(&classifier, (0..4096).step_by(step), |i| flat([part(i, 8), part(i, 4), part(i, 0)]));
    none_is_a_husky(&classifier, (0..10_000).step_by(step), noise);
}

fn none_is_a_husky(
    classifier: &Classifier,
    numbers: impl Iterator<Item = usize> + Clone + Send,
    picture: impl Fn(usize) -> Pixels + Sync,
) {
    let threads = thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (own, picture) = (numbers.clone().skip(thread).step_by(threads), &picture);
            scope.spawn(move || {
                for i in own {
                    let verdict = classifier.classify_pixels(&picture(i)).unwrap();
                    assert!(verdict.label != "husky" || verdict.unsure, "picture {i}: {verdict:?}");
                }
            });
        }
    });
}

#[test]
fn some_pictures_that_are_no_photos_are_no_huskies() {
    check(41);
}

#[test]
#[ignore = "takes ten minutes"]
fn no_picture_that_is_no_photo_is_a_husky() {
    check(1);
}
