// The page that lists the sessions and starts a new one.

import { connectPromptField } from "./actions.js";
import { $ } from "./elements.js";
import { Outbox, toNewSession } from "./outbox.js";
import { SessionList } from "./session_list.js";
import { hhmm } from "./text.js";

export function startListPage() {
  const badge = $("#badge"), form = $("#box");
  let heard = new Date(document.body.dataset.now);
  const refreshed = (ok) => {
    if (ok) heard = new Date();
    badge.dataset.state = ok ? "live" : "offline";
    badge.textContent = ok ? "Live" : `Offline · as of ${hhmm(heard)}`;
  };
  new SessionList($("#sessions"), { refreshed }).refresh();
  const outbox = new Outbox({ name: "new", list: $("#outbox"), send: toNewSession });
  const field = connectPromptField(form, "new", (prompt, preset) => {
    const { agent, model } = form.elements;
    outbox.add({ prompt, agent: preset?.dataset.agent || agent.value, model: model.value.trim() });
  });
  if (location.hash === "#prompt") field.focus();
}
