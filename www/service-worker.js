// Keeps one whole version of the site for offline use. A version is complete and checked, byte for byte, or it is not
// there: until then, and while any page still uses it, the old version stays.
// `cargo xtask dist` puts the version in, so that this file changes with any other, and browsers see that.
const version = "{{VERSION}}";
const prefix = `husky ${registration.scope} `;
const name = prefix + version;

addEventListener("install", (event) => event.waitUntil(install()));
addEventListener("activate", (event) => event.waitUntil(removeOldVersions()));
addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(registration.scope)) event.respondWith(answer(event.request));
});

async function install() {
  const list = await (await fetch("precache.json", { cache: "no-store" })).json();
  if (list.version !== version) throw new Error("the site changed while it was being installed");
  try {
    const cache = await caches.open(name);
    await Promise.all(list.files.map(async (file) => cache.put(file.path, await download(file))));
  } catch (error) {
    await caches.delete(name);
    throw error;
  }
}

// What the page has just downloaded is taken from the browser's cache, unless it is stale.
async function download({ path, sha256 }) {
  for (const cache of ["default", "reload"]) {
    const response = await fetch(path, { cache });
    const body = await response.arrayBuffer();
    if (response.ok && (await digest(body)) === sha256) {
      // The host's headers stay, its policy above all; what described the transfer no longer holds, and a cache refuses
      // some values of `vary`. A new response has no redirect either, which a navigation may not answer with.
      const headers = new Headers(response.headers);
      for (const gone of ["content-encoding", "content-length", "transfer-encoding", "vary"]) headers.delete(gone);
      return new Response(body, { headers });
    }
  }
  throw new Error(`${path} is not what precache.json says`);
}

async function digest(body) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function removeOldVersions() {
  const names = await caches.keys();
  await Promise.all(names.filter((n) => n.startsWith(prefix) && n !== name).map((n) => caches.delete(n)));
}

async function answer(request) {
  const url = new URL(request.url);
  url.search = url.hash = "";
  if (url.pathname.endsWith("/")) url.pathname += "index.html";
  const cache = await caches.open(name);
  return (await cache.match(url.href)) ?? fetch(request);
}
