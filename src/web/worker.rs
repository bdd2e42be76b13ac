//! The worker's side: a request comes, an answer goes. It keeps one classifier for each model that it met.

use std::{cell::RefCell, rc::Rc};

use js_sys::{Object, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, ImageBitmap, ImageData, OffscreenCanvas, OffscreenCanvasRenderingContext2d, WorkerGlobalScope};

use super::{
    Answer, Classifier, Failure, ModelInfo,
    classifier::{Decoded, DecodedPhoto, now, to_js},
    dom::Bitmap,
    failure::sentence,
};
use crate::{Error, Pixels, weights};

#[wasm_bindgen]
extern "C" {
    /// What the page asks. A plain object, so that files and frames go over by reference.
    #[wasm_bindgen(extends = Object, typescript_type = "object")]
    #[derive(Clone)]
    pub type Request;

    /// The model's number on this page.
    #[wasm_bindgen(method, getter)]
    fn model(this: &Request) -> u32;
    #[wasm_bindgen(method, setter)]
    fn set_model(this: &Request, id: u32);

    /// The model's file, in every request: a worker that replaces a dead one loads what it does not know. Without it
    /// the model is forgotten.
    #[wasm_bindgen(method, getter, js_name = "modelFile")]
    fn model_file(this: &Request) -> Option<Blob>;
    #[wasm_bindgen(method, setter, js_name = "modelFile")]
    fn set_model_file(this: &Request, file: &Blob);

    /// A photo's file.
    #[wasm_bindgen(method, getter)]
    fn photo(this: &Request) -> Option<Blob>;
    #[wasm_bindgen(method, setter)]
    fn set_photo(this: &Request, photo: &Blob);

    /// A camera frame.
    #[wasm_bindgen(method, getter)]
    pub(super) fn frame(this: &Request) -> Option<ImageBitmap>;
    #[wasm_bindgen(method, setter)]
    fn set_frame(this: &Request, frame: &ImageBitmap);

    /// Whether the answer is wanted with its heat.
    #[wasm_bindgen(method, getter)]
    fn explain(this: &Request) -> bool;
    #[wasm_bindgen(method, setter)]
    fn set_explain(this: &Request, explain: bool);

    /// Whether feature maps are wanted, and no answer.
    #[wasm_bindgen(method, getter)]
    fn maps(this: &Request) -> bool;
    #[wasm_bindgen(method, setter)]
    fn set_maps(this: &Request, maps: bool);

    /// What the worker answers: an answer, feature maps, a model's description or a failure. Empty where it forgot a model.
    #[wasm_bindgen(extends = Object, typescript_type = "object")]
    pub type Reply;

    #[wasm_bindgen(method, getter)]
    pub(super) fn answer(this: &Reply) -> Option<Answer>;
    #[wasm_bindgen(method, setter)]
    fn set_answer(this: &Reply, answer: &Answer);

    #[wasm_bindgen(method, getter)]
    pub(super) fn maps(this: &Reply) -> Option<ImageData>;
    #[wasm_bindgen(method, setter)]
    fn set_maps(this: &Reply, maps: &ImageData);

    #[wasm_bindgen(method, getter)]
    pub(super) fn info(this: &Reply) -> Option<ModelInfo>;
    #[wasm_bindgen(method, setter)]
    fn set_info(this: &Reply, info: &ModelInfo);

    #[wasm_bindgen(method, getter)]
    pub(super) fn failure(this: &Reply) -> JsValue;
    #[wasm_bindgen(method, setter)]
    fn set_failure(this: &Reply, failure: &JsValue);

    /// In a message that comes before the answer: whether a download begins or has ended.
    #[wasm_bindgen(method, getter)]
    pub(super) fn downloading(this: &Reply) -> Option<bool>;

    /// What reads photo files: for each kind an instance of `husky_decoder.js`.
    #[wasm_bindgen(typescript_type = "{ jpeg: object; png: object; all: object }")]
    pub type Decoders;

    #[wasm_bindgen(method, getter)]
    fn jpeg(this: &Decoders) -> Decoder;

    #[wasm_bindgen(method, getter)]
    fn png(this: &Decoders) -> Decoder;

    #[wasm_bindgen(method, getter)]
    fn all(this: &Decoders) -> Decoder;

    /// An instance of `husky_decoder.js` with one of its modules.
    type Decoder;

    /// Downloads the module; does nothing where it is there.
    #[wasm_bindgen(method, catch)]
    async fn load(this: &Decoder) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn decode(this: &Decoder, photo: &Uint8Array, size: u32) -> Result<DecodedPhoto, JsValue>;

    /// Gives the memory back that it takes in the decoders' module.
    #[wasm_bindgen(method)]
    fn free(this: &DecodedPhoto);
}

