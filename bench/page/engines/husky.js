// The site's own build through its public API, everything fetched at once: what comes in is a camera frame of the network's size, so the time
// includes the normalisation, and the resize changes nothing.
import { fetchBytes } from "./common.js";

let exports;

export async function load(model) {
  const bytes = fetchBytes(model.file);
  const parts = [import("../husky/husky.js"), import("../husky/husky-module.js")];
  const [{ default: init, Classifier }, { module_or_path }] = await Promise.all(parts);
  exports = await init({ module_or_path });
  const classifier = Classifier.load(await bytes);
  return (picture) => () => classifier.classifyFrame(picture).probabilities[0];
}

/** Bytes of WebAssembly memory. */
export const memory = () => exports.memory.buffer.byteLength;
