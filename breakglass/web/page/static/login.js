// The login address carries a one-time code after `#`, which browsers send to no server, so no log records it. If the window
// already shows the login page, only the part after `#` changes and no page is loaded. The listener handles that.

const form = document.getElementById("login");

// The login's CSRF token is a second secret beside the cookie (see csrf.js). A stored one is used again, so that a wrong
// token here does not invalidate the login of another window. Without storage, the login has none.
form.addEventListener("formdata", ({ formData }) => {
  try {
    const random = crypto.getRandomValues(new Uint8Array(32));
    localStorage.csrf ??= JSON.stringify([...random].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
    formData.set("own_csrf", JSON.parse(localStorage.csrf));
  } catch { /* no storage */ }
});

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
