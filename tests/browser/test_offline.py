"""The page can be installed, and the last transcripts can be read without a network, marked as old."""

import json
import re

import pytest
from playwright.sync_api import expect

from breakglass.access.credentials import Access
from breakglass.events import Draft
from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import LOGGED_OUT, NETWORK, PHONE
from tests.help.servers import TOKEN

CACHED = """(async () => {
  const cache = await caches.open("pages");
  return (await cache.keys()).map((one) => new URL(one.url).pathname);
})()"""


def test_the_last_transcript_can_be_read_without_a_network(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    session = own_server.new_session(agent="shell", title="cached")
    own_server.prompt(session, "echo remember me")
    own_server.wait_for_end(session)
    user = new_user(own_server, service_workers="allow", **PHONE)
    user.expected = NETWORK + "|status of 503"
    page = user.open(session)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function("navigator.serviceWorker.controller")
    # The first page after the login is kept too, although the worker was not there yet.
    page.wait_for_function(f"({CACHED}).then((cached) => cached.includes('/sessions/{session}'))")
    own_server.kill()
    user.context.set_offline(True)
    page.reload()
    expect(page.locator(".output")).to_contain_text("remember me")
    expect(user.badge).to_have_text(re.compile("^Offline · as of"))
    page.goto(f"/sessions/{session}#e2")
    expect(user.line(2)).to_be_in_viewport()
    page.goto("/sessions/00000000-0000-4000-8000-000000000000")
    expect(page.locator("body")).to_contain_text("This page is not stored on this device.")
    font = "getComputedStyle(document.querySelector('h1')).fontSize"
    assert page.evaluate(font) == "20px", "the page has no style"
    own_server.start()
    user.context.set_offline(False)
    page.goto(f"/sessions/{session}")
    expect(user.badge).to_have_text("Live")


def end_logins(server: ScriptedServer) -> None:
    """End all logins, as `breakglass logins --revoke` does."""
    access = Access(server.data, token=TOKEN)
    for login in access.logins():
        access.revoke(login.id)


@pytest.mark.parametrize(
    "notices", ["the open page", pytest.param("the next navigation", marks=pytest.mark.torture)]
)
def test_a_login_that_was_revoked_leaves_no_transcript_on_the_device(
    own_server: ScriptedServer, new_user: NewUser, notices: str
) -> None:
    session = own_server.new_session(agent="shell")
    own_server.prompt(session, "echo remember me")
    own_server.wait_for_end(session)
    user = new_user(own_server, service_workers="allow")
    user.expected = LOGGED_OUT + "|status of (404|503)"
    page = user.open(session)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function("navigator.serviceWorker.controller")
    page.reload()
    page.wait_for_function(f"({CACHED}).then((cached) => cached.includes('/sessions/{session}'))")
    page.locator("#prompt").fill("a draft")
    if notices == "the open page":
        end_logins(own_server)
        expect(user.badge).to_have_text("Logged out")
    else:
        page.goto("/static/none")  # no script of ours runs
        end_logins(own_server)
        page.goto(f"/sessions/{session}")
        page.wait_for_url(re.compile("/login"))
    page.wait_for_function(f"({CACHED}).then((cached) => cached.length === 0)")
    assert page.evaluate(f"localStorage['draft:{session}']") == '"a draft"', "what the user wrote is kept"
    own_server.kill()
    user.context.set_offline(True)
    page.goto(f"/sessions/{session}")
    expect(page.locator("body")).to_contain_text("This page is not stored on this device.")
    expect(page.locator("body")).not_to_contain_text("remember me")


@pytest.mark.torture
def test_a_line_that_is_not_on_the_device_is_named(own_server: ScriptedServer, new_user: NewUser) -> None:
    titles: list[Draft] = [
        ("renamed", {"title": f"{number} " + "x" * 180, "by": "ann"}) for number in range(900)
    ]
    session = own_server.written(titles)
    user = new_user(own_server, service_workers="allow")
    user.expected = NETWORK + "|status of 503"
    page = user.open(session)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function(f"({CACHED}).then((cached) => cached.includes('/sessions/{session}'))")
    expect(user.line(20)).not_to_be_attached()
    page.goto(f"/sessions/{session}#e999")
    expect(page.locator("#notice")).to_have_text(
        "Not here: line 999. The log ends at line 901, as far as this page knows."
    )
    newest = own_server.appended(session, "notice", turn=1, text="just now")
    expect(user.line(newest)).to_be_attached()
    page.goto("about:blank")  # the page is kept as it is left
    own_server.kill()
    page.goto(f"/sessions/{session}#e20")
    expect(user.line(newest)).to_contain_text("just now")
    expect(page.locator("#notice")).to_contain_text("Not on this device: line 20.")


def test_logging_out_removes_all_data_from_the_device(own_server: ScriptedServer, new_user: NewUser) -> None:
    session = own_server.new_session(agent="shell", title="secret")
    user = new_user(own_server, service_workers="allow")
    page = user.open(session)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function("navigator.serviceWorker.controller")
    page.locator("#prompt").fill("a draft")
    page.reload()
    expect(user.badge).to_have_text("Live")
    page.locator(".menu > summary").click()
    page.locator("button", has_text="Log out").click()
    page.wait_for_url(re.compile("/login"))
    page.wait_for_function(f"({CACHED}).then((cached) => cached.length === 0)")
    assert page.evaluate("localStorage.length") == 0


@pytest.mark.torture
def test_the_page_can_be_installed(new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user(service_workers="allow")
    page = user.open()
    tools = user.context.new_cdp_session(page)
    found = tools.send("Page.getAppManifest")
    assert found["errors"] == []
    manifest = json.loads(found["data"])
    assert manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        answer = user.context.request.get(found["url"].rpartition("/")[0] + "/" + icon["src"])
        assert answer.ok
        assert answer.headers["content-type"].startswith(icon["type"])
    assert tools.send("Page.getInstallabilityErrors")["installabilityErrors"] in (
        [],
        [{"errorId": "in-incognito", "errorArguments": []}],  # Playwright's contexts are incognito
    )
