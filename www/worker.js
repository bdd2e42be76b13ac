// The worker's entry; what it does is in Rust, src/web/worker.rs.
//
// A policy in the page's <meta> does not bind a worker that is loaded from an address. This one asks the network for
// nothing but the imports below and their WebAssembly; who wants that enforced sends the policy as a header with every file.
import init, { answer } from "./husky.js";
// What reads photo files is one script for several modules: with a fragment it is another instance, not another download.
import * as jpeg from "./husky_decoder.js#jpeg";
import * as png from "./husky_decoder.js#png";
import * as all from "./husky_decoder.js";

let ready;
const decoder = ({ default: init, decode }, module) => {
  const module_or_path = new URL(module, import.meta.url);
  return { load: () => init({ module_or_path }), decode };
};
const decoders = {
  jpeg: decoder(jpeg, "./husky_jpeg_bg.wasm"),
  png: decoder(png, "./husky_png_bg.wasm"),
  all: decoder(all, "./husky_decoder_bg.wasm"),
};

addEventListener("message", async ({ data }) => {
  if (data instanceof WebAssembly.Module) {
    ready = init({ module_or_path: data });
    return;
  }
  try {
    await ready;
    postMessage(await answer(data, decoders));
  } catch (error) {
    // Outside of the promise it reaches the page, which then replaces this worker.
    setTimeout(() => { throw error; });
  }
});
