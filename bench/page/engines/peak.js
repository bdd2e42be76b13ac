// The machine's limit: a loop of multiplications and additions in registers. It answers nothing.
import init, { peakLoop } from "../candle/bench.js";

/** Iterations of a call, about 4 ms. */
const ITERATIONS = 4_000_000;

export async function load() {
  await init();
  return () => () => peakLoop(ITERATIONS);
}
