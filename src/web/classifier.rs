use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use web_sys::ImageData;

use super::Failure;
use crate::{
    Pixels, Spec, Verdict,
    spec::{Parameters, Step},
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
    /** How long judging took, with the decoding where this crate did it. */
    milliseconds: number;
    /** Who decoded the photo: this crate, or the browser (camera frames; formats that the crate does not read). */
    decodedBy: "husky" | "browser";
}

/** What a model file says about itself. */
export interface ModelInfo {
    name: string;
    /** Of two labels, the first is the one that is looked for. */
    labels: string[];
    /** Of two labels, the first is answered where its probability is at least this. */
    threshold: number;
    /** Width and height in pixels of what the network sees. */
    inputSize: number;
    /** Number of trained values. */
    parameters: number;
    /** Size of the model file. */
    bytes: number;
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

/// The answer about one photo, with what it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The label that is answered, one of the model's.
    pub label: String,
    /// The probability of `label`, 0 to 1.
    pub probability: f32,
    /// The probability of every label, in the order of the model's labels.
    pub probabilities: Vec<f32>,
    /// How long judging took, with the decoding where this crate did it.
    pub milliseconds: f64,
    /// Who decoded the photo.
    pub decoded_by: DecodedBy,
}

impl Answer {
    fn new(verdict: Verdict, start: f64, decoded_by: DecodedBy) -> Self {
        let Verdict { label, probability, probabilities } = verdict;
        Self { label, probability, probabilities, milliseconds: now() - start, decoded_by }
    }
}

/// Who turned a photo's bytes into pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DecodedBy {
    /// This crate, as in training.
    Husky,
    /// The browser: camera frames, and formats that this crate does not read.
    Browser,
}

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// The preset's name.
    pub name: String,
    /// Of two labels, the first is the one that is looked for.
    pub labels: Vec<String>,
    /// Of two labels, the first is answered where its probability is at least this.
    pub threshold: f32,
    /// Width and height in pixels of what the network sees.
    pub input_size: u32,
    /// Number of trained values.
    pub parameters: usize,
    /// Size of the model file.
    pub bytes: usize,
    /// The day it was released.
    pub date: Option<String>,
    /// Version of the trainer.
    pub version: String,
    /// How many photos it was trained on, label by label.
    pub training_photos: Vec<usize>,
}

/// A loaded model.
#[wasm_bindgen]
pub struct Classifier {
    classifier: crate::Classifier,
    parameters: usize,
    bytes: usize,
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
        Ok(Self { classifier, parameters, bytes: bytes.len() })
    }

    /// Judges a photo that `decode()` of `husky_decoder.js` made a picture of the model's `inputSize`.
    ///
    /// # Errors
    /// A JavaScript error with the code `frame-length` for a picture of another size.
    #[wasm_bindgen(unchecked_return_type = "Answer")]
    pub fn classify(&self, picture: Vec<u8>) -> Result<JsValue, Failure> {
        Ok(to_js(&self.judge(picture, now())?))
    }

    /// Judges a decoded picture, such as a camera frame from a canvas.
    ///
    /// # Errors
    /// A JavaScript error with the code `photo-dimensions`.
    #[wasm_bindgen(js_name = classifyFrame, unchecked_return_type = "Answer")]
    pub fn classify_frame(&self, frame: &ImageData) -> Result<JsValue, Failure> {
        Ok(to_js(&self.judge_frame(frame)?))
    }

    /// What the model file says about itself.
    #[wasm_bindgen(unchecked_return_type = "ModelInfo")]
    pub fn info(&self) -> JsValue {
        to_js(&self.model_info())
    }
}

impl Classifier {
    /// Judges a picture of the input's size, whose decoding began at `start`.
    pub(super) fn judge(&self, picture: Vec<u8>, start: f64) -> Result<Answer, Failure> {
        let size = self.input_size();
        let verdict = self.classifier.classify_pixels(&Pixels::from_rgb(size, size, picture)?)?;
        Ok(Answer::new(verdict, start, DecodedBy::Husky))
    }

    pub(super) fn judge_frame(&self, frame: &ImageData) -> Result<Answer, Failure> {
        let start = now();
        let pixels = Pixels::from_rgba(frame.width(), frame.height(), &frame.data())?;
        let verdict = self.classifier.classify_pixels(&pixels)?;
        Ok(Answer::new(verdict, start, DecodedBy::Browser))
    }

    pub(super) fn input_size(&self) -> u32 {
        self.classifier.spec().input.size
    }

    pub(super) fn model_info(&self) -> ModelInfo {
        let Spec { name, labels, threshold, input, provenance, .. } = self.classifier.spec().clone();
        ModelInfo {
            name,
            labels,
            threshold,
            input_size: input.size,
            parameters: self.parameters,
            bytes: self.bytes,
            date: provenance.date,
            version: provenance.version,
            training_photos: provenance.training_photos,
        }
    }
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
