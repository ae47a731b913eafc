// What the user does on a page: write a prompt, answer a question, withdraw a queued prompt, stop a turn.

import { $, $$, root } from "./elements.js";
import { callAPI, timeout, unreachable } from "./server.js";
import { stored } from "./storage.js";

/**
 * The field for a prompt. Its draft survives a reload, its height follows the text, Ctrl or Cmd with Enter sends.
 * `submit(prompt, preset)` sends the prompt; `preset` is the button of a preset prompt, or null.
 */
export function connectPromptField(form, name, submit) {
  const field = $("textarea", form), draft = `draft:${name}`;
  if (!field.value) field.value = stored.get(draft) ?? "";
  const changed = () => {
    stored.set(draft, field.value || null);
    if (!CSS.supports("field-sizing", "content")) {
      field.style.height = "auto";
      field.style.height = `${field.scrollHeight + 2}px`;
    }
    form.dispatchEvent(new Event("changed"));
  };
  field.addEventListener("input", changed);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit($(".send", form));
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const preset = event.submitter?.name === "preset" ? event.submitter : null;
    const prompt = preset ? preset.dataset.text : field.value;
    if (!prompt.trim()) return void field.focus();
    if (!preset) field.value = "";
    submit(prompt, preset);
    changed();
  });
  changed();
  return field;
}

/** The buttons of a question. The question closes when the log has its answer, not when the answer was sent. */
export function connectAnswers(form, session, say) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { name, value } = event.submitter;
    const buttons = $$("button", event.submitter.closest(".card"));
    for (const button of buttons) button.disabled = true;
    say(name === "refuse" ? "Refusing…" : "Allowing…");
    const body = { request: value, allow: name !== "refuse", ...(name === "allow_session" && { for_session: true }) };
    const answer = await callAPI("POST", `/api/sessions/${session}/answers`, body);
    if (answer.status === 202) return say("");
    for (const button of buttons) button.disabled = false;
    say(`Not answered: ${failure(answer)}`);
  });
}

/** Withdrawing a queued prompt puts its text back into the field, below what the user has written there. */
export function connectWithdraw(form, session, field, say) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const line = event.submitter.value;
    const prompt = await fetchPrompt(session, line).catch(() => null);
    if (prompt === null) return say("Not withdrawn: its text cannot be loaded now.");
    const { status, body } = await callAPI("DELETE", `/api/sessions/${session}/queue/${line}`);
    if (status !== 200) return say(`Not withdrawn: ${status === 0 ? `${unreachable()[0]}.` : body.detail ?? status}`);
    say(field.value ? "Withdrawn. The prompt is below your draft." : "");
    field.value = field.value ? `${field.value}\n\n${prompt}` : prompt;
    field.dispatchEvent(new Event("input"));
  });
}

/**
 * Returns the prompt of a line of the log. The page cannot give it: it folds long text and marks hidden characters.
 * Reads no further than that line.
 */
async function fetchPrompt(session, line) {
  const url = `${root}/api/sessions/${session}/events?after=${line - 1}`;
  const response = await fetch(url, { signal: timeout() });
  if (!response.ok) throw new Error(response.statusText);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let read = "", part = {};
  while (!part.done && !read.includes("\n")) {
    part = await reader.read();
    read += part.value ?? "";
  }
  reader.cancel();
  return JSON.parse(read.split("\n", 1)[0]).text;
}

/** Stop is one tap. The page shows that the turn has stopped when the log says so. */
export function connectStop(form, session, say) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter;
    button.disabled = true;
    say("Stopping…");
    const answer = await callAPI("POST", `/api/sessions/${session}/cancel`, {});
    button.disabled = false;
    if (answer.status !== 200) say(`Not stopped: ${failure(answer)}`);
    else say(answer.body.cancelled ? "" : "No turn was running.");
  });
}

/** Returns why a tap had no effect. */
function failure({ status, body }) {
  const [cause, whatIs] = unreachable();
  if (status === 0) return `${cause}. Tap again when ${whatIs} back.`;
  return body.detail ?? `the server answered ${status}`;
}
