// What the engines share.

export const fetchBytes = async (address) => new Uint8Array(await (await fetch(address)).arrayBuffer());

export const probability = (model, logit) => 1 / (1 + Math.exp(-logit / model.temperature));

/** Normalised values, `[size, size, 3]`. */
export function pixels(model, picture) {
  const values = new Float32Array(model.size * model.size * 3);
  for (let pixel = 0; pixel < model.size * model.size; pixel++) {
    for (let c = 0; c < 3; c++) values[pixel * 3 + c] = (picture.data[pixel * 4 + c] - model.mean[c]) * model.scale[c];
  }
  return values;
}
