//! A photo's bytes become the picture that a viewer shows, or an error that says why not.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;

use husky::{Error, Pixels, resize::resize};
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageEncoder, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use moxcms::ColorProfile;

/// What a network sees that is too large for any picture here to be scaled, unless a test asks for less.
const SIZE: u32 = 100;

fn decode(bytes: &[u8]) -> husky::Result<Pixels> {
    husky::decode::decode(bytes, SIZE)
}

/// A smooth picture of 40x30 pixels with no two corners alike.
fn picture() -> RgbImage {
    RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, ((x + y) * 3) as u8]))
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A PNG with what `set` adds to its encoder.
fn png(image: &DynamicImage, set: impl FnOnce(&mut PngEncoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    set(&mut encoder);
    encoder.write_image(image.as_bytes(), image.width(), image.height(), image.color().into()).unwrap();
    bytes
}

fn with_profile(image: &DynamicImage, profile: Vec<u8>) -> Vec<u8> {
    png(image, |encoder| encoder.set_icc_profile(profile).unwrap())
}

/// An EXIF block with nothing but the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
    [&b"II\x2a\0\x08\0\0\0\x01\0"[..], &entry, &[0; 4]].concat()
}

fn pixel(pixels: &Pixels, x: u32, y: u32) -> [u8; 3] {
    pixels.rgb()[(y * pixels.width() + x) as usize * 3..][..3].try_into().unwrap()
}

/// The mean difference between two pictures, a value.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn lossless_formats_keep_every_pixel() {
    let image = picture();
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
        let pixels = decode(&encode(&image.clone().into(), format)).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (40, 30), "{format:?}");
        assert_eq!(pixels.rgb(), image.as_raw(), "{format:?}");
    }
}

#[test]
fn jpeg_and_gif_come_close() {
    let image = picture();
    let jpeg = decode(&encode(&image.clone().into(), ImageFormat::Jpeg)).unwrap();
    assert!(difference(jpeg.rgb(), image.as_raw()) < 3.0);
    let gif = decode(&encode(&DynamicImage::from(image.clone()).into_rgba8().into(), ImageFormat::Gif)).unwrap();
    assert!(difference(gif.rgb(), image.as_raw()) < 8.0);
}

#[test]
fn an_animation_is_judged_by_its_first_frame() {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for color in [[250, 0, 0, 255], [0, 0, 250, 255]] {
        encoder.encode_frame(image::Frame::new(RgbaImage::from_pixel(4, 4, Rgba(color)))).unwrap();
    }
    drop(encoder);
    assert_eq!(pixel(&decode(&bytes).unwrap(), 2, 2), [250, 0, 0]);
}

#[test]
fn all_eight_orientations_are_applied() {
    let image = picture();
    // Where the stored picture's left upper and right upper corner are shown, by EXIF 2.32 table 6 (orientation).
    let corners = [
        (1, (0, 0), (39, 0)),
        (2, (39, 0), (0, 0)),
        (3, (39, 29), (0, 29)),
        (4, (0, 29), (39, 29)),
        (5, (0, 0), (0, 39)),
        (6, (29, 0), (29, 39)),
        (7, (29, 39), (29, 0)),
        (8, (0, 39), (0, 0)),
    ];
    let (left, right) = (image.get_pixel(0, 0).0, image.get_pixel(39, 0).0);
    let dynamic = DynamicImage::from(image);
    for (orientation, (lx, ly), (rx, ry)) in corners {
        let pixels = decode(&png(&dynamic, |e| e.set_exif_metadata(exif(orientation)).unwrap())).unwrap();
        let size = if orientation < 5 { (40, 30) } else { (30, 40) };
        assert_eq!((pixels.width(), pixels.height()), size, "orientation {orientation}");
        assert_eq!(pixel(&pixels, lx, ly), left, "orientation {orientation}");
        assert_eq!(pixel(&pixels, rx, ry), right, "orientation {orientation}");
    }
}

