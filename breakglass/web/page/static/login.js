// The login address carries a one-time code after `#`, which browsers send to no server, so no log records it. If the window
// already shows the login page, only the part after `#` changes and no page is loaded. The listener handles that.

const form = document.getElementById("login");

function logInWithHash() {
  const code = location.hash.match(/^#code=(.+)/)?.[1];
  history.replaceState(null, "", location.pathname + location.search);
  if (!code) return;
  form.elements.code.value = code;
  form.elements.token.value = ""; // the browser may have filled it in
  form.elements.token.required = false;
  form.requestSubmit();
}

addEventListener("hashchange", logInWithHash);
logInWithHash();
