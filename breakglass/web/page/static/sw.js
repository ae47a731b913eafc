// The service worker: caches the scripts and styles, and the last transcripts for reading without a network.
//
// The address of the static files changes with their content, so a cached one is never stale. Pages are always requested
// from the server first. A cached page is shown only if no answer comes, and its badge says so.

const root = new URL(location.href).searchParams.get("static");
const base = root.replace(/\/static\/.*/, ""); // the path under which a proxy publishes this server
const STATIC_CACHE = `static${root}`;
const FILES = [
  "app.css", "app.js", "browser.js", "clipboard.js", "controls.js", "csrf.js", "files.js", "icon.svg", "jumps.js", "keys.js", "line_kinds.js",
  "manifest.webmanifest", "notifications.js", "paging.js", "push.js", "sending.js", "session_list.js",
  "session_page.js", "stream.js", "text.js", "tool_calls.js", "transcript.js",
  "whole_question.js",
];
const OFFLINE = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Offline</title><link rel="stylesheet" href="${root}/app.css"><body class="single"><main><h1>Offline</h1>
<p>This page is not stored on this device. Work on the server continues.</p>
<p><a href="">Try again</a></p><p><a href="${base}/">All sessions</a></p></main>`;
const MAX_PAGES = 20; // pages in the cache
const TIMEOUT = 8000; // ms to wait for the network if the cache has the page

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(caches.open(STATIC_CACHE).then((cache) => cache.addAll(FILES.map((name) => `${root}/${name}`))));
});

addEventListener("activate", (event) => {
  event.waitUntil(Promise.all([clients.claim(), caches.keys().then((names) => Promise.all(
    names.filter((name) => name !== STATIC_CACHE && name !== "pages").map((name) => caches.delete(name))))]));
});

addEventListener("fetch", (event) => {
  const { request } = event, url = new URL(request.url);
  if (url.origin !== location.origin || request.method !== "GET") return;
  if (url.pathname.startsWith(`${root}/`)) event.respondWith(staticFile(request));
  else if (request.mode === "navigate" && !/[?&](file|path|picture)=/.test(url.search)) event.respondWith(page(request, url));
});

async function staticFile(request) {
  return (await caches.match(request)) ?? fetch(request);
}

async function page(request, url) {
  const cache = await caches.open("pages");
  const cached = await cache.match(url.pathname);
  try {
    const response = await fetch(request, cached && { signal: AbortSignal.timeout(TIMEOUT) });
    // A navigation follows no redirect here, so the redirect to the login is opaque. No other page redirects.
    if (response.type === "opaqueredirect" || response.status === 401) await caches.delete("pages");
    else if (response.ok && !url.search && /^\/(sessions\/[^/]+)?$/.test(url.pathname.slice(base.length))) {
      await store(cache, url.pathname, response.clone());
    }
    return response;
  } catch {
    return cached ?? new Response(OFFLINE, { status: 503, headers: { "content-type": "text/html; charset=utf-8" } });
  }
}

async function store(cache, path, response) {
  await cache.put(path, response);
  const requests = await cache.keys();
  for (const request of requests.slice(0, Math.max(0, requests.length - MAX_PAGES))) await cache.delete(request);
}

// The server sends {title, body, path}, encrypted for this browser. Every push must show something.
addEventListener("push", (event) => {
  let sent = {};
  try { sent = event.data.json() ?? {}; } catch { /* not from our server: the notification says nothing of it */ }
  event.waitUntil(show(sent));
});

async function show({ title = "Breakglass", body = "Open the page to see what happened.", path = `${base}/` }) {
  navigator.setAppBadge?.().catch(() => {});
  const shown = await registration.getNotifications({ tag: path });
  // The open page tells the same at the same time: one sound is enough.
  const renotify = !shown.some((each) => Date.now() - each.timestamp < 10_000);
  await registration.showNotification(title, { body, tag: path, renotify, data: path, icon: `${root}/icon-180.png` });
}

// The browser has ended the subscription. The page renews it, because only the page can act for the login.
addEventListener("pushsubscriptionchange", (event) => event.waitUntil(show({ body: "Notifications have ended. Open the page once, and they go on." })));

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(clients.matchAll({ type: "window", includeUncontrolled: true }).then((open) => {
    const shown = open.find((client) => new URL(client.url).pathname === event.notification.data);
    return shown ? shown.focus() : clients.openWindow(event.notification.data);
  }));
});
