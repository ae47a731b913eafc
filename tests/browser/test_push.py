"""Notifications in a real browser: the dialog, and the service worker when a push arrives."""

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest
from playwright.sync_api import Browser, BrowserType, Page, expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer, scripted_server
from tests.browser.user import FLAGS, PHONE, User
from tests.help import push_services
from tests.help.push_services import PushService
from tests.help.waiting import wait_until

OWN_PUSH_SERVICE = """(subscription) => {
  const unsubscribe = async () => { localStorage.removeItem("fake"); return true; };
  const own = { endpoint: subscription.endpoint, toJSON: () => subscription, unsubscribe };
  const held = async () => (localStorage.getItem("fake") ? own : null);
  PushManager.prototype.getSubscription = held;
  PushManager.prototype.subscribe = async ({ applicationServerKey, userVisibleOnly }) => {
    if (applicationServerKey.length !== 65 || !userVisibleOnly) throw new TypeError("a wrong key");
    localStorage.setItem("fake", "1");
    return own;
  };
}"""
"""The browser's push service is the vendor's. This puts one on the loopback interface in its place."""
SHOWN = """navigator.serviceWorker.ready.then(async (worker) =>
  (await worker.getNotifications()).map(({ title, body, data, tag }) => ({ title, body, path: data, tag })))"""


@pytest.fixture(scope="module")
def service() -> Iterator[PushService]:
    with push_services.serve() as found:
        yield found


@pytest.fixture(scope="module")
def push_server(tmp_path_factory: pytest.TempPathFactory, service: PushService) -> Iterator[ScriptedServer]:
    folder = tmp_path_factory.mktemp("push")
    with scripted_server(folder, BREAKGLASS_PUSH_SERVICES=service.origin) as started:
        yield started


@pytest.fixture
def whole_chromium(chromium: Browser) -> Iterator[Browser]:
    """The headless shell of the other tests shows no notifications, so it allows none."""
    of: BrowserType = chromium.browser_type
    browser = of.launch(executable_path=which("chromium"), args=[*FLAGS])
    yield browser
    browser.close()


@pytest.fixture
def phone(whole_chromium: Browser, push_server: ScriptedServer, service: PushService) -> Iterator[User]:
    user = User(whole_chromium, push_server, service_workers="allow", **PHONE)
    user.context.grant_permissions(["notifications"], origin=push_server.address)
    user.context.add_init_script(f"({OWN_PUSH_SERVICE})({json.dumps(service.subscription())})")
    yield user
    user.close()


def open_dialog(page: Page) -> None:
    page.locator(".menu > summary").click()
    page.get_by_role("button", name="Notifications…").click()


def deliver(user: User, data: str) -> None:
    """Give the service worker a push, as the browser does after it has decrypted it."""
    tools = user.context.new_cdp_session(user.page)
    found: list[str] = []
    tools.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: found.extend(each["registrationId"] for each in event["registrations"]),
    )
    tools.send("ServiceWorker.enable")
    wait_until(lambda: bool(user.page.evaluate("1") and found), "the service worker")
    sent = {"origin": user.server.address, "registrationId": found[-1], "data": data}
    tools.send("ServiceWorker.deliverPushMessage", sent)
    tools.detach()


@pytest.mark.torture
def test_a_turn_that_fails_is_shown_by_the_service_worker_and_a_tap_turns_notifications_off(
    phone: User, push_server: ScriptedServer, service: PushService, tmp_path: Path
) -> None:
    page = phone.open()
    open_dialog(page)
    dialog = page.get_by_role("dialog", name="Notifications")
    expect(dialog).to_contain_text("Off on this device. It can be told, also while no page is open:")
    expect(dialog.get_by_role("listitem").first).to_have_text(
        "an agent's question waits for an answer, and once more after 5 minutes"
    )
    dialog.get_by_role("button", name="Turn on").click()
    expect(dialog).to_contain_text("On, also while no page is open.")
    expect(dialog).to_contain_text("It ends when you log out")

    session = push_server.new_session(agent="shell", title="Backups")
    push_server.prompt(session, "exit 3")
    wait_until(lambda: bool(service.received), "the push")
    sent = service.decrypted()
    deliver(phone, json.dumps(sent))
    page.wait_for_function(f"({SHOWN}).then((shown) => shown.length === 1)")
    assert page.evaluate(SHOWN) == [{**sent, "tag": f"/sessions/{session}"}]
    deliver(phone, "not JSON")  # something must be shown for every push
    page.wait_for_function(f"({SHOWN}).then((shown) => shown.some(({{ title }}) => title === 'Breakglass'))")

    dialog.get_by_role("button", name="Turn off").click()
    expect(dialog).to_contain_text("Off on this device.")
    assert (
        json.loads((push_server.data / "logins.jsonl").read_bytes().splitlines()[-1])["kind"]
        == "unsubscribed"
    )
    dialog.get_by_role("button", name="Only while a page is open").click()
    expect(dialog).to_contain_text("A closed page tells nothing.")
    dialog.get_by_role("button", name="Also while it is closed").click()
    expect(dialog).to_contain_text("On, also while no page is open.")


def test_a_browser_that_refuses_says_so_and_its_dialog_is_loaded_when_it_is_opened(
    new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user()
    page = user.open()  # the headless shell refuses
    assert "push.js" not in str(user.requests), "loaded before it is used"
    open_dialog(page)
    dialog = page.get_by_role("dialog", name="Notifications")
    expect(dialog).to_contain_text("Off: this browser blocks notifications from this address.")
    assert [each.inner_text() for each in dialog.get_by_role("button").all()] == ["Close"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(
            "delete globalThis.Notification; Object.defineProperty(navigator, 'userAgent', { value: 'iPhone' })",
            "On an iPhone or iPad, add this page to the Home Screen first",
            marks=pytest.mark.torture,
        ),
        pytest.param(
            "delete globalThis.Notification",
            "This browser cannot show notifications.",
            marks=pytest.mark.torture,
        ),
        (
            "Object.defineProperty(globalThis, 'isSecureContext', { value: false })",
            "browsers notify only at an https:// address or at localhost",
        ),
    ],
)
def test_a_browser_that_cannot_notify_is_told_why(change: str, text: str, new_user: NewUser) -> None:
    user = new_user()
    user.page.add_init_script(change)
    page = user.open()
    open_dialog(page)
    expect(page.get_by_role("dialog", name="Notifications")).to_contain_text(text)
