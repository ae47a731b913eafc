"""The server behind each proxy of docs/deploy.md, at the root of a host and below a path, as configured there.

`make test` runs nginx, `make torture` all of them.
"""

import re
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from breakglass.access.login_codes import make_code
from breakglass.uploads import MAX_BYTES
from tests.help.proxies import Proxied, proxied
from tests.help.servers import TOKEN

TOKEN_FIELD = ("-H", f"Authorization: Bearer {TOKEN}")
PLACES = [
    pytest.param((name, prefixed), id=f"{name}-{'below a path' if prefixed else 'root'}", marks=marks)
    for name in ("nginx", "caddy", "apache", "haproxy")
    for prefixed in (False, True)
    for marks in ([] if (name, prefixed) == ("nginx", False) else [pytest.mark.torture],)
]


@pytest.fixture(scope="module", params=PLACES)
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    name, prefixed = request.param
    with proxied(tmp_path_factory.mktemp(name), name, prefixed=prefixed) as made:
        yield made


def status(answer: str) -> int:
    """Return the status of the last answer that curl printed."""
    return int(re.findall(r"^HTTP/\S+ (\d+)", answer, re.MULTILINE)[-1])


def rename(proxy: Proxied, session: str, title: str) -> None:
    """Append one event to a session, without the proxy."""
    assert proxy.server.ask("PATCH", f"{proxy.prefix}/api/sessions/{session}", {"title": title})[0] == 200


def test_behind_a_proxy_these_paths_have_the_same_status_as_without_it(proxy: Proxied) -> None:
    assert [status(proxy.ask(path)) for path in ("/health", "/login", "/", "/api/sessions")] == [
        200,
        200,
        303,
        401,
    ]
    assert status(proxy.ask("/api/sessions", *TOKEN_FIELD)) == 200
    assert "<form" in proxy.ask("/login")
    assert "<form" not in proxy.ask("/login", "-H", "Host: evil.example")  # 421, or the proxy's own answer


def test_behind_a_proxy_the_largest_file_is_taken(proxy: Proxied) -> None:
    session = proxy.send_json("/api/sessions", "{}", *TOKEN_FIELD)["id"]
    file = proxy.head.with_name("largest")
    file.write_bytes(b"x" * MAX_BYTES)
    answer = proxy.ask(f"/api/sessions/{session}/files", *TOKEN_FIELD, "-F", f"file=@{file}")
    assert status(answer) == 201, answer[-500:]


def test_behind_a_proxy_a_login_code_opens_a_login(proxy: Proxied) -> None:
    jar = proxy.head.with_name("cookies")
    form = proxy.ask("/login", "-b", str(jar), "-c", str(jar))
    csrf = re.search(r'name="csrf" value="([^"]*)"', form)
    assert csrf
    fields = (
        "--data-urlencode",
        f"csrf={csrf[1]}",
        "-d",
        f"code={make_code(proxy.server.data)}",
        "-d",
        "token=",
    )
    origin = proxy.at.removesuffix(proxy.prefix)
    answer = proxy.ask("/login", "-b", str(jar), "-c", str(jar), "-H", f"Origin: {origin}", *fields)
    assert status(answer) == 303
    assert re.search(rf"^location: {proxy.prefix}/\r?$", answer, re.MULTILINE | re.IGNORECASE)
    assert status(proxy.ask("/", "-b", str(jar))) == 200
    assert status(proxy.ask("/", "-b", str(jar), "-H", "Origin: https://evil.example")) == 403


def test_behind_a_proxy_an_event_arrives_before_the_next_one_is_written(proxy: Proxied) -> None:
    session = proxy.send_json("/api/sessions", "{}", *TOKEN_FIELD)["id"]
    with proxy.following(session) as events:
        for number in range(1, 6):
            assert next(events)["id"] == number
            rename(proxy, session, f"title {number}")


def test_behind_a_proxy_a_client_cannot_choose_the_address_for_which_its_wrong_tokens_count(
    proxy: Proxied,
) -> None:
    wrong = ("-H", "Authorization: Bearer wrong")
    forged = [("-H", f"X-Forwarded-For: 203.0.113.{number}") for number in range(11)]
    statuses = [status(proxy.ask("/api/sessions", *wrong, *each)) for each in forged]
    assert statuses == [*[401] * 10, 429]


def delays(proxy: Proxied, version: str) -> list[float]:
    """Return the milliseconds from the time of an event to its arrival at a client of the proxy, for 12 live events."""
    session = proxy.send_json("/api/sessions", "{}", *TOKEN_FIELD)["id"]
    found: list[float] = []
    with proxy.following(session, version) as events:
        next(events)
        prompt = '{"prompt": "sleep 0.3; for i in $(seq 12); do echo $i; sleep 0.3; done"}'
        proxy.send_json(f"/api/sessions/{session}/turns", prompt, *TOKEN_FIELD)
        while len(found) < 12:
            if (event := next(events))["kind"] == "tool_result":
                found.append(1000 * (time.time() - datetime.fromisoformat(event["ts"]).timestamp()))
    print(f"median {statistics.median(found):.1f} ms, most {max(found):.1f} ms")
    return found


@pytest.mark.torture
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_behind_a_proxy_an_event_arrives_within_50_ms(proxy: Proxied, version: str) -> None:
    assert statistics.median(delays(proxy, version)) < 50


@pytest.mark.torture
@pytest.mark.parametrize("left_out", ["", "    option http-no-delay\n"], ids=["with", "without"])
def test_haproxy_without_tls_holds_events_back_unless_its_option_says_no_delay(
    tmp_path: Path, left_out: str
) -> None:
    tls = " ssl crt /etc/ssl/ops.pem alpn h2,http/1.1"
    with proxied(tmp_path, "haproxy", without=(tls, left_out)) as made:
        made.at = made.at.replace("https:", "http:")
        assert (statistics.median(delays(made, "--http1.1")) > 100) == bool(left_out)
