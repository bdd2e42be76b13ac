use js_sys::{Array, Object};
use serde::Serialize;
use wasm_bindgen::{Clamped, prelude::*};
use web_sys::ImageData;

use super::Failure;
use crate::{
    Pixels, Spec, Verdict,
    explain::{Explanation, mosaic, overlay},
    spec::{Parameters, Step},
    weights,
};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** The answer about one photo. */
export interface Answer {
    /** The label that is answered, one of the model's. */
    label: string;
    /** The probability of `label`, 0 to 1. */
    probability: number;
    /** The probability of every label, in the order of the model's labels. */
    probabilities: number[];
    /** Whether the answer had better not be relied on: too near the threshold, or of a picture that is no photo. */
    unsure: boolean;
    /** Whether careless programs would see another picture in the photo than people do. */
    hidesAnother: boolean;
    /** How long judging took, with the decoding where this crate did it. */
    milliseconds: number;
    /** Who decoded the photo: this crate, or the browser (camera frames; formats that the crate does not read). */
    decodedBy: "husky" | "browser";
    /** What speaks for `label`, to be laid over the photo, from transparent red to yellow; where it was asked for. */
    heat?: ImageData;
}

/** What a model file says about itself. */
export interface ModelInfo {
    name: string;
    /** Of two labels, the first is the one that is looked for. */
    labels: string[];
    /** Of two labels, the first is answered where its probability is at least this. */
    threshold: number;
    /** Of two labels, the answer is unsure where the probability of the first lies between these. */
    unsure?: [number, number];
    /** Width and height in pixels of what the network sees. */
    inputSize: number;
    /** Number of trained values. */
    parameters: number;
    /** Size of the model file. */
    bytes: number;
    /** The model's own digest, BLAKE3 in hexadecimal: it tells one model from any other. */
    digest: string;
    /** The day it was released, `YYYY-MM-DD`. */
    date?: string;
    /** Version of the trainer. */
    version: string;
    /** How many photos it was trained on, label by label. */
    trainingPhotos: number[];
}

/** What every function here throws. */
export interface HuskyError extends Error {
    /** Stays when the message changes, such as `photo-format`. */
    code: string;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// A photo's file, decoded: what `decode()` of `husky_decoder.js` gives.
    #[wasm_bindgen(extends = Object, typescript_type = "{ rgb: Uint8Array; hidesAnother: boolean }")]
    #[derive(Clone, Debug)]
    pub type DecodedPhoto;

    #[wasm_bindgen(method, getter)]
    fn rgb(this: &DecodedPhoto) -> Vec<u8>;

    #[wasm_bindgen(method, getter, js_name = hidesAnother)]
    fn hides_another(this: &DecodedPhoto) -> bool;

    /// The answer about one photo, a plain object: `interface Answer`.
    #[wasm_bindgen(extends = Object, typescript_type = "Answer")]
    #[derive(Clone, Debug)]
    pub type Answer;

    /// The label that is answered, one of the model's.
    #[wasm_bindgen(method, getter)]
    pub fn label(this: &Answer) -> String;

    /// The probability of `label`, 0 to 1.
    #[wasm_bindgen(method, getter)]
    pub fn probability(this: &Answer) -> f32;

    /// The probability of every label, in the order of the model's labels.
    #[wasm_bindgen(method, getter)]
    pub fn probabilities(this: &Answer) -> Array;

    /// Whether the answer had better not be relied on.
    #[wasm_bindgen(method, getter)]
    pub fn unsure(this: &Answer) -> bool;

    /// Whether careless programs would see another picture in the photo than people do.
    #[wasm_bindgen(method, getter, js_name = hidesAnother)]
    pub fn hides_another(this: &Answer) -> bool;

    /// How long judging took, with the decoding where this crate did it.
    #[wasm_bindgen(method, getter)]
    pub fn milliseconds(this: &Answer) -> f64;

    /// Who decoded the photo: `husky` or `browser`.
    #[wasm_bindgen(method, getter, js_name = decodedBy)]
    pub fn decoded_by(this: &Answer) -> String;

