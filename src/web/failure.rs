use std::fmt::Display;

use js_sys::Reflect;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::Error;

/// What went wrong, as it crosses to JavaScript: an `Error` object with a stable `code`.
///
/// The codes are [`Error::code`]'s and, for what only a browser can get wrong, `camera-denied`, `camera-missing`,
/// `camera-busy`, `camera-unavailable`, `decoder-download`, `file-unreadable`, `model-digest`, `model-download`, `no-convolutions`, `panic`, `timeout` and
/// `worker-died`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Stays when the sentence changes.
    pub code: String,
    /// One sentence for people.
    pub message: String,
}

impl Failure {
    /// The code of a bug: whatever panicked is unusable from then on.
    pub(super) const PANIC: &str = "panic";

    /// A failure with this code and sentence.
    pub fn new(code: &str, message: impl Display) -> Self {
        Self { code: code.to_owned(), message: message.to_string() }
    }

    /// The one in an exception of this crate's, or in an object that one was made.
    #[cfg(feature = "page")]
    pub(super) fn read(object: &JsValue) -> Option<Self> {
        let text = |name: &str| Reflect::get(object, &name.into()).ok()?.as_string();
        Some(Self { code: text("code")?, message: text("message")? })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error)
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        let error = js_sys::Error::new(&failure.message);
        // Setting a property of a fresh object can't fail.
        let _ = Reflect::set(&error, &"code".into(), &failure.code.into());
        error.into()
    }
}

/// The sentence in an exception that a browser threw.
#[cfg(feature = "page")]
pub(super) fn sentence(exception: &JsValue) -> String {
    match exception.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => exception.dyn_ref::<web_sys::DomException>().map_or_else(|| format!("{exception:?}"), |e| e.message()),
    }
}
