// The login address carries the token after `#`, which browsers send to no server, so no log records it. If the window
// already shows the login page, only the part after `#` changes and no page is loaded. The listener handles that.

const form = document.getElementById("login");

function logInWithHash() {
  const token = decoded(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  if (!token) return;
  form.elements.token.value = token;
  form.requestSubmit();
}

/** A `%` without two hex digits makes decodeURIComponent throw. The text is then the token as it is. */
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

addEventListener("hashchange", logInWithHash);
logInWithHash();