#[test]
fn jpeg_and_webp_have_an_orientation_too() {
    let image = picture();
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new(&mut jpeg);
    encoder.set_exif_metadata(exif(6)).unwrap();
    encoder.encode_image(&image).unwrap();
    let mut webp = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut webp);
    encoder.set_exif_metadata(exif(6)).unwrap();
    encoder.write_image(image.as_raw(), 40, 30, ExtendedColorType::Rgb8).unwrap();
    for bytes in [jpeg, webp] {
        let pixels = decode(&bytes).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (30, 40));
        assert!(difference(&pixel(&pixels, 29, 39), &image.get_pixel(39, 0).0) < 12.0);
    }
}

#[test]
fn an_unreadable_orientation_is_none() {
    for block in [exif(0), exif(9), b"II\x2a\0\xff\xff\xff\xff".to_vec(), b"nonsense".to_vec()] {
        let bytes = png(&picture().into(), |e| e.set_exif_metadata(block).unwrap());
        assert_eq!(decode(&bytes).unwrap().rgb(), picture().as_raw());
    }
}

#[test]
fn what_is_transparent_is_laid_over_white() {
    let image = RgbaImage::from_fn(4, 1, |x, _| Rgba([200, 100, 0, [255, 128, 1, 0][x as usize]]));
    let pixels = decode(&encode(&image.into(), ImageFormat::Png)).unwrap();
    // color * a + 255 * (1 - a), rounded.
    assert_eq!(pixels.rgb(), [200, 100, 0, 227, 177, 127, 255, 254, 254, 255, 255, 255]);
}

#[test]
fn sixteen_bits_become_eight() {
    let image = image::ImageBuffer::<Rgb<u16>, _>::from_pixel(3, 3, Rgb([65535, 32896, 257]));
    let pixels = decode(&encode(&image.into(), ImageFormat::Png)).unwrap();
    assert_eq!(pixel(&pixels, 1, 1), [255, 128, 1]);
}

#[test]
fn gray_becomes_three_equal_channels() {
    let image = GrayImage::from_fn(5, 1, |x, _| image::Luma([x as u8 * 50]));
    let pixels = decode(&encode(&image.into(), ImageFormat::Png)).unwrap();
    assert_eq!(pixels.rgb(), [0, 0, 0, 50, 50, 50, 100, 100, 100, 150, 150, 150, 200, 200, 200]);
}

#[test]
fn a_wide_gamut_profile_is_converted() {
    // Display P3 to sRGB: the known values of W3C's CSS Color 4 matrices for this color.
    let image = RgbImage::from_pixel(8, 8, Rgb([200, 100, 50]));
    let pixels = decode(&with_profile(&image.into(), ColorProfile::new_display_p3().encode().unwrap())).unwrap();
    let expected = p3_to_srgb([200.0, 100.0, 50.0]);
    for (got, expected) in pixel(&pixels, 4, 4).into_iter().zip(expected) {
        assert!((f64::from(got) - expected).abs() <= 1.5, "{got} and {expected}");
    }
    assert!(expected[0] > 208.0, "the conversion must matter, or this test says nothing");
}

/// By the definition (CSS Color 4, section 10.9): linear light, P3's primaries to XYZ, XYZ to sRGB's.
fn p3_to_srgb(p3: [f64; 3]) -> [f64; 3] {
    const TO_XYZ: [[f64; 3]; 3] = [
        [0.486_570_948_648_216_2, 0.265_667_693_169_093_06, 0.198_217_285_234_362_5],
        [0.228_974_564_069_748_8, 0.691_738_521_836_506_4, 0.079_286_914_093_745],
        [0.0, 0.045_113_381_858_902_64, 1.043_944_368_900_976],
    ];
    const TO_SRGB: [[f64; 3]; 3] = [
        [3.240_969_941_904_521, -1.537_383_177_570_093, -0.498_610_760_293],
        [-0.969_243_636_280_87, 1.875_967_501_507_72, 0.041_555_057_407_175],
        [0.055_630_079_696_993, -0.203_976_958_888_97, 1.056_971_514_242_878],
    ];
    let multiply = |m: [[f64; 3]; 3], v: [f64; 3]| m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
    let linear = p3.map(|c| c / 255.0).map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
    let linear = multiply(TO_SRGB, multiply(TO_XYZ, linear));
    linear
        .map(|c| if c <= 0.003_130_8 { c * 12.92 } else { 1.055 * c.max(0.0).powf(1.0 / 2.4) - 0.055 })
        .map(|c| (c * 255.0).clamp(0.0, 255.0))
}

