//! The verdict that `tests/browser.rs` must repeat in a browser.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;
#[path = "support/golden.rs"]
mod golden;

#[test]
fn the_verdict_is_the_one_that_browsers_repeat() {
    golden::check();
}
