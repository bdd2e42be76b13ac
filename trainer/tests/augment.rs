//! The distortions are Keras'.
#![allow(clippy::unwrap_used, missing_docs)]

use rand::{Rng, RngExt};
use trainer::{
    augment::{Affine, Augmentation, Jitter},
    random::{Stream, rng},
};

fn noise(size: usize) -> Vec<u8> {
    let mut picture = vec![0; size * size * 3];
    rng(1, Stream::Augmentation, 99, 99).fill_bytes(&mut picture);
    picture
}

fn apply(affine: Affine, rgb: &[u8], size: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; rgb.len()];
    affine.apply(rgb, size, &mut out);
    out
}

/// The largest difference of any value.
fn difference(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - b).abs()).fold(0.0, f64::max)
}

/// A pixel's place for each of some places, row by row.
fn rearranged(rgb: &[u8], size: usize, from: impl Fn(usize, usize) -> (usize, usize)) -> Vec<f64> {
    let pixel = |(x, y): (usize, usize)| rgb[(y * size + x) * 3..][..3].iter().map(|&value| f64::from(value));
    (0..size).flat_map(|y| (0..size).map(move |x| (x, y))).flat_map(|(x, y)| pixel(from(x, y))).collect()
}

#[test]
fn nothing_changes_nothing() {
    for size in [1, 2, 7, 128] {
        let rgb = noise(size);
        let exact: Vec<f32> = rgb.iter().map(|&value| f32::from(value)).collect();
        assert_eq!(apply(Affine::new(0.0, 0.0, [1.0, 1.0], false), &rgb, size), exact);
        let none = Augmentation::NONE.sample(&mut rng(1, Stream::Augmentation, 0, 0));
        let mut out = vec![f32::NAN; rgb.len()];
        none.apply(&rgb, size, &mut out);
        assert_eq!(out, exact);
    }
}

#[test]
fn quarter_turns_and_mirrors_move_pixels() {
    for size in [4, 5] {
        let (rgb, last) = (noise(size), size - 1);
        let mirrored = rearranged(&rgb, size, |x, y| (last - x, y));
        assert_eq!(difference(&apply(Affine::new(0.0, 0.0, [1.0, 1.0], true), &rgb, size), &mirrored), 0.0);
        // The output pixel (x, y) counted from the centre is found at (-y, x): the picture turns against the clock.
        let turned = rearranged(&rgb, size, |x, y| (last - y, x));
        assert!(difference(&apply(Affine::new(90.0, 0.0, [1.0, 1.0], false), &rgb, size), &turned) < 1e-3);
        let around = rearranged(&rgb, size, |x, y| (last - x, last - y));
        assert!(difference(&apply(Affine::new(180.0, 0.0, [1.0, 1.0], false), &rgb, size), &around) < 1e-3);
    }
}

#[test]
fn zooming_out_repeats_the_edges() {
    let (rgb, size) = (noise(8), 8);
    let out = apply(Affine::new(0.0, 0.0, [100.0, 100.0], false), &rgb, size);
    let corner = |x: usize| if x < 4 { 0 } else { 7 };
    assert_eq!(difference(&out, &rearranged(&rgb, size, |x, y| (corner(x), corner(y)))), 0.0);
    // Only the width: the rows stay.
    let out = apply(Affine::new(0.0, 0.0, [100.0, 1.0], false), &rgb, size);
    assert_eq!(difference(&out, &rearranged(&rgb, size, |x, y| (corner(x), y))), 0.0);
}

