// Measures engines side by side; `cargo xtask bench` opens this page and calls window.bench.
//
// An engine is a module with `load(model)`, which gives `prepare(picture)`, which gives `run()`: one forward pass at
// batch 1, to the first label's probability. A model is what python/models.py says about it.

/** A picture that no two engines can read alike by accident: soft noise, `[size, size]` ImageData. */
export function picture(size, seed) {
  const image = new ImageData(size, size);
  let state = Math.imul(seed, 0x9e3779b9) | 1;
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const waves = Array.from({ length: 3 }, () => [random() / 9, random() / 9, random() * 6]);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      for (let c = 0; c < 3; c++) {
        const [a, b, phase] = waves[c];
        image.data[(y * size + x) * 4 + c] = 128 + 90 * Math.sin(a * x + b * y + phase) + 60 * (random() - 0.5);
      }
      image.data[(y * size + x) * 4 + 3] = 255;
    }
  }
  return image;
}

const engine = (name) => import(`./engines/${name}.js`);

/** Loads one engine and answers once: milliseconds since the navigation began, and what was loaded meanwhile. */
async function cold({ name, model }) {
  const image = picture(model.size, 1);
  const probability = await (await (await engine(name)).load(model))(image)();
  const milliseconds = performance.now();
  return { milliseconds, probability, files: performance.getEntriesByType("resource").map((entry) => entry.name) };
}

/** Answers about several pictures, then the time of a forward pass, round by round in rotated order. */
async function steady({ names, model, pictures, rounds, runs, first }) {
  const images = Array.from({ length: pictures }, (_, i) => picture(model.size, i + 1));
  const results = {};
  const run = {};
  for (const name of names) {
    const prepare = await (await engine(name)).load(model);
    const probabilities = [];
    for (const image of images) probabilities.push(await prepare(image)());
    run[name] = prepare(images[0]);
    results[name] = { probabilities, milliseconds: [] };
  }
  // The first two rounds are for the browser's optimising compiler.
  for (let round = -2; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + first + round + 2) % names.length];
      const count = round < 0 ? 4 * runs : runs;
      const start = performance.now();
      for (let n = 0; n < count; n++) await run[name]();
      if (round >= 0) results[name].milliseconds.push((performance.now() - start) / count);
    }
  }
  return results;
}

/** WebAssembly memory in bytes after loading, and after so many answers. */
async function memory({ model, answers }) {
  const husky = await engine("husky");
  const prepare = await husky.load(model);
  const run = prepare(picture(model.size, 1));
  await run();
  const before = husky.memory();
  for (let n = 1; n < answers; n++) await run();
  return { before, after: husky.memory() };
}

/** Milliseconds from a photo's file, and from a camera frame, to the answer of the site's worker, each several times. */
async function photo({ model, runs }) {
  const ask = await (await engine("worker")).load(model);
  const file = await (await fetch("photo.jpg")).blob();
  // What the page asks a camera for.
  const frame = picture(640, 1);
  const times = { file: [], frame: [] };
  for (let run = 0; run < runs; run++) {
    let start = performance.now();
    await ask({ photo: file });
    times.file.push(performance.now() - start);
    const bitmap = await createImageBitmap(frame, 0, 0, 640, 480);
    start = performance.now();
    await ask({ frame: bitmap }, [bitmap]);
    times.frame.push(performance.now() - start);
  }
  return times;
}

/** Milliseconds from a camera frame of the network's size to the answer in the page, several times. */
async function frame({ model, runs }) {
  const classify = (await (await engine("husky")).load(model))(picture(model.size, 1));
  const times = [];
  // The first ones are for the browser's optimising compiler.
  for (let run = -4 * runs; run < runs; run++) {
    const start = performance.now();
    classify();
    if (run >= 0) times.push(performance.now() - start);
  }
  return times;
}

/** What bench/src/kernels.rs measures, as it lies there in memory. */
async function kernels() {
  const module = await import("./candle/bench.js");
  await module.default();
  return [...module.kernels()];
}

window.bench = { steady, memory, photo, frame, kernels };
// A cold load begins with the navigation, not when the driver finds the page.
if (location.hash) window.bench.cold = cold(JSON.parse(decodeURIComponent(location.hash.slice(1))));
