// What this browser remembers: drafts, unsent prompts, settings.

const memory = new Map(); // for browsers that forbid storage, or where it is full: lasts as long as the page

export const stored = {
  get(key) {
    if (memory.has(key)) return memory.get(key);
    try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
  },
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify(value));
      memory.delete(key);
    } catch {
      memory.set(key, value);
    }
  },
};
