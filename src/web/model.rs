//! A model as the page knows it: its file, which the worker loads, and what it says about itself.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use futures_channel::oneshot;
use gloo_timers::callback::Timeout;
use js_sys::{Array, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Blob, ImageBitmap, ImageData, ReadableStreamDefaultReader, RequestInit, Response};

use super::{Answer, Failure, ModelInfo, Request, bridge, dom, failure::sentence};
use crate::{shipped, weights};

/// Seconds without a byte after which a download is given up.
const PATIENCE: u32 = 30;

/// A model that the worker has checked. When the last owner drops it, the worker forgets it.
pub(super) struct Model {
    id: Id,
    file: Blob,
    pub info: ModelInfo,
}

/// A model's number on this page. Its end is the end of the model in the worker, and the last one's the worker's own.
struct Id(u32);

/// Someone who waits for a download.
struct Waiting {
    url: String,
    done: oneshot::Sender<Loaded>,
    /// Hears how much of it is there.
    progress: Box<dyn Fn(f64)>,
}

type Loaded = Result<Rc<Model>, Failure>;

thread_local! {
    static NEXT_ID: Cell<u32> = const { Cell::new(0) };
    static ALIVE: Cell<u32> = const { Cell::new(0) };
    static LOADING: RefCell<Vec<Waiting>> = RefCell::default();
    static LOADED: RefCell<Vec<(String, Weak<Model>)>> = RefCell::default();
}

impl Model {
    /// Checks a model file.
    ///
    /// # Errors
    /// One of the codes `model-…`.
    pub async fn open(file: Blob) -> Loaded {
        let id = Id::new();
        let reply = bridge::send(Request::info(id.0, &file), || true).await.unwrap_or_else(|| Err(misfit()))?;
        let info = reply.info().ok_or_else(misfit)?;
        Ok(Rc::new(Self { id, file, info }))
    }

    /// Downloads and checks the model at `url`, once for all elements of the page. `progress` hears how much of the
    /// download is there, from 0 to 1.
    ///
    /// # Errors
    /// `model-download`, or one of the codes `model-…`.
    pub async fn fetch(url: String, progress: impl Fn(f64) + 'static) -> Loaded {
        let known =
            LOADED.with_borrow(|all| all.iter().find(|(known, _)| *known == url).and_then(|(_, m)| m.upgrade()));
        if let Some(model) = known {
            return Ok(model);
        }
        let (done, loaded) = oneshot::channel();
        let is_first = LOADING.with_borrow_mut(|loading| {
            let is_first = !loading.iter().any(|other| other.url == url);
            loading.push(Waiting { url: url.clone(), done, progress: Box::new(progress) });
            is_first
        });
        if is_first {
            bridge::start();
            // A task of its own: the first element may be gone before the others have their model.
            wasm_bindgen_futures::spawn_local(load(url));
        }
        loaded.await.unwrap_or_else(|_| Err(Failure::new("model-download", "the download was given up")))
    }

    /// The answer about a photo; `None` where it was not wanted any more when its turn came.
    pub async fn classify(
        &self,
        photo: &Blob,
        explain: bool,
        is_wanted: impl Fn() -> bool + 'static,
    ) -> Option<Result<Answer, Failure>> {
        let outcome = bridge::send(Request::classify(self.id.0, &self.file, photo, explain), is_wanted).await;
        outcome.map(|reply| reply?.answer().ok_or_else(misfit))
    }

    /// The answer about a camera frame.
    pub async fn classify_frame(
        &self,
        frame: &ImageBitmap,
        explain: bool,
        is_wanted: impl Fn() -> bool + 'static,
    ) -> Option<Result<Answer, Failure>> {
        let outcome = bridge::send(Request::classify_frame(self.id.0, &self.file, frame, explain), is_wanted).await;
        outcome.map(|reply| reply?.answer().ok_or_else(misfit))
    }

    /// What the convolutions make of a photo, as a picture.
    pub async fn feature_maps(
        &self,
        photo: &Blob,
        is_wanted: impl Fn() -> bool + 'static,
    ) -> Option<Result<ImageData, Failure>> {
        let outcome = bridge::send(Request::feature_maps(self.id.0, &self.file, photo), is_wanted).await;
        outcome.map(|reply| reply?.maps().ok_or_else(misfit))
    }
}

