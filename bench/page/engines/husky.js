// The site's own build through its public API: what comes in is a camera frame of the network's size, so the time
// includes the normalisation, and the resize changes nothing.
import init, { Classifier } from "../husky/husky.js";
import { module_or_path } from "../husky/husky-module.js";
import { fetchBytes } from "./common.js";

let exports;

export async function load(model) {
  const [module, bytes] = await Promise.all([init({ module_or_path }), fetchBytes(`${model.folder}/model.safetensors`)]);
  exports = module;
  const classifier = Classifier.load(bytes);
  return (picture) => () => classifier.classifyFrame(picture).probabilities[0];
}

/** Bytes of WebAssembly memory. */
export const memory = () => exports.memory.buffer.byteLength;