    /// What speaks for `label`, to be laid over the photo; where it was asked for.
    #[wasm_bindgen(method, getter)]
    pub fn heat(this: &Answer) -> Option<ImageData>;
    #[wasm_bindgen(method, setter)]
    fn set_heat(this: &Answer, heat: &ImageData);

    /// What a model file says about itself, a plain object: `interface ModelInfo`.
    #[wasm_bindgen(extends = Object, typescript_type = "ModelInfo")]
    #[derive(Clone, Debug)]
    pub type ModelInfo;

    /// The preset's name.
    #[wasm_bindgen(method, getter)]
    pub fn name(this: &ModelInfo) -> String;

    /// Of two labels, the first is the one that is looked for.
    #[wasm_bindgen(method, getter)]
    pub fn labels(this: &ModelInfo) -> Vec<String>;

    /// Of two labels, the first is answered where its probability is at least this.
    #[wasm_bindgen(method, getter)]
    pub fn threshold(this: &ModelInfo) -> f32;

    /// Of two labels, the probabilities of the first between which answers are unsure.
    #[wasm_bindgen(method, getter)]
    pub fn unsure(this: &ModelInfo) -> Option<Vec<f32>>;

    /// Number of trained values.
    #[wasm_bindgen(method, getter)]
    pub fn parameters(this: &ModelInfo) -> f64;

    /// Size of the model file.
    #[wasm_bindgen(method, getter)]
    pub fn bytes(this: &ModelInfo) -> f64;

    /// Tells one model from any other.
    #[wasm_bindgen(method, getter)]
    pub fn digest(this: &ModelInfo) -> String;

    /// The day it was released.
    #[wasm_bindgen(method, getter)]
    pub fn date(this: &ModelInfo) -> Option<String>;
}

/// A photo, ready to be judged.
pub(super) struct Decoded {
    pixels: Pixels,
    /// Before it was made small.
    hides_another: bool,
    by: DecodedBy,
    /// When the judging began: with the decoding, where this crate does it.
    start: f64,
}

/// Who turned a photo's bytes into pixels.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
enum DecodedBy {
    /// This crate, as in training.
    Husky,
    /// The browser: camera frames, and formats that this crate does not read.
    Browser,
}

impl Answer {
    fn new(verdict: Verdict, photo: &Decoded) -> Self {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            label: String,
            probability: f32,
            probabilities: Vec<f32>,
            unsure: bool,
            hides_another: bool,
            milliseconds: f64,
            decoded_by: DecodedBy,
        }
        let hides_another = verdict.hides_another || photo.hides_another;
        let unsure = verdict.unsure || hides_another;
        let Verdict { label, probability, probabilities, .. } = verdict;
        let &Decoded { by: decoded_by, start, .. } = photo;
        let milliseconds = now() - start;
        let fields = Fields { label, probability, probabilities, unsure, hides_another, milliseconds, decoded_by };
        to_js(&fields).unchecked_into()
    }
}

impl ModelInfo {
    fn new(spec: &Spec, parameters: usize, bytes: usize, digest: &str) -> Self {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            name: &'a str,
            labels: &'a [String],
            threshold: f32,
            unsure: Option<[f32; 2]>,
            input_size: u32,
            parameters: usize,
            bytes: usize,
            digest: &'a str,
            date: Option<&'a str>,
            version: &'a str,
            training_photos: &'a [usize],
        }
        let Spec { name, labels, threshold, unsure, input, provenance, .. } = spec;
        let fields = Fields {
            name,
            labels,
            threshold: *threshold,
            unsure: *unsure,
            input_size: input.size,
            parameters,
            bytes,
            digest,
            date: provenance.date.as_deref(),
            version: &provenance.version,
            training_photos: &provenance.training_photos,
        };
        to_js(&fields).unchecked_into()
    }
}

/// A loaded model.
#[wasm_bindgen]
pub struct Classifier {
    classifier: crate::Classifier,
    parameters: usize,
    bytes: usize,
    digest: String,
}

#[wasm_bindgen]
impl Classifier {
    /// Loads a model file's bytes. Everything in them is checked before any of it is used.
    ///
    /// # Errors
    /// A JavaScript error with one of the codes `model-…`.
    pub fn load(bytes: &[u8]) -> Result<Classifier, Failure> {
        let classifier = crate::Classifier::load(bytes)?;
        let steps = classifier.spec().steps()?;
        let parameters = steps.iter().flat_map(Step::parameters).map(Parameters::count).sum();
        Ok(Self { classifier, parameters, bytes: bytes.len(), digest: weights::digest(bytes)? })
    }

