// What the page adds to the classifier: a choice of models, and work offline from the second visit on.
const models = document.getElementById("model");
models.addEventListener("change", () => {
  document.querySelector("husky-classifier").setAttribute("model", `models/${models.value}.safetensors`);
});

if ("serviceWorker" in navigator) navigator.serviceWorker.register("service-worker.js").catch(console.warn);
