// ONNX Runtime Web, WebAssembly with SIMD, one thread; onnx-threads.js gives it two.
import * as ort from "../peers/onnxruntime-web/dist/ort.wasm.min.mjs";
import { fetchBytes, pixels, probability } from "./common.js";

export async function load(model, threads = 1) {
  ort.env.wasm.numThreads = threads;
  const session = await ort.InferenceSession.create(await fetchBytes(`${model.folder}/model.onnx`));
  return (picture) => {
    // [channels, height, width]
    const [rows, area] = [pixels(model, picture), model.size * model.size];
    const planes = Float32Array.from(rows, (_, i) => rows[(i % area) * 3 + Math.floor(i / area)]);
    const input = new ort.Tensor("float32", planes, [1, 3, model.size, model.size]);
    return async () => {
      const { logits } = await session.run({ input });
      return probability(model, logits.data[0]);
    };
  };
}
