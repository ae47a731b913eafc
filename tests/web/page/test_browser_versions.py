"""The page works with iOS 16.0 and Chrome 108: what is newer has a fallback that is named here."""

import pytest

from tests.help import browser_versions

OURS = set(
    "badge claimed entry last lines notification number opened permission reconnect session setStatus to token "
    "touched turn".split()
)
"""Names of our own that an interface of some newer browser has too."""
FALLBACKS = {
    "js trustedTypes createPolicy createHTML createScriptURL": "browser.js: without them the same functions are used",
    "js Notification Notification.permission Notification.requestPermission": "notifications.js asks for it",
    "js showNotification setAppBadge clearAppBadge": "notifications.js asks for each",
    "js Navigator.setAppBadge Navigator.clearAppBadge Navigator.connection": "as above and below",
    "js connection": "stream.js asks whether it exists; the events online and offline are everywhere",
    "js Document.wasDiscarded wasDiscarded": "a discarded tab is loaded again like after a reload",
    "js CSS.highlights Highlight highlights": "find.js asks for it; a hit is then only scrolled to",
    "selector highlight": "as above",
    "js PushManager pushManager getSubscription subscribe unsubscribe endpoint": "push.js asks for PushManager",
    "js getNotifications": "sw.js uses it after a push, which such a browser has",
    "event push pushsubscriptionchange": "an event that never comes; push.js asks for PushManager",
    "event freeze notificationclick": "an event that never comes: the page is frozen without a word, as before",
    "event beforematch": "line_kinds.js asks for it; then only the page's own search finds folded lines",
    "property content-visibility": "only for hidden=until-found, which line_kinds.js sets where beforematch is known",
    "value content-visibility: visible": "as above",
    "property field-sizing": "sending.js measures the field",
    "value field-sizing: content": "sending.js measures the field",
    "property scrollbar-width": "a scroll bar is shown",
    "value scrollbar-width: none": "a scroll bar is shown",
    "property text-size-adjust user-select": "-webkit-text-size-adjust and -webkit-user-select stand beside them",
    "property resize": "a phone's text field has no handle",
    "value resize: none": "a phone's text field has no handle",
    "value cursor: default": "a phone has no pointer",
    "value cursor: pointer": "a phone has no pointer",
}
"""By a kind and names: what happens without them."""


def allowed() -> set[str]:
    names = {f"js {name}" for name in OURS}
    for key in FALLBACKS:
        kind, _, rest = key.partition(" ")
        names |= {key} if kind == "value" else {f"{kind} {name}" for name in rest.split()}
    return names


def test_the_static_files_use_only_what_the_promised_browsers_have() -> None:
    table = browser_versions.table()
    too_new = {
        f"{name} (iOS {table[name][0]}, Chrome {table[name][1]}) in {', '.join(sorted(files))}"
        for name, files in browser_versions.used().items()
        if name in table and name not in allowed()
    }
    assert not too_new, "use something older, or write a fallback and name it here"


def test_every_fallback_is_still_used() -> None:
    assert allowed() - set(browser_versions.used()) == set()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("if (list.checkVisibility()) refresh();", "js checkVisibility"),
        ("const { promise } = Promise.withResolvers();", "js withResolvers"),
        ("signal: AbortSignal.any([one, other])", "js AbortSignal.any"),
        ("element?.moveBefore(line, null)", "js moveBefore"),
        ("new CloseWatcher()", "js CloseWatcher"),
        ('addEventListener("scrollend", update)', "event scrollend"),
    ],
)
def test_a_script_with_something_newer_is_found(source: str, name: str) -> None:
    assert name in browser_versions.used_by_script(source)
    assert name in browser_versions.table()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (".bar { field-sizing: content; }", "property field-sizing"),
        ("p { text-wrap: pretty; }", "value text-wrap: pretty"),
        ("p { color: color-mix(in srgb, red, blue); }", "type color-mix"),
        ("@starting-style { p { opacity: 0; } }", "at starting-style"),
        ("input:user-invalid { color: red; }", "selector user-invalid"),
    ],
)
def test_a_style_with_something_newer_is_found(source: str, name: str) -> None:
    assert name in browser_versions.used_by_style(source)
    assert name in browser_versions.table()


def test_a_comment_uses_nothing() -> None:
    assert browser_versions.used_by_script("// checkVisibility is new\n/* x.checkVisibility() */") == set()


def test_the_readme_names_the_oldest_versions() -> None:
    readme = (browser_versions.STATIC.parents[3] / "README.md").read_text(encoding="utf-8")
    ios, chrome = browser_versions.OLDEST.values()
    assert f"iOS {ios} " in readme
    assert f"Chrome {chrome:.0f} " in readme
