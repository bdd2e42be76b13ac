// ONNX Runtime Web with two threads: for a page that is isolated from other origins.
import * as onnx from "./onnx.js";

export const load = (model) => onnx.load(model, 2);
