// The login address carries the token behind `#`, where no server and no log sees it. In a window that shows the
// login already it changes nothing but that, and loads nothing.

const form = document.getElementById("login");

function enter() {
  const token = decoded(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  if (!token) return;
  form.elements.token.value = token;
  form.requestSubmit();
}

/** A lone `%` is no code: such a token was not written by us, and stands for itself. */
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

addEventListener("hashchange", enter);
enter();
