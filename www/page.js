// Makes the page work offline from the second visit on.
if ("serviceWorker" in navigator) navigator.serviceWorker.register("service-worker.js").catch(console.warn);
