// candle with convolution, ReLU and pool as one operation.
import * as candle from "./candle.js";

export const load = (model) => candle.load(model, true);