impl Request {
    /// Asks for what the model says about itself.
    pub(super) fn info(model: u32, file: &Blob) -> Self {
        let request = Self::forget(model);
        request.set_model_file(file);
        request
    }

    /// Asks for the answer about a photo.
    pub(super) fn classify(model: u32, file: &Blob, photo: &Blob, explain: bool) -> Self {
        let request = Self::info(model, file);
        request.set_photo(photo);
        request.set_explain(explain);
        request
    }

    /// Asks for the answer about a camera frame.
    pub(super) fn classify_frame(model: u32, file: &Blob, frame: &ImageBitmap, explain: bool) -> Self {
        let request = Self::info(model, file);
        request.set_frame(frame);
        request.set_explain(explain);
        request
    }

    /// Asks for what the convolutions make of a photo.
    pub(super) fn feature_maps(model: u32, file: &Blob, photo: &Blob) -> Self {
        let request = Self::info(model, file);
        request.set_photo(photo);
        request.set_maps(true);
        request
    }

    /// Gives a model's memory back.
    pub(super) fn forget(model: u32) -> Self {
        let request: Self = Object::new().unchecked_into();
        request.set_model(model);
        request
    }
}

thread_local! {
    static CLASSIFIERS: RefCell<Vec<(u32, Rc<Classifier>)>> = RefCell::default();
}

/// Why there is no answer.
enum Obstacle {
    Failure(Failure),
    /// The decoders broke and can't be used any more.
    Broken(JsValue),
}

impl<F: Into<Failure>> From<F> for Obstacle {
    fn from(failure: F) -> Self {
        Self::Failure(failure.into())
    }
}

/// Answers a request of the page: `worker.js` calls it for each message.
///
/// # Errors
/// What broke in the worker: it has to be replaced.
#[wasm_bindgen]
pub async fn answer(request: Request, decoders: Decoders) -> Result<Reply, JsValue> {
    let reply: Reply = Object::new().unchecked_into();
    match fill(&reply, &request, &decoders).await {
        Ok(()) => {}
        Err(Obstacle::Failure(failure)) => reply.set_failure(&to_js(&failure)),
        Err(Obstacle::Broken(exception)) => return Err(exception),
    }
    Ok(reply)
}

async fn fill(reply: &Reply, request: &Request, decoders: &Decoders) -> Result<(), Obstacle> {
    let frame = request.frame().map(Bitmap);
    let Some(model_file) = request.model_file() else {
        CLASSIFIERS.with_borrow_mut(|known| known.retain(|(id, _)| *id != request.model()));
        return Ok(());
    };
    let classifier = classifier(request.model(), &model_file).await?;
    let photo = match (request.photo(), frame) {
        (Some(photo), _) => decode(&classifier, &photo, decoders).await?,
        (None, Some(frame)) => Decoded::frame(&image_data(frame)?)?,
        (None, None) => {
            reply.set_info(&classifier.info());
            return Ok(());
        }
    };
    if request.maps() {
        reply.set_maps(&classifier.feature_maps(&photo)?);
    } else {
        reply.set_answer(&classifier.judge(&photo, request.explain())?);
    }
    Ok(())
}

