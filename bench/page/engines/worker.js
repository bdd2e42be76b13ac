// The site's worker, asked as its page asks it (src/web/worker.rs).
import { module_or_path } from "../husky/husky-module.js";

export async function load(model) {
  const [module, file] = await Promise.all([
    WebAssembly.compileStreaming(module_or_path),
    fetch(model.file).then((response) => response.blob()),
  ]);
  const worker = new Worker("husky/worker.js", { type: "module" });
  worker.postMessage(module);
  return (request, transfer = []) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.answer ? resolve(data.answer) : reject(new Error(JSON.stringify(data))));
      worker.onerror = reject;
      worker.postMessage({ model: 1, modelFile: file, ...request }, transfer);
    });
}
