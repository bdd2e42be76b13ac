// candle in WebAssembly with simd128, stock operations; candle-fused.js has one of its own.
import init, { Candle } from "../candle/bench.js";
import { fetchBytes, pixels, probability } from "./common.js";

export async function load(model, fused = false) {
  const [, bytes] = await Promise.all([init(), fetchBytes(model.file)]);
  const candle = Candle.load(bytes, fused);
  return (picture) => {
    candle.prepare(pixels(model, picture));
    return () => probability(model, candle.logit());
  };
}