async fn classifier(model: u32, file: &Blob) -> Result<Rc<Classifier>, Failure> {
    let known = CLASSIFIERS.with_borrow(|known| known.iter().find(|(id, _)| *id == model).map(|(_, c)| c.clone()));
    if let Some(known) = known {
        return Ok(known);
    }
    let loaded = Rc::new(Classifier::load(&read(file, weights::MAX_FILE as f64).await?.to_vec())?);
    CLASSIFIERS.with_borrow_mut(|known| known.push((model, loaded.clone())));
    Ok(loaded)
}

/// Decodes a photo; one in a format that this crate does not read, by the browser's own decoder.
async fn decode(classifier: &Classifier, photo: &Blob, decoders: &Decoders) -> Result<Decoded, Obstacle> {
    let bytes = read(photo, Pixels::MAX_FILE as f64).await?;
    let size = classifier.input_size();
    // Each refuses the other's files, so the first byte is enough.
    let usual = match bytes.get_index(0) {
        0xff => Some(decoders.jpeg()),
        0x89 => Some(decoders.png()),
        _ => None,
    };
    for decoder in usual.into_iter().chain([decoders.all()]) {
        decoder.load().await.map_err(|e| {
            let why = sentence(&e);
            Failure::new("decoder-download", format!("what reads photo files can't be downloaded ({why}): try again"))
        })?;
        let start = now();
        let exception = match decoder.decode(&bytes, size) {
            Ok(photo) => {
                let decoded = classifier.decoded(&photo, start);
                photo.free();
                return Ok(decoded?);
            }
            Err(exception) => exception,
        };
        // A panic or a trap, such as too little memory, ends the worker.
        let failure = Failure::read(&exception).filter(|failure| failure.code != Failure::PANIC);
        match failure.ok_or(Obstacle::Broken(exception))? {
            failure if failure.code == "photo-rare" => {}
            failure if failure.code == "photo-format" => {
                let bitmap = decode_by_browser(photo).await.map_err(|_| failure)?;
                return Ok(Decoded::frame(&image_data(bitmap)?)?);
            }
            failure => return Err(failure.into()),
        }
    }
    Err(Error::PhotoRare.into())
}

/// A file's bytes, where they are no more than `limit`.
async fn read(file: &Blob, limit: f64) -> Result<Uint8Array, Failure> {
    // One byte more shows the reader of the bytes that they are too many, and is all that is read of them.
    let unreadable = |e: JsValue| {
        Failure::new("file-unreadable", format!("the file can't be read ({}): choose it again", sentence(&e)))
    };
    let head = file.slice_with_f64_and_f64(0.0, limit + 1.0).map_err(unreadable)?;
    let buffer = JsFuture::from(head.array_buffer()).await.map_err(unreadable)?;
    Ok(Uint8Array::new(&buffer))
}

async fn decode_by_browser(photo: &Blob) -> Result<Bitmap, JsValue> {
    let worker: WorkerGlobalScope = js_sys::global().unchecked_into();
    Ok(Bitmap(JsFuture::from(worker.create_image_bitmap_with_blob(photo)?).await?.unchecked_into()))
}

/// A bitmap's pixels, `[height, width, 4]`.
fn image_data(bitmap: Bitmap) -> Result<ImageData, Failure> {
    let (width, height) = (bitmap.0.width(), bitmap.0.height());
    Pixels::check_size(width, height)?;
    let draw = move || -> Result<ImageData, JsValue> {
        let canvas = OffscreenCanvas::new(width, height)?;
        let options = Object::new();
        // Keeps the canvas in main memory, where its pixels are needed.
        js_sys::Reflect::set(&options, &"willReadFrequently".into(), &true.into())?;
        let context: OffscreenCanvasRenderingContext2d =
            canvas.get_context_with_context_options("2d", &options)?.ok_or("no canvas")?.unchecked_into();
        context.draw_image_with_image_bitmap(&bitmap.0, 0.0, 0.0)?;
        drop(bitmap);
        context.get_image_data(0.0, 0.0, width.into(), height.into())
    };
    draw().map_err(|e| Failure::new("file-unreadable", format!("the browser gave no pixels ({})", sentence(&e))))
}
