"""The copy of another host below `hosts/`: commands and pages read it and name its host, and nothing writes it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.errors import BadInput, NotFound
from breakglass.store import hosts, sessions
from breakglass.store import root as data_root
from tests.cli.program import Data
from tests.help.servers import TOKEN, Server, serving

REASON = "this data root is read-only: it is the copy of host db1"


def add_session(root: Path, text: str) -> str:
    """Make a session with a turn that runs elsewhere, and return its id."""
    session = sessions.create(root, "shell", title=text)
    with session.open_log() as log:
        log.append("user", text=text, by="ann")
    return session.id


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """A data root with a session of its own and the copy of one session of db1, as rsync writes it."""
    folder = tmp_path_factory.mktemp("hub")
    add_session(folder / "db1-var", "why is nginx down")
    data = Data(folder)
    data_root.prepare(data.root)
    data.new("--title", "own")
    copy = data.root / "hosts" / "db1" / "sessions"
    shutil.copytree(folder / "db1-var" / "sessions", copy)
    return data


@pytest.fixture(scope="module")
def server(hub: Data) -> Iterator[Server]:
    with serving(hub.root) as started:
        yield started


@pytest.fixture(scope="module")
def copied(hub: Data) -> str:
    (session,) = sessions.ids(hub.root / "hosts" / "db1")
    return session


def files_of(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../db1", "db1/../db1", "/etc", "-rf", "a b", "x" * 64, "dé", "a\n"]
)
def test_no_name_of_a_host_is_a_path(name: str, hub: Data) -> None:
    with pytest.raises(BadInput, match="host: expected"):
        hosts.root_of(hub.root, name)


@pytest.mark.parametrize("name", ["db1", "DB_1", "db-1.example.com", "1", "x" * 63])
def test_names_of_hosts_are_as_in_dns_with_underscores(name: str) -> None:
    assert hosts.check_name(name) == name


def test_a_link_is_no_copy(tmp_path: Path) -> None:
    (tmp_path / "own" / "sessions").mkdir(parents=True)
    (tmp_path / "hosts" / "b").mkdir(parents=True)
    (tmp_path / "hosts" / "a").symlink_to(tmp_path / "own")
    (tmp_path / "hosts" / "b" / "sessions").symlink_to(tmp_path / "own" / "sessions")
    assert [*hosts.names(tmp_path)] == []
    for name in ("a", "b", "c"):
        with pytest.raises(NotFound, match=f"no copy of host {name} in .*; it has no hosts"):
            hosts.root_of(tmp_path, name)


def test_a_root_of_a_writer_in_a_directory_named_hosts_stays_writable(tmp_path: Path) -> None:
    own = tmp_path / "hosts" / "db1"
    own.parent.mkdir()
    data_root.create(own)
    assert data_root.read_only_message(own) == ""
    (tmp_path / "sessions").mkdir()
    assert data_root.read_only_message(own) == REASON


def test_commands_read_a_copy_and_name_its_host(hub: Data, copied: str) -> None:
    (row,) = hub.run("ls", "--host", "db1", "--json").stdout.decode().splitlines()
    assert f'"host":"db1","id":"{copied}"' in row.replace('": ', '":').replace(", ", ",")
    listed = hub.run("ls", "--all-hosts")
    assert f"note: {REASON}; a turn shown as running may have ended" in listed.stderr.decode()
    own, other = [line.split() for line in listed.stdout.decode().splitlines()]
    assert "db1" in other
    assert "db1" not in own
    for words in (("attach", "--speed", "9"), ("log",)):
        shown = hub.run(*words, "--host", "db1")
        assert b"why is nginx down" in shown.stdout
        assert b"host db1: a copy, which can only be read" in shown.stderr
    assert hub.ok("grep", "nginx", "--host", "db1").startswith(f"db1/{copied[:8]}:2 ")
    assert '"host": "db1"' in hub.ok("grep", "nginx", "--host", "db1", "--json")
    assert hub.ok("stats", "--host", "db1").startswith("host db1: 1 session,")
    assert hub.json("--host", "db1", "stats")[0]["host"] == "db1"
    assert f"hosts/db1/sessions/{copied}/events.jsonl: ok, 2 lines" in hub.ok("verify", "--host", "db1")
    assert " on db1, agent shell" in hub.ok("export", copied[:4], "--md", "--host", "db1")
    assert "db1" in hub.ok("export", "--html", "--host", "db1")


def test_without_a_host_a_command_does_not_see_the_copies(hub: Data, copied: str) -> None:
    assert [row["id"] for row in hub.json("ls")] != [copied]
    assert hub.run("log", copied).returncode == 1
    assert hub.run("grep", "nginx").returncode == 1


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("ls", "--host", "../x"), 2, "host: expected"),
        (("ls", "--host", "db9"), 1, "there is no copy of host db9 in "),
        (("ls", "--host", "db1", "--all-hosts"), 2, "leave out --host"),
    ],
)
def test_a_bad_host_is_an_error(words: tuple[str, ...], status: int, message: str, hub: Data) -> None:
    done = hub.run(*words)
    assert (done.returncode, message in done.stderr.decode()) == (status, True), done


def test_nothing_writes_a_copy(hub: Data, copied: str) -> None:
    copy = hub.root / "hosts" / "db1"
    before = files_of(copy)
    for words in (
        ("new",),
        ("send", copied, "true"),
        ("cancel", copied),
        ("answer", copied, "allow"),
        ("rename", copied, "x"),
        ("archive", copied),
        ("rm", copied, "--yes"),
        ("prune", "--older-than", "12h"),
    ):
        done = hub.run(*words, "--data", str(copy))
        assert done.returncode == 1, done
        assert REASON in done.stderr.decode()
    assert files_of(copy) == before


def test_http_reads_a_copy_below_its_host_and_writes_are_403(server: Server, copied: str) -> None:
    copy = server.data / "hosts" / "db1"
    before = files_of(copy)
    below = "/hosts/db1/api/sessions"
    assert [row["id"] for row in server.ask("GET", below)[1]["sessions"]] == [copied]
    assert copied not in [row["id"] for row in server.ask("GET", "/api/sessions")[1]["sessions"]]
    assert server.ask("GET", f"/api/sessions/{copied}")[0] == 404
    raw = (copy / "sessions" / copied / "events.jsonl").read_bytes()
    assert server.ask("GET", f"{below}/{copied}/events")[1] == raw
    assert server.ask("GET", "/hosts/db1/api/search?q=nginx")[1]["hits"][0]["session"] == copied
    for method, path, body in (
        ("POST", "", {}),
        ("PATCH", f"/{copied}", {"title": "other"}),
        ("POST", f"/{copied}/turns", {"prompt": "true"}),
        ("POST", f"/{copied}/cancel", None),
        ("POST", f"/{copied}/answers", {"request": "r", "allow": True}),
        ("DELETE", f"/{copied}/queue/2", None),
    ):
        status, answer, _ = server.ask(method, below + path, body)
        assert (status, answer["detail"]) == (403, REASON), (method, path)
    assert files_of(copy) == before


def test_the_page_of_a_copied_session_shows_the_commands_that_act_on_its_host(
    server: Server, copied: str
) -> None:
    page = server.ask("GET", f"/hosts/db1/sessions/{copied}")[1].decode()
    assert f'breakglass --on db1 send {copied[:8]} "…"</pre>' in page
    own = server.ask("POST", "/api/sessions", {"agent": "shell"})[1]["id"]
    assert b"breakglass --on" not in server.ask("GET", f"/sessions/{own}")[1]


def test_the_page_of_a_copy_names_its_host_and_stays_below_it(server: Server, copied: str) -> None:
    for path in ("/hosts/db1/", f"/hosts/db1/sessions/{copied}"):
        page = server.ask("GET", path)[1].decode()
        assert "<h1>db1</h1>" in page or '<p class="host">db1<' in page
        assert f'href="/hosts/db1/sessions/{copied}#end"' in page
        assert 'data-prefix="/hosts/db1"' in page
        assert "It is the copy of host db1" in page or "it is the copy of host db1" in page
        assert 'href="/static/' in page
        assert 'action="/logout"' in page
        assert "Vital signs" not in page
    assert b"nginx" in server.ask("GET", "/hosts/db1/search?q=nginx")[1]


@pytest.mark.parametrize(
    "path",
    [
        "/hosts/db9/",
        "/hosts/db9/api/sessions",
        "/hosts/db1/api/vitals",
        "/hosts/db1/health",
        "/hosts/db1/login",
        "/hosts/db1/metrics",
        "/hosts/db1/static/0/app.css",
        "/hosts/-x/",
    ],
)
def test_nothing_of_this_machine_is_below_the_name_of_a_host(path: str, server: Server) -> None:
    assert server.ask("GET", path)[0] == 404
    anonymous = {"Authorization": "", "Accept": "text/html"}
    assert server.ask("GET", path, headers=anonymous)[0] in (303, 401)


def test_a_client_attaches_to_a_copy_that_grows(server: Server, copied: str) -> None:
    log = server.data / "hosts" / "db1" / "sessions" / copied / "events.jsonl"
    connection = server.connection()
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
    connection.request("GET", f"/hosts/db1/api/sessions/{copied}/events?after=2", headers=headers)
    response = connection.getresponse()
    with log.open("ab") as file:
        file.write(b'{"id":3,"ts":"2026-11-29T00:00:00.000Z","kind":"text","turn":2,"text":"grown"}\n')
    while b"grown" not in response.readline():
        pass
    connection.close()
