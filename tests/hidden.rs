//! Photos that hide another picture from people are told from others.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;

use husky::hidden::{contrast, hides_another};
use husky::{Pixels, decode};

/// Waves of light and dark with some grain, `side` pixels wide and high, and around `level` on the whole.
fn photo(side: u32, level: f32) -> Vec<u8> {
    let mut state = 1_u32;
    let value = |i: u32| {
        let (x, y) = ((i % side) as f32 / side as f32, (i / side) as f32 / side as f32);
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (state >> 24) as f32 / 16.0;
        let light = level + 40.0 * (9.0 * x + 4.0 * y).sin() + 30.0 * (23.0 * y - 11.0 * x).cos() + grain;
        [light as u8, (0.9 * light) as u8, (0.8 * light) as u8]
    };
    (0..side * side).flat_map(value).collect()
}

#[test]
fn a_photo_in_single_pixels_is_suspected_at_every_common_size_and_factor() {
    for size in [96, 128, 160, 192, 224, 240, 256, 299] {
        for factor in 2..=10 {
            let side = size * factor;
            let cover = photo(side, 90.0);
            assert!(!hides_another(&Pixels::from_rgb(side, side, cover.clone()).unwrap(), 240), "{size} x {factor}");
            let hidden = photo(size, 170.0);
            // The pixels at the corners and at the centres of the areas that become one.
            for place in [0, factor / 2] {
                let mut rgb = cover.clone();
                for (i, pixel) in hidden.chunks_exact(3).enumerate() {
                    let (x, y) = (i as u32 % size * factor + place, i as u32 / size * factor + place);
                    rgb[3 * (y * side + x) as usize..][..3].copy_from_slice(pixel);
                }
                let attack = Pixels::from_rgb(side, side, rgb).unwrap();
                assert!(hides_another(&attack, 240), "{size} x {factor}, at {place}: {}", contrast(&attack, size));
            }
        }
    }
}

#[test]
fn what_is_not_twice_as_large_hides_nothing() {
    let small =
        Pixels::from_rgb(191, 191, [[0; 3], [255; 3]].concat().repeat(191 * 191 / 2 + 1)[..3 * 191 * 191].to_vec());
    assert_eq!(contrast(&small.unwrap(), 96), 0.0);
}

/// On real photos: `HUSKY_PHOTOS=DATA cargo test --release --test hidden -- --ignored --nocapture`.
#[test]
#[ignore = "needs photos in HUSKY_PHOTOS"]
fn hardly_a_photo_is_suspected() {
    let folder = PathBuf::from(std::env::var("HUSKY_PHOTOS").expect("HUSKY_PHOTOS names a folder"));
    let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path());
    let photos: Vec<Pixels> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .map(|path| decode::decode(&std::fs::read(path).unwrap(), u32::from(u16::MAX)).unwrap())
        .collect();
    for size in [96, 128] {
        let mut found: Vec<f32> = photos.iter().map(|photo| contrast(photo, size)).filter(|c| *c > 0.0).collect();
        found.sort_by(f32::total_cmp);
        let [median, high, highest] = [50, 99, 100].map(|percent| found[(found.len() - 1) * percent / 100]);
        println!(
            "{size}: {} photos are twice as large; contrast {median:.1}, {high:.1} in 1 %, {highest:.1} at most",
            found.len()
        );
    }
    let suspected = photos.iter().filter(|photo| hides_another(photo, 240)).count();
    println!("suspected: {suspected} of {}", photos.len());
    assert!(suspected * 100 <= photos.len());
}
