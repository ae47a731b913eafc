"""What every test of a fault ends with: the file against what was acknowledged and what each client received."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from breakglass import events, verify
from breakglass.events import Event
from tests.help.servers import Attached
from tests.help.waiting import wait_until


class Ack(NamedTuple):
    """Something a client was told is so: the event on that line, and its text where it has one."""

    line: int
    kind: str
    text: str = ""


class Count(NamedTuple):
    """What was wrong. All noughts, or a promise is broken."""

    lost: int = 0
    """Acknowledged, and not in the file; or in the file, and never received by a client that stayed."""
    doubled: int = 0
    """Ids that one client received twice."""
    gaps: int = 0
    """Ids that one client passed over."""

    def __add__(self, other: object) -> "Count":
        assert isinstance(other, Count)
        return Count(*(a + b for a, b in zip(self, other, strict=True)))


def validate(
    log: Path, acks: Iterable[Ack] = (), clients: Iterable[Attached] = (), *, strangers: bool = False
) -> list[Event]:
    """Fail unless the log keeps every rule and every promise, and return its events.

    `clients` are waited for: each must in the end have received exactly the file. With `strangers` the log
    holds lines that are not ours, which jq need not read.
    """
    data = log.read_bytes()
    lines = _lines(data)
    assert [finding for finding in verify.findings(lines) if not finding.is_note] == []
    whole = [line for line in lines if line.endswith(b"\n")]
    if not strangers:
        assert read_by_jq(data[: data.rfind(b"\n") + 1]) == [*range(1, len(whole) + 1)]
    decoded = [events.decode(line, number) for number, line in enumerate(whole, 1)]
    for client in clients:
        wait_until(lambda client=client: client.has(len(whole)), f"line {len(whole)} at a client")  # type: ignore[misc]
        client.leave()
    assert count(decoded, acks, [client.received for client in clients]) == Count()
    for client in clients:
        assert [*verify.differences(whole, client.received)] == []
    return decoded


def _lines(data: bytes) -> list[bytes]:
    """Return the lines, which end in a newline and in nothing else."""
    *whole, torn = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([torn] if torn else [])


def count(
    decoded: list[Event], acks: Iterable[Ack] = (), histories: Iterable[list[tuple[int, bytes]]] = ()
) -> Count:
    """Return how many acknowledged events are not in the log, and what the clients missed or got twice."""
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
    """Return the ids that jq reads."""
    done = subprocess.run(["jq", ".id"], input=data, capture_output=True, check=True)
    return [int(number) for number in done.stdout.split()]
