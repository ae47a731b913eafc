"""The check at the end of every fault test: the log against the acknowledgements and what each client received."""

import subprocess
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from breakglass import events, verify
from breakglass.events import Event
from breakglass.verify.finding import Finding
from tests.help.servers import Attached
from tests.help.waiting import wait_until


class Ack(NamedTuple):
    """An event that the server acknowledged to a client: its line, its kind, and its text if a test compares it."""

    line: int
    kind: str
    text: str = ""


class Count(NamedTuple):
    """The number of errors of each type. Each must be 0."""

    lost: int = 0
    """Events that were acknowledged but are not in the log, or that are in the log but did not reach a client."""
    doubled: int = 0
    """Ids that one client received twice."""
    gaps: int = 0
    """Ids that one client did not receive, although it received a later one."""

    def __add__(self, other: object) -> "Count":
        assert isinstance(other, Count)
        return Count(*(a + b for a, b in zip(self, other, strict=True)))


def validate(
    log: Path, acks: Iterable[Ack] = (), clients: Iterable[Attached] = (), *, foreign: bool = False
) -> list[Event]:
    """Return the events of a log. Fail if the log breaks a rule, or if an acknowledged event or a client misses one.

    Each of `clients` must receive exactly the log; this waits for the last line. With `foreign`, the log contains
    foreign lines, which jq need not read.
    """
    data = log.read_bytes()
    lines = _lines(data)
    assert [finding for finding in verify.findings(lines) if not finding.is_note] == []
    whole = [line for line in lines if line.endswith(b"\n")]
    if not foreign:
        assert read_by_jq(data[: data.rfind(b"\n") + 1]) == [*range(1, len(whole) + 1)]
    decoded = [events.decode(line, number) for number, line in enumerate(whole, 1)]
    for client in clients:
        wait_until(partial(client.has, len(whole)), f"line {len(whole)} at a client")
        client.disconnect()
    assert count(decoded, acks, [client.received for client in clients]) == Count()
    for client in clients:
        assert [*differences(whole, client.received)] == []
    return decoded


def differences(
    lines: Iterable[bytes], received: Iterable[tuple[int, bytes]], after: int = 0
) -> Iterator[Finding]:
    """Yield where the events that one client received differ from the log. Stops at the first wrong id.

    An id may be repeated, left out or out of order, and the data may differ. `received` are the pairs of id and data
    after line `after`, in the order of arrival. It may end before the log does.
    """
    expected = after
    log = enumerate(lines, 1)
    for number, data in received:
        expected += 1
        if number != expected:
            yield Finding(number, f"received where {expected} was expected")
            return
        line = next((line for at, line in log if at == number), None)
        if line is None:
            yield Finding(number, "received, but the log has no such line")
            return
        sent = (
            line[:-1] if events.is_ours(line, number) else events.dumps(events.foreign(line, number)).encode()
        )
        if data != sent:
            yield Finding(number, f"received as {data[:60]!r}, the log has {sent[:60]!r}")


def _lines(data: bytes) -> list[bytes]:
    """Return the lines. Only a newline ends a line, unlike in `splitlines`."""
    *whole, torn = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([torn] if torn else [])


def count(
    decoded: list[Event], acks: Iterable[Ack] = (), histories: Iterable[list[tuple[int, bytes]]] = ()
) -> Count:
    """Count the acknowledged events that are not in the log, and the events that clients missed or received twice."""
    lost = sum(not _is_kept(decoded, ack) for ack in acks)
    doubled = gaps = 0
    for received in histories:
        ids = [number for number, _ in received]
        doubled += len(ids) - len({*ids})
        gaps += max(ids, default=0) - len({*ids})
        lost += len(decoded) - max(ids, default=0)
    return Count(lost, doubled, gaps)


def _is_kept(decoded: list[Event], ack: Ack) -> bool:
    if not 0 < ack.line <= len(decoded):
        return False
    event = decoded[ack.line - 1]
    return event["kind"] == ack.kind and (not ack.text or event.get("text") == ack.text)


def read_by_jq(data: bytes) -> list[int]:
    """Return the ids that jq reads from a log."""
    done = subprocess.run(["jq", ".id"], input=data, capture_output=True, check=True)
    return [int(number) for number in done.stdout.split()]