/// Made by scipy 1.17.1 with the code of Keras' `apply_affine_transform` (row_axis=0, col_axis=1, channel_axis=2) for
/// theta=25, shear=15, zx=1.2, zy=0.85, and `[:, ::-1]` for the flip:
/// ```python
/// def offset_center(m, x, y):
///     ox, oy = x / 2 - 0.5, y / 2 - 0.5
///     return np.array([[1,0,ox],[0,1,oy],[0,0,1]]) @ m @ np.array([[1,0,-ox],[0,1,-oy],[0,0,1]])
/// x = np.array([(i * 37 + 11) % 256 for i in range(5*5*3)], dtype=np.float32).reshape(5, 5, 3)
/// t, s, zx, zy = np.deg2rad(25), np.deg2rad(15), 1.2, 0.85
/// m = np.array([[np.cos(t),-np.sin(t),0],[np.sin(t),np.cos(t),0],[0,0,1]])
/// m = m @ np.array([[1,-np.sin(s),0],[0,np.cos(s),0],[0,0,1]]) @ np.array([[zx,0,0],[0,zy,0],[0,0,1]])
/// m = offset_center(m, 5, 5)
/// m[:, [0, 1]] = m[:, [1, 0]]
/// m[[0, 1]] = m[[1, 0]]
/// y = np.stack([ndi.affine_transform(x[..., c], m[:2,:2], m[:2,2], order=1, mode="nearest") for c in range(3)], -1)
/// y = y[:, ::-1]
/// ```
#[test]
fn scipy_gives_the_same() {
    #[rustfmt::skip]
    let scipy = [
        90.342, 53.616, 90.616, 198.363, 31.809, 68.809, 128.296, 148.731, 178.555, 191.909, 22.769, 59.769, 112.854, 149.854, 186.854,
        44.615, 81.615, 118.615, 99.256, 112.887, 149.887, 95.648, 132.648, 169.648, 110.258, 128.668, 165.668, 66.593, 103.593, 140.593,
        72.614, 109.614, 146.614, 183.110, 220.110, 138.650, 63.000, 100.000, 137.000, 176.473, 213.473, 135.350, 53.386, 90.386, 127.386,
        91.203, 128.203, 133.407, 150.950, 187.950, 108.332, 170.223, 116.147, 104.352, 143.825, 167.331, 124.113, 81.385, 118.385, 155.385,
        13.146, 50.146, 87.146, 140.483, 177.231, 214.231, 183.498, 58.445, 88.269, 131.191, 168.191, 205.191, 109.384, 146.384, 183.384,
    ];
    let rgb: Vec<u8> = (0..75).map(|i| ((i * 37 + 11) % 256) as u8).collect();
    let found = difference(&apply(Affine::new(25.0, 15.0, [1.2, 0.85], true), &rgb, 5), &scipy);
    assert!(found < 2e-3, "{found}");
}