#[test]
fn an_srgb_profile_changes_nothing() {
    let image = picture();
    let bytes = with_profile(&image.clone().into(), ColorProfile::new_srgb().encode().unwrap());
    assert_eq!(decode(&bytes).unwrap().rgb(), image.as_raw());
}

#[test]
fn alpha_and_profile_go_together() {
    let image = RgbaImage::from_fn(2, 1, |x, _| Rgba([200, 100, 50, [255, 0][x as usize]]));
    let pixels = decode(&with_profile(&image.into(), ColorProfile::new_display_p3().encode().unwrap())).unwrap();
    let expected = p3_to_srgb([200.0, 100.0, 50.0]);
    assert!((f64::from(pixel(&pixels, 0, 0)[0]) - expected[0]).abs() <= 1.5);
    assert_eq!(pixel(&pixels, 1, 0), [255; 3]);
}

#[test]
fn a_gray_profile_is_converted() {
    let image = GrayImage::from_pixel(4, 4, image::Luma([128]));
    let pixels =
        decode(&with_profile(&image.into(), ColorProfile::new_gray_with_gamma(1.0).encode().unwrap())).unwrap();
    // Linear light 128/255 in sRGB's curve.
    let expected = 255.0 * (1.055 * (128.0_f64 / 255.0).powf(1.0 / 2.4) - 0.055);
    let [r, g, b] = pixel(&pixels, 1, 1);
    assert!(r == g && g == b && (f64::from(r) - expected).abs() <= 1.5, "{r} {g} {b} and {expected}");
}

#[test]
fn a_profile_that_does_not_fit_is_an_error_and_never_a_guess() {
    let gray = ColorProfile::new_gray_with_gamma(2.2).encode().unwrap();
    assert_eq!(decode(&with_profile(&picture().into(), gray)), Err(Error::PhotoColorSpace));
    let lab = ColorProfile::new_lab().encode().unwrap();
    assert_eq!(decode(&with_profile(&picture().into(), lab)), Err(Error::PhotoColorSpace));
    assert_eq!(decode(&with_profile(&picture().into(), b"nonsense".repeat(40))), Err(Error::PhotoColorProfile));
    let mut cut = ColorProfile::new_display_p3().encode().unwrap();
    cut.truncate(200);
    assert_eq!(decode(&with_profile(&picture().into(), cut)), Err(Error::PhotoColorProfile));
}

#[test]
fn formats_are_told_from_the_bytes() {
    let heic = |brand: &[u8]| [b"\0\0\0\x18ftyp", brand, b"\0\0\0\0mif1heic"].concat();
    for (bytes, what) in [
        (heic(b"heic"), "a HEIC picture"),
        (heic(b"mif1"), "a HEIC picture"),
        (heic(b"avif"), "an AVIF picture"),
        (heic(b"avis"), "an AVIF picture"),
        (heic(b"isom"), "a film"),
        (b"II\x2a\0\x08\0\0\0".to_vec(), "a TIFF picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), "no picture of a known format"),
        (b"%PDF-1.7".to_vec(), "no picture of a known format"),
        (vec![0], "no picture of a known format"),
    ] {
        let error = decode(&bytes).unwrap_err();
        assert_eq!(error, Error::PhotoFormat(what));
        assert_eq!(error.code(), "photo-format");
    }
}

#[test]
fn a_cut_file_is_damaged() {
    // Noise, so that all of the file is picture.
    let noise =
        RgbImage::from_fn(64, 64, |x, y| Rgb([0, 1, 2].map(|c| (x * x * 31 + y * y * 17 + x * y * 7 + c * 91) as u8)));
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
        let whole = encode(&noise.clone().into(), format);
        assert!(decode(&whole).is_ok(), "{format:?}");
        for length in [12].into_iter().chain([1, 25, 50, 75, 90, 97].map(|percent| whole.len() * percent / 100)) {
            let error = decode(&whole[..length]).unwrap_err();
            assert_eq!(error.code(), "photo-corrupt", "{format:?} cut after {length} bytes: {error}");
        }
    }
}

