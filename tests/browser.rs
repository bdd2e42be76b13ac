//! What JavaScript gets, and the engine itself, in a real browser: `cargo xtask test`.
#![cfg(target_arch = "wasm32")]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[path = "common/mod.rs"]
mod common;
#[path = "support/golden.rs"]
mod golden;
#[path = "support/model.rs"]
mod model;

use husky::web::{Classifier, DecodedPhoto, decode};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use js_sys::Reflect;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::ImageData;

wasm_bindgen_test_configure!(run_in_browser);

/// What the model of these tests sees.
const INPUT_SIZE: u32 = 8;

fn photo(brightness: u8, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = DynamicImage::from(RgbImage::from_pixel(20, 10, Rgb([brightness; 3])));
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn decoded(photo: &[u8]) -> DecodedPhoto {
    JsValue::from(decode(photo, INPUT_SIZE).unwrap()).unchecked_into()
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap()
}

#[wasm_bindgen_test]
fn answers_are_plain_objects() {
    let classifier = Classifier::load(&model::bright_model("bright")).unwrap();
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
        for (brightness, label) in [(250, "husky"), (5, "nothusky")] {
            let picture = decoded(&photo(brightness, format));
            let object = classifier.classify(&picture).unwrap();
            assert_eq!(get(&object, "label"), label);
            assert_eq!(get(&object, "decodedBy"), "husky");
            assert!(get(&object, "milliseconds").as_f64().unwrap() >= 0.0);
            assert_eq!(js_sys::Array::from(&get(&object, "probabilities")).length(), 2);
            assert!(object.probability() > 0.9 && object.probability() < 1.0);
        }
    }
}

#[wasm_bindgen_test]
fn frames_are_judged_like_photos() {
    let classifier = Classifier::load(&model::bright_model("bright")).unwrap();
    let rgba = [250, 250, 250, 255].repeat(200);
    let frame = ImageData::new_with_u8_clamped_array(Clamped(&rgba), 20).unwrap();
    let frame = classifier.classify_frame(&frame).unwrap();
    let photo = classifier.classify(&decoded(&photo(250, ImageFormat::Png))).unwrap();
    assert_eq!((frame.label(), frame.probability()), (photo.label(), photo.probability()));
    assert_eq!(frame.decoded_by(), "browser");
}

#[wasm_bindgen_test]
fn a_model_says_what_it_is() {
    let file = model::bright_model("bright");
    let info = Classifier::load(&file).unwrap().info();
    assert_eq!((info.name(), info.parameters(), info.bytes()), ("bright".to_owned(), 193.0, file.len() as f64));
    assert_eq!((info.labels(), info.threshold()), (vec!["husky".to_owned(), "nothusky".to_owned()], 0.5));
    assert_eq!((info.date().as_deref(), get(&info, "inputSize")), (Some("2026-11-22"), 8.into()));
}

#[wasm_bindgen_test]
fn errors_are_error_objects_with_a_code() {
    let failure = decode(b"no photo", INPUT_SIZE).err().unwrap();
    assert_eq!(failure.code, "photo-format");
    let error = JsValue::from(failure);
    assert!(error.is_instance_of::<js_sys::Error>());
    assert_eq!(get(&error, "code"), "photo-format");
    assert!(get(&error, "message").as_string().unwrap().len() > 20);
    assert_eq!(decode(&photo(250, ImageFormat::Png), 0).err().unwrap().code, "model-input-size");
    let classifier = Classifier::load(&model::bright_model("bright")).unwrap();
    let small = JsValue::from(decode(&photo(250, ImageFormat::Png), INPUT_SIZE - 1).unwrap());
    assert_eq!(classifier.classify(small.unchecked_ref()).err().unwrap().code, "frame-length");
}

#[wasm_bindgen_test]
fn every_hostile_model_is_refused_with_its_own_error() {
    let table = common::hostile::table();
    assert!(table.len() >= 40);
    for row in table {
        let failure = Classifier::load(&row.bytes).err().unwrap_or_else(|| panic!("{} was loaded", row.name));
        assert_eq!(failure.code, row.code, "{}", row.name);
        assert!(failure.message.contains(row.message), "{}: {}", row.name, failure.message);
    }
    assert!(Classifier::load(&common::hostile::good()).is_ok());
}

#[wasm_bindgen_test]
fn the_engine_equals_candle() {
    common::candle_forward::compare_all();
    let models = [&include_bytes!("../models/husky.safetensors")[..], include_bytes!("../models/classic.safetensors")];
    for model in models {
        let (spec, weights) = husky::weights::read(model).unwrap();
        common::candle_forward::compare(&format!("{} as it ships", spec.name), &spec, &weights);
    }
}

#[wasm_bindgen_test]
fn the_verdict_is_the_native_one() {
    golden::check();
}