/// Keras' formula again, slowly, in f64 and with its matrices.
fn keras(rgb: &[u8], size: usize, theta: f64, shear: f64, [zx, zy]: [f64; 2], flip: bool) -> Vec<f64> {
    type Matrix = [[f64; 3]; 3];
    let dot = |a: Matrix, b: Matrix| -> Matrix {
        std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
    };
    let (t, s, o) = (theta.to_radians(), shear.to_radians(), size as f64 / 2.0 - 0.5);
    let rotation = [[t.cos(), -t.sin(), 0.0], [t.sin(), t.cos(), 0.0], [0.0, 0.0, 1.0]];
    let shear = [[1.0, -s.sin(), 0.0], [0.0, s.cos(), 0.0], [0.0, 0.0, 1.0]];
    let zoom = [[zx, 0.0, 0.0], [0.0, zy, 0.0], [0.0, 0.0, 1.0]];
    let offset = [[1.0, 0.0, o], [0.0, 1.0, o], [0.0, 0.0, 1.0]];
    let reset = [[1.0, 0.0, -o], [0.0, 1.0, -o], [0.0, 0.0, 1.0]];
    let m = dot(dot(offset, dot(dot(rotation, shear), zoom)), reset);
    let edge = (size - 1) as f64;
    let value = |x: f64, y: f64, c: usize| f64::from(rgb[(y as usize * size + x as usize) * 3 + c]);
    let mut out = Vec::new();
    for y in 0..size {
        for x in 0..size {
            let x = if flip { size - 1 - x } else { x } as f64;
            let u = (m[0][0] * x + m[0][1] * y as f64 + m[0][2]).clamp(0.0, edge);
            let v = (m[1][0] * x + m[1][1] * y as f64 + m[1][2]).clamp(0.0, edge);
            for c in 0..3 {
                let mut sum = 0.0;
                for (column, weight_x) in [(u.floor(), 1.0 - u.fract()), (u.ceil(), u.fract())] {
                    for (row, weight_y) in [(v.floor(), 1.0 - v.fract()), (v.ceil(), v.fract())] {
                        sum += weight_x * weight_y * value(column, row, c);
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

#[test]
fn random_distortions_are_those_of_kerass_formula() {
    let mut rng = rng(4, Stream::Augmentation, 0, 0);
    for size in [1, 2, 16, 33, 128] {
        let rgb = noise(size);
        for _ in 0..10 {
            let (theta, shear) = (rng.random_range(-180.0..180.0), rng.random_range(-60.0..60.0));
            let (zoom, flip) = ([rng.random_range(0.3..3.0), rng.random_range(0.3..3.0)], rng.random());
            let found = difference(
                &apply(Affine::new(theta, shear, zoom, flip), &rgb, size),
                &keras(&rgb, size, theta, shear, zoom, flip),
            );
            assert!(found < 0.02, "size {size}: {found}");
        }
    }
}

/// A distortion's parameters, read back from what it does to a picture whose values are its coordinates.
fn corners(affine: Affine) -> [[f64; 2]; 2] {
    // 101 pixels, so that the centre is one and the neighbours of the centre stay inside.
    let size = 101;
    let rgb: Vec<u8> = (0..size * size).flat_map(|i| [(i % size * 2) as u8, (i / size * 2) as u8, 0]).collect();
    let out = apply(affine, &rgb, size);
    let at = |x: usize, y: usize| [0, 1].map(|c| f64::from(out[(y * size + x) * 3 + c]) / 2.0 - 50.0);
    let from_center = |x, y| [0, 1].map(|c| (at(x, y)[c] - at(50, 50)[c]) / 20.0);
    [from_center(70, 50), from_center(50, 70)]
}

#[test]
fn ranges_are_kerass() {
    let (mut angles, mut widths, mut heights, mut flips) = (vec![], vec![], vec![], 0);
    for sample in 0..4000 {
        let [[xx, yx], [xy, yy]] =
            corners(Augmentation::ARTICLE.sample(&mut rng(1, Stream::Augmentation, 0, sample)).affine);
        flips += usize::from(xx < 0.0);
        let (xx, yx) = if xx < 0.0 { (-xx, -yx) } else { (xx, yx) };
        let angle = yx.atan2(xx).to_degrees();
        angles.push(angle);
        widths.push(xx.hypot(yx));
        heights.push(xy.hypot(yy));
        // The shear is what the second axis leans by beyond the rotation: at most 0.2 degrees.
        let shear = (-xy).atan2(yy).to_degrees() - angle;
        assert!(shear.abs() < 0.21, "{shear}");
    }
    let check = |mut values: Vec<f64>, low: f64, high: f64| {
        values.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / 4000.0;
        let width = high - low;
        assert!(values[0] > low - 1e-3 && values[0] < low + width / 50.0, "{}", values[0]);
        assert!(values[3999] < high + 1e-3 && values[3999] > high - width / 50.0, "{}", values[3999]);
        // Uniform: the mean and the quartiles are where they belong.
        for (found, wanted) in [(mean, 0.5), (values[1000], 0.25), (values[3000], 0.75)] {
            assert!((found - (low + wanted * width)).abs() < width / 25.0, "{found}");
        }
    };
    let independent = widths.iter().zip(&heights).map(|(a, b)| (a - 1.0) * (b - 1.0)).sum::<f64>() / 4000.0;
    assert!(independent.abs() < 0.4 * 0.4 / 12.0 / 10.0, "{independent}");
    check(angles, -30.0, 30.0);
    check(widths, 0.8, 1.2);
    check(heights, 0.8, 1.2);
    assert!((1850..2150).contains(&flips), "{flips}");
}

#[test]
fn a_crop_shows_a_rectangle_of_the_picture() {
    let size = 101;
    let rgb: Vec<u8> = (0..size * size).flat_map(|i| [(i % size * 2) as u8, (i / size * 2) as u8, 0]).collect();
    let whole = Affine::new(0.0, 0.0, [1.0, 1.0], false);
    let out = apply(whole.crop([0.5, 0.25], [0.5, 0.125]), &rgb, size);
    // Edges of the rectangle, in pixels from the picture's left and upper edge; the values are twice the pixels' numbers.
    let [left, top, width, height] = [0.5, 0.125, 0.5, 0.25].map(|share: f32| share * 101.0);
    for (x, y) in [(0, 0), (50, 50), (99, 30)] {
        let pixel = &out[(y * size + x) * 3..][..2];
        let expected = [left + (x as f32 + 0.5) * width / 101.0, top + (y as f32 + 0.5) * height / 101.0];
        for (found, expected) in pixel.iter().zip(expected) {
            assert!((found / 2.0 + 0.5 - expected).abs() < 0.01, "({x}, {y}): {found} {expected}");
        }
    }
    let nothing = apply(whole.crop([1.0, 1.0], [0.0, 0.0]), &rgb, size);
    assert_eq!(nothing, apply(whole, &rgb, size));
}

#[test]
fn crops_have_the_area_that_is_asked_for() {
    let crop = Augmentation { random_crop: 0.3, ..Augmentation::NONE };
    let mut smallest = 1.0_f64;
    for sample in 0..2000 {
        let affine = crop.sample(&mut rng(1, Stream::Augmentation, 0, sample)).affine;
        let [[width, _], [_, height]] = corners(affine);
        smallest = smallest.min(width * height);
        assert!(width <= 1.001 && height <= 1.001 && (0.74..1.35).contains(&(width / height)), "{width} {height}");
    }
    // A rectangle that would not fit is cut, so that areas may be a little smaller.
    assert!((0.28..0.34).contains(&smallest), "{smallest}");
}

/// By torchvision's definitions: `adjust_brightness`, `adjust_contrast` and `adjust_saturation`, in this order.
#[test]
fn jitter_is_brightness_then_contrast_then_saturation() {
    let picture = [100.0, 50.0, 20.0, 200.0, 180.0, 240.0];
    let jittered = |brightness, contrast, saturation| {
        let mut out = picture;
        Jitter { brightness, contrast, saturation }.apply(&mut out);
        out
    };
    let close = |found: [f32; 6], expected: [f32; 6]| {
        found
            .iter()
            .zip(expected)
            .for_each(|(found, expected)| assert!((found - expected).abs() < 1e-3, "{found} {expected}"));
    };
    close(jittered(1.0, 1.0, 1.0), picture);
    close(jittered(1.1, 1.0, 1.0), [110.0, 55.0, 22.0, 220.0, 198.0, 255.0]);
    // Greys 61.53 and 192.82, so the mean is 127.175.
    close(jittered(1.0, 0.0, 1.0), [127.175; 6]);
    close(jittered(1.0, 1.0, 0.0), [61.53, 61.53, 61.53, 192.82, 192.82, 192.82]);
}

#[test]
fn erasing_paints_a_rectangle_in_its_share_of_the_photos() {
    let erasing = Augmentation { random_erasing: 0.25, ..Augmentation::NONE };
    let (rgb, size) = (noise(40), 40);
    let exact: Vec<f32> = rgb.iter().map(|&value| f32::from(value)).collect();
    let mut erased = 0;
    for sample in 0..2000 {
        let distortion = erasing.sample(&mut rng(1, Stream::Augmentation, 0, sample));
        let mut out = vec![0.0; rgb.len()];
        distortion.apply(&rgb, size, &mut out);
        let changed = out.as_chunks::<3>().0.iter().zip(exact.as_chunks::<3>().0).filter(|(a, b)| a != b).count();
        erased += usize::from(changed > 0);
        assert!(changed <= size * size / 4, "{changed} pixels");
    }
    assert!((430..570).contains(&erased), "{erased}");
}

#[test]
fn equal_keys_give_equal_pictures() {
    let draw = |sample| Augmentation::ARTICLE.sample(&mut rng(1, Stream::Augmentation, 2, sample));
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
}