#[test]
fn what_follows_a_jpeg_is_ignored() {
    let mut jpeg = encode(&picture().into(), ImageFormat::Jpeg);
    let alone = decode(&jpeg).unwrap();
    // The start of a scan that never ends, as a film's bytes may look.
    jpeg.extend_from_slice(b"\xff\xda\0\x08film");
    assert_eq!(decode(&jpeg).unwrap().rgb(), alone.rgb());
}

#[test]
fn files_outside_the_limits_are_refused_before_they_are_decoded() {
    assert_eq!(decode(&[]), Err(Error::PhotoEmpty));
    let mut long = encode(&picture().into(), ImageFormat::Png);
    long.resize((64 << 20) + 1, 0);
    assert_eq!(decode(&long), Err(Error::PhotoTooLarge((64 << 20) + 1)));
    // Headers only: what is claimed must be refused without being read.
    for (width, height) in [(16_385_u32, 1_u32), (1, 16_385), (16_384, 16_384)] {
        let error = decode(&png_header(width, height, 8, 2)).unwrap_err();
        assert_eq!(error.code(), "photo-dimensions", "{width}x{height}: {error}");
    }
    assert_eq!(decode(&png_header(8192, 8192, 16, 6)), Err(Error::PhotoMemory));
    assert_eq!(decode(&png_header(u32::MAX >> 1, u32::MAX >> 1, 8, 2)), Err(Error::PhotoMemory));
    for (width, height) in [(0, 5), (5, 0)] {
        assert_eq!(decode(&png_header(width, height, 8, 2)).unwrap_err().code(), "photo-corrupt");
    }
}

/// A PNG that claims a size and ends.
fn png_header(width: u32, height: u32, depth: u8, color: u8) -> Vec<u8> {
    let chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        let crc = body.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        });
        [&(data.len() as u32).to_be_bytes()[..], &body, &(!crc).to_be_bytes()].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, color, 0, 0, 0]].concat();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &[0x78, 0x9c])].concat()
}

/// A smooth picture of 640x480 pixels, with waves that a tenth of it can still show.
fn large_picture() -> RgbImage {
    let wave = |at: u32, length: f64| (127.0 + 100.0 * (f64::from(at) / length).sin()) as u8;
    RgbImage::from_fn(640, 480, |x, y| Rgb([wave(x, 37.0), wave(y, 29.0), wave(x + y, 61.0)]))
}

/// A JPEG with what `set` adds to its encoder.
fn jpeg(image: &DynamicImage, set: impl FnOnce(&mut JpegEncoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    set(&mut encoder);
    encoder.write_image(image.as_bytes(), image.width(), image.height(), image.color().into()).unwrap();
    bytes
}

#[test]
fn a_large_jpeg_is_scaled_as_far_as_twice_the_network_allows() {
    let photo = jpeg(&large_picture().into(), |_| ());
    for (size, scaled) in [(30, (80, 60)), (31, (160, 120)), (60, (160, 120)), (61, (640, 480)), (480, (640, 480))] {
        let pixels = husky::decode::decode(&photo, size).unwrap();
        assert_eq!((pixels.width(), pixels.height()), scaled, "for {size} pixels");
    }
    let photo = jpeg(&DynamicImage::from(large_picture()).crop_imm(0, 0, 633, 477), |_| ());
    let pixels = husky::decode::decode(&photo, 30).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (80, 60), "what is left of a block counts");
}

