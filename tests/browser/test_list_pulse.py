"""The list notices at once that its server has died: no timer is needed for it."""

import re
from datetime import UTC, datetime

from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import NETWORK


def test_the_badge_of_the_list_changes_without_a_timer_when_the_server_dies(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    user = new_user(own_server)
    user.expected = NETWORK
    page = user.page
    page.clock.install()
    page.goto("/")
    expect(user.badge).to_have_text("Live")
    page.clock.pause_at(datetime.fromtimestamp(page.evaluate("Date.now()") / 1000 + 1, UTC))
    assert sum(url.endswith("/alive") for url in user.requests) == 1
    own_server.kill()  # from here on no timer of the page runs
    expect(user.badge).to_have_text(re.compile("^Offline"))
    own_server.start()
    page.clock.resume()
    expect(user.badge).to_have_text("Live")