    /// Judges a photo that `decode()` of `husky_decoder.js` decoded for the model's `inputSize`.
    ///
    /// # Errors
    /// A JavaScript error with the code `frame-length` for a photo that was decoded for another size.
    pub fn classify(&self, photo: &DecodedPhoto) -> Result<Answer, Failure> {
        self.judge(&self.decoded(photo, now())?, false)
    }

    /// Judges a decoded picture, such as a camera frame from a canvas.
    ///
    /// # Errors
    /// A JavaScript error with the code `photo-dimensions`.
    #[wasm_bindgen(js_name = classifyFrame)]
    pub fn classify_frame(&self, frame: &ImageData) -> Result<Answer, Failure> {
        self.judge(&Decoded::frame(frame)?, false)
    }

    /// What the model file says about itself.
    pub fn info(&self) -> ModelInfo {
        ModelInfo::new(self.classifier.spec(), self.parameters, self.bytes, &self.digest)
    }
}

impl Classifier {
    /// A picture of the input's size, whose decoding began at `start`.
    pub(super) fn decoded(&self, photo: &DecodedPhoto, start: f64) -> Result<Decoded, Failure> {
        let size = self.input_size();
        let pixels = Pixels::from_rgb(size, size, photo.rgb())?;
        Ok(Decoded { pixels, hides_another: photo.hides_another(), by: DecodedBy::Husky, start })
    }

    /// The answer about a photo, with its heat where that is asked for.
    pub(super) fn judge(&self, photo: &Decoded, explain: bool) -> Result<Answer, Failure> {
        if !explain {
            let verdict = self.classifier.classify_pixels(&photo.pixels)?;
            return Ok(Answer::new(verdict, photo));
        }
        let Explanation { verdict, heat, .. } = self.classifier.explain(&photo.pixels, None)?;
        let answer = Answer::new(verdict, photo);
        answer.set_heat(&image_data(&overlay(&heat), heat.width));
        Ok(answer)
    }

    /// What the first filters of each convolution make of a photo: a row of maps for each.
    pub(super) fn feature_maps(&self, photo: &Decoded) -> Result<ImageData, Failure> {
        let layers = self.classifier.feature_maps(&photo.pixels);
        if layers.is_empty() {
            return Err(Failure::new("no-convolutions", "this network has no convolutions to look into"));
        }
        let maps = mosaic(&layers, TILE, MAPS, MAPS)?;
        let rgba: Vec<u8> = maps.rgb().as_chunks().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
        Ok(image_data(&rgba, maps.width() as usize))
    }

    pub(super) fn input_size(&self) -> u32 {
        self.classifier.spec().input.size
    }
}

impl Decoded {
    /// A picture from a canvas: a camera's frame, or a photo that the browser decoded.
    pub(super) fn frame(frame: &ImageData) -> Result<Self, Failure> {
        let start = now();
        let pixels = Pixels::from_rgba(frame.width(), frame.height(), &frame.data())?;
        Ok(Self { pixels, hides_another: false, by: DecodedBy::Browser, start })
    }
}

/// Width and height of a feature map on the page.
const TILE: usize = 40;
/// Feature maps of a layer there.
const MAPS: usize = 8;

/// `rgba`, whole rows of `width` pixels, for a canvas.
fn image_data(rgba: &[u8], width: usize) -> ImageData {
    // It is made of as many rows.
    ImageData::new_with_u8_clamped_array(Clamped(rgba), width as u32).unwrap_throw()
}

/// A plain JavaScript object.
pub(super) fn to_js(value: &impl Serialize) -> JsValue {
    // Only a map with keys that are no strings could fail, and what crosses has none.
    serde_wasm_bindgen::to_value(value).unwrap_throw()
}

#[wasm_bindgen]
extern "C" {
    /// Milliseconds; the page's and the worker's.
    #[wasm_bindgen(js_namespace = performance)]
    pub(super) fn now() -> f64;
}
