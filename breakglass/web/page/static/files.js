// Photos and files that go with a prompt. Loaded with the first file.
//
// A photo is made smaller here: the link may be weak, and a canvas drops the place where it was taken. The bytes are kept
// in the browser's database until the prompt has arrived, so a reload or a lost network loses none. A file is sent with
// its own idempotency key, so it arrives once.

import { $, make, prefix, stored } from "./browser.js";

const MAX_SIDE = 2000; // pixels: a model sees no more
const MAX_PNG = 1 << 20; // bytes; a larger screenshot becomes a JPEG
const MAX_BYTES = 20 << 20; // the server's limit
const MAX_FILES = 20; // the server's limit for one prompt
const SEND_TIMEOUT = 300_000; // ms

/** The files chosen for the prompt of one page. They are shown above the field until the prompt is sent. */
export class ChosenFiles {
  constructor(form, name, say) {
    Object.assign(this, { say, name: `files:${name}`, list: make("ul", { className: "chosen", ariaLabel: "Files to send" }), pending: Promise.resolve() });
    $(".prompt-row", form).before(this.list);
    this.show();
  }

  get files() { return stored.get(this.name) ?? []; }
  set files(files) { stored.set(this.name, files.length ? files : null); this.show(); }

  add(chosen) {
    for (const file of chosen) this.pending = this.pending.then(() => this.addOne(file));
  }

  async addOne(file) {
    const small = await shrunk(file);
    if (!small.size) return this.say(`Not added: ${file.name} is empty.`);
    if (small.size > MAX_BYTES) return this.say(`Not added: ${file.name} is larger than 20 MiB.`);
    if (this.files.length >= MAX_FILES) return this.say(`Not added: ${file.name}. One prompt takes ${MAX_FILES} files.`);
    const key = newKey();
    await database("readwrite", (store) => store.put({ blob: small }, key));
    this.files = [...this.files, { key, name: small.name, size: small.size }];
  }

  /** Resolves to the files of the prompt that is sent now. */
  async takeAll() {
    await this.pending;
    const { files } = this;
    this.files = [];
    return files;
  }

  show() {
    this.list.replaceChildren(...this.files.map((file) => make("li", {}, `${file.name} · ${Math.ceil(file.size / 1024)} KB `,
      make("button", { type: "button", ariaLabel: `Remove ${file.name}`, textContent: "✕", onclick: () => this.remove(file) }))));
  }

  remove(file) {
    this.files = this.files.filter((one) => one.key !== file.key);
    forget([file]);
  }
}

/** Sends the files of a prompt. Resolves to {status: 201, paths}, or to the answer that refused one. */
export async function sendFiles(session, files) {
  const paths = [];
  for (const { key, name } of files) {
    const kept = await database("readonly", (store) => store.get(key)).catch(() => null);
    if (!kept) return { status: 410, body: { detail: `${name} is not on this device any more. Discard this, and add it again.` } };
    const place = kept.storedAs ?? await sendOne(session, key, name, kept.blob);
    if (typeof place !== "string") return place;
    if (!kept.storedAs) await database("readwrite", (store) => store.put({ storedAs: place }, key)).catch(() => {});
    paths.push(place);
  }
  return { status: 201, paths };
}

async function sendOne(session, key, name, blob) {
  const body = new FormData();
  body.append("file", blob, name);
  try {
    const response = await fetch(`${prefix}/api/sessions/${session}/files`, {
      method: "POST", body, signal: AbortSignal.timeout(SEND_TIMEOUT),
      headers: { accept: "application/json", "x-csrf-token": globalThis.csrf(), "idempotency-key": key },
    });
    const answer = await response.json().catch(() => ({}));
    const { path } = answer;
    return response.status === 201 ? path : { status: response.status, body: answer };
  } catch {
    dispatchEvent(new Event("unanswered"));
    return { status: 0, body: {} };
  }
}

/** Deletes files whose prompt has arrived or was discarded. */
export const forget = (files) => database("readwrite", (store) => { for (const { key } of files) store.delete(key); }).catch(() => {});

const memory = new Map(); // used if the browser forbids its database; lasts as long as the page
const inMemory = {
  get: (key) => memory.get(key),
  put: (value, key) => void memory.set(key, value),
  delete: (key) => void memory.delete(key),
};

/** Resolves to the result of `work(store)` when it is kept. */
async function database(mode, work) {
  const opened = await new Promise((resolve) => {
    const request = indexedDB.open("breakglass", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("files");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
  }).catch(() => null);
  if (!opened) return work(inMemory);
  return new Promise((resolve, reject) => {
    const transaction = opened.transaction("files", mode);
    const request = work(transaction.objectStore("files"));
    transaction.oncomplete = () => { opened.close(); resolve(request?.result); };
    transaction.onerror = transaction.onabort = () => { opened.close(); reject(transaction.error); };
  });
}

/** Resolves to a smaller picture without the data of the camera, or to the file itself if it is no picture. */
async function shrunk(file) {
  if (!/^image\/(png|jpe?g|webp|heic|heif|avif|bmp)$/.test(file.type)) return file;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return file;
  const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = make("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  const context = canvas.getContext("2d");
  const blobOf = (type) => new Promise((resolve) => canvas.toBlob(resolve, type, 0.85));
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  let blob = file.type === "image/png" ? await blobOf("image/png") : null;
  if (!blob || blob.size > MAX_PNG) {
    context.globalCompositeOperation = "destination-over"; // a JPEG shows what is transparent as black
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    blob = await blobOf("image/jpeg");
  }
  const suffix = blob.type === "image/png" ? ".png" : ".jpg";
  return new File([blob], file.name.replace(/(\.\w{1,10})?$/, suffix), { type: blob.type });
}

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
