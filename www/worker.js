// The worker's entry; what it does is in Rust, src/web/worker.rs.
//
// A policy in the page's <meta> does not bind a worker that is loaded from an address. This one asks the network for
// nothing but the imports below and their WebAssembly; who wants that enforced sends the policy as a header with every file.
import init, { answer } from "./husky.js";
import * as decoder from "./husky_decoder.js";

let ready;

addEventListener("message", async ({ data }) => {
  if (data instanceof WebAssembly.Module) {
    ready = init({ module_or_path: data });
    return;
  }
  try {
    await ready;
    postMessage(await answer(data, decoder));
  } catch (error) {
    // Outside of the promise it reaches the page, which then replaces this worker.
    setTimeout(() => { throw error; });
  }
});
