// The WebAssembly module that suits this browser.
//
// Relaxed SIMD multiplies and adds in one instruction, which takes a third off the time where the processor can. Its own
// rounding is no worse. Chromium has it from 114 and Firefox from 145 on, Safari not yet. These bytes are a module with one of its
// instructions: https://github.com/GoogleChromeLabs/wasm-feature-detect
const RELAXED_SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253,
  128, 2, 11,
];
const relaxed = WebAssembly.validate(new Uint8Array(RELAXED_SIMD));

/** For `init()` of husky.js, which may still be on its way: the download need not wait for it. */
export const module_or_path = fetch(new URL(relaxed ? "./husky_relaxed_bg.wasm" : "./husky_bg.wasm", import.meta.url));