impl Id {
    fn new() -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self(NEXT_ID.replace(NEXT_ID.get() + 1))
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
        if ALIVE.get() == 0 { bridge::end() } else { bridge::forget(self.0) }
    }
}

fn misfit() -> Failure {
    Failure::new("worker-died", "the classifier's parts don't fit each other: reload the page")
}

/// Downloads a model and tells everyone who waits for it.
async fn load(url: String) {
    let loaded = match download(&url).await {
        Ok(file) => Model::open(file).await.and_then(|model| check_shipped(&url, model)),
        Err(failure) => Err(failure),
    };
    if loaded.is_err() && ALIVE.get() == 0 {
        // Nobody is left who would end the worker.
        bridge::end();
    }
    if let Ok(model) = &loaded {
        LOADED.with_borrow_mut(|all| {
            all.retain(|(_, model)| model.strong_count() > 0);
            all.push((url.clone(), Rc::downgrade(model)));
        });
    }
    let (waiting, others): (Vec<_>, _) = LOADING.take().into_iter().partition(|waiting| waiting.url == url);
    LOADING.set(others);
    for Waiting { done, .. } in waiting {
        // Whoever waited may be gone.
        let _ = done.send(loaded.clone());
    }
}

/// Refuses a model that goes by the name of one that ships and is another.
fn check_shipped(url: &str, model: Rc<Model>) -> Loaded {
    if shipped::may_be(url, &model.info.digest()) {
        return Ok(model);
    }
    Err(Failure::new("model-digest", format!("{url} is not the model that this page was built with: reload the page")))
}

/// Ends a download when dropped; to one that is complete this does nothing.
struct Transfer(AbortController);

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn download(url: &str) -> Result<Blob, Failure> {
    let failed = |why: &str| {
        Failure::new("model-download", format!("the model can't be downloaded from {url} ({why}): try again"))
    };
    let broken = |e: JsValue| failed(&sentence(&e));
    let transfer = Transfer(AbortController::new().map_err(broken)?);
    let init = RequestInit::new();
    init.set_signal(Some(&transfer.0.signal()));
    let response = dom::window().fetch_with_str_and_init(url, &init);
    let response: Response = patiently(response).await.map_err(broken)?.unchecked_into();
    if !response.ok() {
        return Err(failed(&format!("the server answered {}", response.status())));
    }
    // Without the header, or with a compressed transfer, the bar is a guess; it is never more than full.
    let length = response.headers().get("content-length").ok().flatten().and_then(|l| l.parse::<u64>().ok());
    let parts = Array::new();
    let mut received = 0.0;
    if let Some(body) = response.body() {
        let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        loop {
            let part = patiently(reader.read()).await.map_err(broken)?;
            let Ok(bytes) = Reflect::get(&part, &"value".into()).and_then(JsCast::dyn_into::<Uint8Array>) else {
                break;
            };
            received += f64::from(bytes.length());
            parts.push(&bytes);
            if received > weights::MAX_FILE as f64 {
                // The check of the file says so better.
                break;
            }
            let fraction = length.map_or(0.0, |length| (received / length as f64).min(1.0));
            LOADING.with_borrow(|loading| {
                loading.iter().filter(|waiting| waiting.url == url).for_each(|waiting| (waiting.progress)(fraction));
            });
        }
    }
    Blob::new_with_u8_array_sequence(&parts).map_err(broken)
}

/// What `promise` gives, or an error when that takes longer than [`PATIENCE`].
async fn patiently(promise: Promise) -> Result<JsValue, JsValue> {
    let mut timer = None;
    let silence = Promise::new(&mut |_, reject| {
        timer = Some(Timeout::new(1000 * PATIENCE, move || {
            let error = js_sys::Error::new(&format!("nothing came for {PATIENCE} seconds"));
            // A promise's own function can't fail.
            let _ = reject.call1(&JsValue::UNDEFINED, &error);
        }));
    });
    let first = JsFuture::from(Promise::race(&Array::of2(&promise, &silence))).await;
    // Stops the clock.
    drop(timer);
    first
}
