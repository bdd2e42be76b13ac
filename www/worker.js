// The worker's entry; what it does is in Rust, src/web/worker.rs.
//
// A policy in the page's <meta> does not bind a worker that is loaded from an address. This one asks the network for
// nothing but the imports below and their WebAssembly; who wants that enforced sends the policy as a header with every file.
import init, { answer } from "./husky.js";
// What reads photo files is one script for several modules: with a fragment it is another instance, not another download.
import * as jpeg from "./husky_decoder.js#jpeg";
import * as png from "./husky_decoder.js#png";
import * as all from "./husky_decoder.js";

// A download is not the photo's fault: it has milliseconds of its own, while the page's clock for a request stands still.
const DOWNLOAD_LIMIT = 120_000;

let ready;
const decoder = ({ default: init, decode }, module) => {
  let loaded = false;
  const load = async () => {
    if (loaded) return;
    postMessage({ downloading: true });
    try {
      const signal = AbortSignal.timeout(DOWNLOAD_LIMIT);
      await init({ module_or_path: fetch(new URL(module, import.meta.url), { signal }) });
      loaded = true;
    } finally {
      postMessage({ downloading: false });
    }
  };
  return { load, decode };
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
