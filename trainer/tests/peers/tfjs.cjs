// Prints what TensorFlow.js answers with its layers format: node tfjs.cjs FOLDER PHOTOS SIZE
const fs = require('node:fs');
const path = require('node:path');
const tf = require('@tensorflow/tfjs');

const [folder, photos, side] = process.argv.slice(2);

/** Node's way to a file: TensorFlow.js' own asks over HTTP. */
const files = {
  load: async () => {
    const { modelTopology, weightsManifest } = JSON.parse(fs.readFileSync(path.join(folder, 'model.json')));
    const buffers = weightsManifest.flatMap((group) => group.paths.map((file) => fs.readFileSync(path.join(folder, file))));
    const weightSpecs = weightsManifest.flatMap((group) => group.weights);
    return { modelTopology, weightSpecs, weightData: new Uint8Array(Buffer.concat(buffers)).buffer };
  },
};

(async () => {
  const model = await tf.loadLayersModel(files);
  const size = Number(side);
  const pixels = Float32Array.from(fs.readFileSync(photos));
  const answers = model.predict(tf.tensor4d(pixels, [pixels.length / (3 * size * size), size, size, 3]));
  console.log(JSON.stringify(await answers.array()));
})();
