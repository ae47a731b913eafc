"""The vital signs over HTTP and on the pages, also while a probe hangs."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.help.servers import Server, serving
from tests.help.waiting import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("vitals")
    (folder / "systemctl").write_text("#!/bin/sh\nexec sleep 1000\n")
    (folder / "systemctl").chmod(0o755)
    with serving(folder / "var", PATH=f"{folder}:{os.environ['PATH']}") as started:
        yield started


def test_a_probe_that_hangs_is_unknown_and_a_page_does_not_wait_for_it(server: Server) -> None:
    began = time.monotonic()
    status, page, _ = server.ask("GET", "/")
    assert (status, time.monotonic() - began < 1.5) == (200, True)
    assert b'<ul class="vitals"' in page
    status, found, _ = server.ask("GET", "/api/vitals")
    assert (status, found["signs"]["failed_units"]["status"]) == (200, "unknown")
    assert found["signs"]["failed_units"]["text"] == "unknown: no answer within 2 s"
    assert found["signs"]["agent_shell"] == {
        "label": "shell",
        "status": "ok",
        "text": "ready",
        "value": None,
    }
    assert found["status"] in ("unknown", "warn", "bad")
    session = server.new_session()
    for path in ("/", f"/sessions/{session}"):
        text = server.ask("GET", path)[1].decode()
        assert '<li class="unknown"><i>?</i>' in text
        assert "Failed units <b>unknown: no answer within 2 s</b>" in text


def test_a_page_shows_the_red_checks_of_doctor_and_no_others(tmp_path: Path) -> None:
    unit = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nKillMode=control-group\n"
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\n[ $1 = list-units ] || printf '{unit}'\n")
    (tmp_path / "systemctl").chmod(0o755)
    with serving(tmp_path / "var", PATH=f"{tmp_path}:{os.environ['PATH']}") as server:
        signs = server.ask("GET", "/api/vitals")[1]["signs"]
        shown = b"kills every running turn (KillMode=control-group)"
        wait_until(lambda: shown in server.ask("GET", "/")[1], "a page that did not wait for slow signs")
    assert signs["kill_mode"]["status"] == "bad"
    assert "service" not in signs
