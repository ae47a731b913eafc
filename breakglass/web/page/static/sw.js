// The service worker: holds the scripts and styles, and the last transcripts for reading without a network.
//
// The static files' address changes with their content, so what is kept of them is never stale. Pages are always
// asked for first; only where no answer comes the kept one is shown, and its badge says so.

const root = new URL(location.href).searchParams.get("static");
const base = root.replace(/\/static\/.*/, ""); // the path below which a proxy shows us
const SHELL = `shell${root}`;
const FILES = ["app.css", "app.js", "dom.js", "keys.js", "lines.js", "list.js", "notice.js", "send.js", "stream.js", "transcript.js",
  "icon.svg", "manifest.webmanifest"];
const MOST = 20; // pages kept
const PATIENCE = 8000; // ms to wait for the network where there is something kept

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(FILES.map((name) => `${root}/${name}`))));
});

addEventListener("activate", (event) => {
  event.waitUntil(Promise.all([clients.claim(), caches.keys().then((names) => Promise.all(
    names.filter((name) => name !== SHELL && name !== "pages").map((name) => caches.delete(name))))]));
});

addEventListener("fetch", (event) => {
  const { request } = event, url = new URL(request.url);
  if (url.origin !== location.origin || request.method !== "GET") return;
  if (url.pathname.startsWith(`${root}/`)) event.respondWith(shell(request));
  else if (request.mode === "navigate") event.respondWith(page(request, url));
});

async function shell(request) {
  return (await caches.match(request)) ?? fetch(request);
}

async function page(request, url) {
  const cache = await caches.open("pages");
  const old = await cache.match(url.pathname);
  try {
    const answer = await fetch(request, old && { signal: AbortSignal.timeout(PATIENCE) });
    if (answer.redirected && new URL(answer.url).pathname === `${base}/login`) await caches.delete("pages"); // logged out
    else if (answer.ok && !answer.redirected && !url.search && /^\/(sessions\/[^/]+)?$/.test(url.pathname.slice(base.length))) {
      await keep(cache, url.pathname, answer.clone());
    }
    return answer;
  } catch {
    return old ?? new Response("<!doctype html><meta name=viewport content='width=device-width'><title>Offline</title>"
      + `<h1>Offline</h1><p>This page is not kept on this device. What runs on the server goes on.</p><p><a href='${base}/'>All sessions</a></p>`,
      { status: 503, headers: { "content-type": "text/html; charset=utf-8" } });
  }
}

async function keep(cache, path, answer) {
  await cache.put(path, answer);
  const kept = await cache.keys();
  for (const request of kept.slice(0, Math.max(0, kept.length - MOST))) await cache.delete(request);
}

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(clients.matchAll({ type: "window" }).then((open) => {
    const there = open.find((client) => new URL(client.url).pathname === event.notification.data);
    return there ? there.focus() : clients.openWindow(event.notification.data);
  }));
});