#[test]
fn the_network_sees_a_scaled_jpeg_as_it_sees_the_whole() {
    let rgb = DynamicImage::from(large_picture());
    let gray = DynamicImage::from(rgb.to_luma8());
    for (image, size) in [(&rgb, 30), (&rgb, 60), (&gray, 30), (&gray, 60)] {
        let photo = jpeg(image, |_| ());
        let scaled = husky::decode::decode(&photo, size).unwrap();
        let whole = husky::decode::decode(&photo, 480).unwrap();
        assert!(scaled.width() < whole.width(), "or this test says nothing");
        let off = difference(resize(&scaled, size).rgb(), resize(&whole, size).rgb());
        assert!(off < 1.0, "{off} for {size} pixels, {:?}", image.color());
    }
}

#[test]
fn a_scaled_jpeg_keeps_its_orientation_and_its_colors() {
    let photo = jpeg(&large_picture().into(), |encoder| encoder.set_exif_metadata(exif(6)).unwrap());
    let pixels = husky::decode::decode(&photo, 30).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (60, 80));
    assert!(difference(&pixel(&pixels, 59, 79), &large_picture().get_pixel(636, 4).0) < 8.0);

    let image = RgbImage::from_pixel(640, 480, Rgb([200, 100, 50]));
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    let photo = jpeg(&image.into(), |encoder| encoder.set_icc_profile(profile).unwrap());
    let pixels = husky::decode::decode(&photo, 30).unwrap();
    assert_eq!(pixels.width(), 80);
    for (got, expected) in pixel(&pixels, 40, 30).into_iter().zip(p3_to_srgb([200.0, 100.0, 50.0])) {
        assert!((f64::from(got) - expected).abs() <= 3.0, "{got} and {expected}");
    }
}

/// Drawn by Pillow 12 in 320x240 pixels: waves, saved as a progressive JPEG, and the color C 0, M 200, Y 250, K 10.
#[test]
fn progressive_and_cmyk_jpegs_are_read_in_any_size() {
    let progressive = include_bytes!("fixtures/progressive.jpg");
    let whole = decode(progressive).unwrap();
    assert_eq!((whole.width(), whole.height()), (320, 240));
    for (size, width) in [(15, 40), (30, 80)] {
        let scaled = husky::decode::decode(progressive, size).unwrap();
        assert_eq!(scaled.width(), width);
        let off = difference(resize(&scaled, size).rgb(), resize(&whole, size).rgb());
        assert!(off < 1.5, "{off}, {width} pixels wide");
    }
    for size in [SIZE, 15] {
        let cmyk = husky::decode::decode(include_bytes!("fixtures/cmyk.jpg"), size).unwrap();
        assert_eq!((cmyk.width(), cmyk.height()), (320, 240), "only whole");
        assert!(difference(&pixel(&cmyk, 9, 9), &[245, 53, 5]) < 4.0, "{:?}", pixel(&cmyk, 9, 9));
    }
}

/// Whatever bytes come, the answer is a picture or an error.
#[test]
fn changed_bytes_never_panic() {
    let image = DynamicImage::from(picture());
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
        let image = if format == ImageFormat::Gif { image.to_rgba8().into() } else { image.clone() };
        let good = encode(&image, format);
        for _ in 0..300 {
            let mut bytes = good.clone();
            for _ in 0..=random() % 6 {
                let place = random() % bytes.len();
                bytes[place] = random() as u8;
            }
            if let Ok(pixels) = decode(&bytes) {
                assert_eq!(pixels.rgb().len(), pixels.width() as usize * pixels.height() as usize * 3);
            }
        }
    }
    // In a fraction of its size, too, where the errors are the whole picture's.
    let progressive = include_bytes!("fixtures/progressive.jpg");
    for good in [&jpeg(&large_picture().into(), |_| ())[..], progressive] {
        for round in 0..200 {
            let mut bytes = good.to_vec();
            for _ in 0..=random() % 6 {
                // Every other time in the header.
                let place = random() % if round % 2 == 0 { 700 } else { bytes.len() };
                bytes[place] = random() as u8;
            }
            if let Err(error) = husky::decode::decode(&bytes, 15) {
                assert_eq!(decode(&bytes), Err(error));
            }
        }
    }
}
