// The machine's limit: a loop of multiplications and additions in registers. It answers nothing.
import init, { peakLoop } from "../candle/bench.js";

/** Floating-point operations of a run, about 4 ms. */
export const OPERATIONS = 200e6;

export async function load() {
  await init();
  return () => () => peakLoop(OPERATIONS);
}
