// Makes the page work offline from the second visit on. Each version of the site has its own service worker address, so
// that a new version installs beside the old one, and takes over when no page uses the old one any more.
async function install() {
  const { version } = await (await fetch("precache.json", { cache: "no-store" })).json();
  await navigator.serviceWorker.register(`service-worker.js?version=${version}`);
}

// Offline there is nothing new to install, and what is installed serves.
if ("serviceWorker" in navigator && navigator.onLine) install().catch(console.warn);
