// candle in WebAssembly with simd128, stock operations.
import init, { Candle } from "../candle/bench.js";
import { fetchBytes, pixels, probability } from "./common.js";

export async function load(model) {
  const [, bytes] = await Promise.all([init(), fetchBytes(`${model.folder}/model.safetensors`)]);
  const candle = Candle.load(bytes);
  return (picture) => {
    candle.prepare(pixels(model, picture));
    return () => probability(model, candle.logit());
  };
}
