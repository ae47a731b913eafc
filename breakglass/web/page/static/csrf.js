// The CSRF token of this browser's login. The login page chose it (login.js) and keeps it in the storage, which belongs to
// one origin. Cookies do not: every port of this host gets them. After a login without scripts, the server puts a token
// into each form.
//
// No module: a module runs after the page was shown, and a form may be sent before.

/** Returns the token, "" if there is none. */
globalThis.csrf = () => {
  try { return JSON.parse(localStorage.csrf); } catch { return ""; }
};

addEventListener("formdata", ({ formData }) => {
  if (formData.get("csrf") === "") formData.set("csrf", globalThis.csrf());
});
