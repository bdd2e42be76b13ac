//! A panic becomes a JavaScript error that says where. Alone in its file: after a panic the module is unusable.
#![cfg(target_arch = "wasm32")]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use js_sys::Reflect;
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen(inline_js = "export function caught(act) { try { act(); } catch (error) { return error; } }")]
extern "C" {
    fn caught(act: &Closure<dyn FnMut()>) -> JsValue;
}

#[wasm_bindgen_test]
fn a_panic_is_a_readable_error() {
    husky::web::start();
    let error = caught(&Closure::new(|| panic!("boom")));
    assert!(error.is_instance_of::<js_sys::Error>());
    assert_eq!(Reflect::get(&error, &"code".into()).unwrap(), "panic");
    let message = Reflect::get(&error, &"message".into()).unwrap().as_string().unwrap();
    assert!(message.contains("boom") && message.contains("browser_panic.rs:"), "{message}");
}
