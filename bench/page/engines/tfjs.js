// TensorFlow.js with its WebAssembly backend (XNNPACK, SIMD, one thread): a graph model of fused operations, weights as
// 16-bit floats, everything fetched at once.
import { fetchBytes, pixels, probability } from "./common.js";

const PEERS = new URL("../peers/@tensorflow/", import.meta.url).href;

const script = (address) =>
  new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement("script"), { src: address, async: false });
    element.onload = resolve;
    element.onerror = reject;
    document.head.append(element);
  });

export async function load(model) {
  const description = fetch(`${model.folder}/tfjs.json`).then((response) => response.json());
  const weights = fetchBytes(`${model.folder}/tfjs.bin`);
  const parts = ["core", "converter", "backend-wasm"].map((part) => `tfjs-${part}/dist/tf-${part}.min.js`);
  await Promise.all(parts.map((part) => script(PEERS + part)));
  const { tf } = globalThis;
  tf.wasm.setWasmPaths(`${PEERS}tfjs-backend-wasm/dist/`);
  // Two threads start by themselves on a page that is isolated from other origins.
  tf.wasm.setThreadsCount(1);
  await tf.setBackend("wasm");
  const { modelTopology, weightsManifest } = await description;
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const artifacts = { modelTopology, weightSpecs, weightData: (await weights).buffer };
  const graph = await tf.loadGraphModel({ load: async () => artifacts });
  return (picture) => {
    const input = tf.tensor(pixels(model, picture), [1, model.size, model.size, 3]);
    return () => {
      const output = graph.execute(input);
      const [logit] = output.dataSync();
      output.dispose();
      return probability(model, logit);
    };
  };
}
