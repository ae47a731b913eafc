"""The page of a hub acts on a host that lists the hub's key, and only shows the commands for another host."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.help.fleet import Fleet, add_session, start
from tests.help.questions import open_turn
from tests.help.servers import Server, serving
from tests.help.waiting import wait_until


class Hub:
    """A hub with a key of its own, its page, and the hosts db1, which lists that key, and db2, which does not."""

    def __init__(self, fleet: Fleet, server: Server) -> None:
        self.fleet = fleet
        self.server = server
        self.sessions = {name: add_session(host, f"on {name}").id for name, host in fleet.hosts.items()}

    def path(self, host: str) -> str:
        """Return the path of the page of the session of a host."""
        return f"/hosts/{host}/sessions/{self.sessions[host]}"

    def begin(self, host: str) -> str:
        """Make another session on a host, which the other methods then mean. Return its id."""
        self.sessions[host] = add_session(self.fleet.hosts[host], f"another on {host}").id
        return self.sessions[host]

    def page(self, host: str) -> str:
        """Return the page of the session of a host, once it is copied."""
        shown = {"Accept": "text/html"}
        wait_until(lambda: self.server.ask("GET", self.path(host), headers=shown)[0] == 200, "the copy")
        return str(self.server.ask("GET", self.path(host), headers=shown)[1].decode())

    def wait_for_page(self, host: str, text: str) -> str:
        """Return the page of the session of a host, once the copy has what makes it show a text."""
        return wait_until(lambda: page if text in (page := self.page(host)) else "", text)

    def log(self, host: str) -> list[dict[str, Any]]:
        """Return the events of the session, as the host has them."""
        return self.fleet.hosts[host].events(self.sessions[host])

    def post(self, to: str, /, **fields: str) -> tuple[int, str, str]:
        """Send the form, and return the status, the text and where it leads."""
        sent = {"host": to, "session": self.sessions[to], "key": "a" * 32, **fields}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        status, text, headers = self.server.ask("POST", "/orders", urlencode(sent).encode(), kind)
        return status, json.dumps(text) if isinstance(text, dict) else "", headers.get("location", "")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    key = fleet.folder / "page"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    listed = {"db1": f"hub {key.with_suffix('.pub').read_text()}", "db2": "# nobody\n"}
    for name, text in listed.items():
        root = fleet.enroll(name).root
        (root / "allowed_signers").write_text(text)
        (root / "breakglass.toml").write_text('[relay]\ncommands = "all"\n')
    (fleet.hub.root / "breakglass.toml").write_text(f'[relay]\npage_identity = "{key}"\n')
    fleet.engine.start()
    programs = [start(fleet.hub, "mirror")]
    wait_until((fleet.hub.root / "hosts" / "status.json").exists, "the mirror")
    programs += [start(host, "relay") for host in fleet.hosts.values()]
    wait_until(lambda: heard(fleet) == {"db1", "db2"}, "both hosts to be heard")
    with serving(fleet.hub.root) as server:
        yield Hub(fleet, server)
    for each in programs:
        each.kill()
        each.wait()
    fleet.engine.kill()


def heard(fleet: Fleet) -> set[str]:
    """Return the hosts that the hub has heard."""
    return {row["host"] for row in fleet.hub.json("hosts") if row["heard"]}


def test_the_page_acts_on_a_host_that_lists_its_key_and_says_what_that_means(hub: Hub) -> None:
    page = hub.page("db1")
    assert "Send to db1" in page
    assert "everyone who controls this hub can do there what db1 allows that key" in page
    key = re.findall(r'name="key" value="([0-9a-f]{32})"', page)[0]
    assert hub.post("db1", verb="send", prompt="echo from the page", key=key) == (
        303,
        "",
        f"{hub.path('db1')}#end",
    )
    assert hub.post("db1", verb="send", prompt="echo from the page", key=key)[0] == 303
    log = hub.fleet.hosts["db1"].log(hub.sessions["db1"])
    wait_until(lambda: b'"turn_end"' in log.read_bytes(), "the turn to end")
    assert log.read_bytes().count(b'"by":"signed:hub"') == 1, "the same form twice"


def test_the_page_shows_only_commands_for_a_host_that_does_not_list_the_key(hub: Hub) -> None:
    page = hub.page("db2")
    assert "Send to db2" not in page
    assert "breakglass --on db2 send" in page
    status, text, _ = hub.post("db2", verb="send", prompt="echo no")
    assert (status, "may not sign send.breakglass@db2 here" in text) == (409, True)
    assert b'"kind":"user"' not in hub.fleet.hosts["db2"].log(hub.sessions["db2"]).read_bytes()


@pytest.mark.parametrize(("verb", "allow"), [("allow", True), ("deny", False)])
def test_the_page_answers_the_question_of_a_host_that_lists_its_key(verb: str, allow: bool, hub: Hub) -> None:
    root, session = hub.fleet.hosts["db1"].root, hub.begin("db1")
    with open_turn(root, session, {"request": "r1"}, {"request": "r2"}):
        page = hub.wait_for_page("db1", 'value="r2"')
        assert "Allow on db1" in page
        assert "Deny on db1" in page
        key = re.findall(r'name="key" value="([0-9a-f]{32})"', page)[0]
        assert hub.post("db1", verb=verb, request="r2", key=key) == (303, "", f"{hub.path('db1')}#end")
        answers = [event for event in hub.log("db1") if event["kind"] == "answer"]
        assert [(each["request"], each["allow"], each["by"]) for each in answers] == [
            ("r2", allow, "signed:hub")
        ]


def test_the_page_stops_the_turn_of_a_host_that_lists_its_key(hub: Hub) -> None:
    hub.begin("db1")
    assert hub.page("db1").count("Stop on db1") == 0
    assert hub.post("db1", verb="send", prompt="echo begun; sleep 1000", key="c" * 32)[0] == 303
    hub.wait_for_page("db1", "Stop on db1")
    assert hub.post("db1", verb="cancel", key="d" * 32) == (303, "", f"{hub.path('db1')}#end")
    wait_until(lambda: any(event["kind"] == "turn_end" for event in hub.log("db1")), "the turn to end")
    ended = [event["status"] for event in hub.log("db1") if event["kind"] == "turn_end"]
    assert ended == ["cancelled"]
    assert [event["by"] for event in hub.log("db1") if event["kind"] == "cancelled"] == ["signed:hub"]


def test_the_page_shows_what_to_paste_to_answer_and_to_stop_on_a_host_that_does_not_list_the_key(
    hub: Hub,
) -> None:
    root, session = hub.fleet.hosts["db2"].root, hub.begin("db2")
    with open_turn(root, session, {"request": "r1"}):
        page = hub.wait_for_page("db2", f"breakglass --on db2 answer {session[:8]} allow\n")
        assert f"breakglass --on db2 cancel {session[:8]}\n" in page
        assert "Allow on db2" not in page
        assert "Stop on db2" not in page
        for fields in ({"verb": "allow", "request": "r1"}, {"verb": "cancel"}):
            status, text, _ = hub.post("db2", **fields)
            assert (status, "may not sign" in text) == (409, True)
        assert [event["kind"] for event in hub.log("db2")][-1] == "permission"


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"verb": "new"}, 422),
        ({"verb": "allow"}, 422),
        ({"verb": "send", "prompt": "x", "session": "../x"}, 422),
        ({"verb": "send", "prompt": "x", "key": "--help"}, 422),
        ({"verb": "send", "prompt": "x", "host": "../x"}, 422),
        ({"verb": "send", "prompt": " "}, 422),
        ({"verb": "cancel"}, 409),
    ],
)
def test_a_form_that_means_nothing_is_refused(wrong: dict[str, str], status: int, hub: Hub) -> None:
    assert hub.post("db1", **wrong)[0] == status


def test_a_view_only_login_gets_no_form_and_may_not_act(hub: Hub) -> None:
    view = {"Authorization": f"Bearer {hub.fleet.hub.ok('token', 'show', '--read-only').strip()}"}
    shown = hub.server.ask("GET", hub.path("db1"), headers={"Accept": "text/html", **view})[1].decode()
    assert "Send to db1" not in shown
    fields = {"host": "db1", "session": hub.sessions["db1"], "key": "b" * 32, "verb": "cancel"}
    kind = {"Content-Type": "application/x-www-form-urlencoded", **view}
    assert hub.server.ask("POST", "/orders", urlencode(fields).encode(), kind)[0] == 403
