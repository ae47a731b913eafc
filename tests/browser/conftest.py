"""One Chromium and one server for all browser tests. A test that kills its server has its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.server import ScriptedServer, scripted_server
from tests.browser.user import FEW_PROCESSES, FLAGS, User, executable

NewUser = Callable[..., User]


# Scoped to the package, not to the session: Playwright's event loop runs in this thread, and other tests have loops.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=[*FLAGS, *FEW_PROCESSES])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path_factory.mktemp("shared")) as started:
        yield started


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path) as started:
        yield started


@pytest.fixture
def new_user(chromium: Browser, server: ScriptedServer) -> Iterator[NewUser]:
    """A function that returns a new user of a server. Each user's browser is closed and checked at the end."""
    users: list[User] = []

    def create(of: ScriptedServer = server, **options: Any) -> User:
        users.append(User(chromium, of, **options))
        return users[-1]

    yield create
    for user in users:
        user.close()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that does not exist yet. The agent waits until the test creates it."""
    return tmp_path / "gate"
