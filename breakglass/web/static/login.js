// The login address carries the token behind `#`, where no server and no log sees it.

const token = decoded(location.hash.slice(1));
history.replaceState(null, "", location.pathname + location.search);
if (token) {
  const form = document.getElementById("login");
  form.elements.token.value = token;
  form.requestSubmit();
}

/** A lone `%` is no code: such a token was not written by us, and stands for itself. */
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}
