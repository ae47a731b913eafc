"""`GET /metrics` for Prometheus: numbers about sessions, turns, the data root and this process.

How this works
--------------
Everything about sessions comes from their states, and so from the logs. A restart loses nothing, and each worker gives
the same numbers. Only `attached_clients` is of the process that answers. Nothing is counted between two requests.

The labels are bounded: the configured agents, `action` and `other`; the statuses of turns and `other`. So ten thousand
sessions, or a log that someone edited, make no more series than one session.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from quart import Blueprint, Response, request

from breakglass import __version__
from breakglass.config import Config
from breakglass.errors import NotFound
from breakglass.state import SessionState
from breakglass.store import log, root, sessions
from breakglass.tally import DURATIONS, END_STATUSES
from breakglass.vitals import ORDER, Vitals
from breakglass.web.context import console

if TYPE_CHECKING:  # at run time, the import delays the start of a server without metrics
    from prometheus_client.core import Metric

metrics = Blueprint("metrics", __name__)
PATIENCE_SECONDS = 0.5
"""How long an answer waits for the vital signs, and for the disk."""
STATUSES = ("new", "asking", "running", *END_STATUSES, "degraded", "other")
"""The values of the label `status` of sessions."""


class Observed(NamedTuple):
    """What the metrics are computed from."""

    states: tuple[SessionState, ...]
    now: str
    """RFC 3339, UTC."""
    agents: tuple[str, ...]
    """The configured agents."""
    clients: int
    """The clients that are attached to this process."""
    free_bytes: int
    free_inodes: int
    is_read_only: bool
    write_seconds: tuple[float, float] | None
    """How long a write to the disk of the data root took, and its sync. None if that was not measured."""
    vitals: Vitals | None


@metrics.get("/metrics")
async def read_metrics() -> Response:
    """The metrics in the format that the client accepts: that of Prometheus, or OpenMetrics."""
    config = console().config
    if not config.metrics:
        raise NotFound("there are no metrics here: set metrics = true, or BREAKGLASS_METRICS=true")
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    write_seconds = await console().write_seconds(PATIENCE_SECONDS)
    vitals = await console().vitals(PATIENCE_SECONDS)
    found = await asyncio.to_thread(observe, config, console().followers.count, write_seconds, vitals)
    registry = CollectorRegistry()
    registry.register(_Collector(found))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(await asyncio.to_thread(encode, registry), content_type=content_type)


def observe(
    config: Config, clients: int, write_seconds: tuple[float, float] | None, vitals: Vitals | None
) -> Observed:
    """Read the sessions and the disk. Blocks: with many sessions it takes a part of a second."""
    at = os.statvfs(config.data)
    return Observed(
        states=tuple(state for _, state in sessions.list_sessions(config.data)),
        now=log.now(),
        agents=tuple(config.agents),
        clients=clients,
        free_bytes=at.f_bavail * at.f_frsize,
        free_inodes=at.f_favail,
        is_read_only=bool(root.read_only_message(config.data)),
        write_seconds=write_seconds,
        vitals=vitals,
    )


class _Collector:
    """A collector of prometheus_client that gives the metrics of one moment."""

    def __init__(self, found: Observed) -> None:
        self._found = found

    def collect(self) -> Iterator["Metric"]:
        """Yield every metric."""
        yield from families(self._found)


def families(found: Observed) -> Iterator["Metric"]:
    """Yield the metrics. Their names are part of the contract (docs/operate.md)."""
    from prometheus_client.core import InfoMetricFamily

    yield InfoMetricFamily("breakglass_build", "The version", {"version": __version__})
    yield from _session_families(found)
    yield from _turn_families(found)
    yield from _machine_families(found)


def _session_families(found: Observed) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily

    counts: Counter[tuple[str, str]] = Counter()
    for state in found.states:
        shown = "asking" if state.asking and state.status == "running" else state.status
        counts[_agent(found, state), shown if shown in STATUSES else "other"] += 1
    family = GaugeMetricFamily(
        "breakglass_sessions", "Sessions, archived ones too", labels=("agent", "status")
    )
    for agent in sorted({*found.agents, *(agent for agent, _ in counts)}):
        for status in STATUSES:
            family.add_metric((agent, status), counts[agent, status])
    yield family
    waiting = [_age(question.asked, found.now) for state in found.states for question in state.asking]
    for name, meaning, value in (
        ("sessions_archived", "Archived sessions", sum(state.archived for state in found.states)),
        ("questions_waiting", "Questions of agents that wait for an answer", len(waiting)),
        (
            "oldest_question_seconds",
            "Age of the oldest waiting question, 0 without one",
            max(waiting, default=0),
        ),
        (
            "prompts_queued",
            "Prompts that wait for the end of a turn",
            sum(len(s.queued) for s in found.states),
        ),
        ("attached_clients", "Clients that are attached to this process", found.clients),
    ):
        yield GaugeMetricFamily(f"breakglass_{name}", meaning, value)


def _turn_families(found: Observed) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    turns: Counter[tuple[str, str]] = Counter()
    within: dict[str, list[int]] = {}
    seconds: Counter[str] = Counter()
    for state in found.states:
        for ended in state.ended:
            agent = "action" if ended.is_action else _agent(found, state)
            turns[agent, ended.status] += ended.number
            seconds[agent] += ended.milliseconds  # as a whole number: a sum of fractions would not be exact
            sums = within.setdefault(agent, [0] * len(ended.within))
            within[agent] = [a + b for a, b in zip(sums, ended.within, strict=True)]
    count = CounterMetricFamily("breakglass_turns", "Ended turns", labels=("agent", "status"))
    took = HistogramMetricFamily(
        "breakglass_turn_duration_seconds", "How long ended turns took", labels=("agent",)
    )
    for agent in sorted({*found.agents, "action", *within}):
        for status in (*END_STATUSES, *(["other"] if turns[agent, "other"] else [])):
            count.add_metric((agent, status), turns[agent, status])
        counted = within.get(agent, [0] * (len(DURATIONS) + 1))
        took.add_metric((agent,), list(_cumulated(counted)), seconds[agent] / 1000)
    yield count
    yield took
    yield from _spent_families(found)


def _cumulated(within: Iterable[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for limit, count in zip((*map(str, map(float, DURATIONS)), "+Inf"), within, strict=True):
        total += count
        yield limit, total


def _spent_families(found: Observed) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily

    tokens: Counter[tuple[str, str]] = Counter()
    dollars = dict.fromkeys(found.agents, 0.0)
    for state in found.states:
        agent = _agent(found, state)
        dollars[agent] = dollars.get(agent, 0.0) + max(0.0, state.cost)
        tokens[agent, "in"] += state.tokens[0]
        tokens[agent, "out"] += state.tokens[1]
    spent = CounterMetricFamily("breakglass_cost_dollars", "US dollars spent", labels=("agent",))
    used = CounterMetricFamily(
        "breakglass_tokens", "Tokens given to and produced by agents", labels=("agent", "direction")
    )
    for agent, sum_of in sorted(dollars.items()):
        spent.add_metric((agent,), sum_of)
        for direction in ("in", "out"):
            used.add_metric((agent, direction), tokens[agent, direction])
    yield spent
    yield used
    names = (("sent", "Notifications that a service took"), ("failed", "Notifications that were not sent"))
    for index, (name, meaning) in enumerate(names):
        total = sum(state.notified[index] for state in found.states)
        yield CounterMetricFamily(f"breakglass_notifications_{name}", meaning, total)


def _machine_families(found: Observed) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily

    degraded = sum(state.status == "degraded" for state in found.states)
    rows: list[tuple[str, str, float]] = [
        ("data_root_free_bytes", "Free space on the disk of the data root", found.free_bytes),
        ("data_root_free_inodes", "Free inodes on the disk of the data root", found.free_inodes),
        ("data_root_read_only", "Whether the data root can only be read", found.is_read_only),
        ("sessions_degraded", "Sessions under whose log the disk failed", degraded),
    ]
    if found.write_seconds is not None:
        append, sync = found.write_seconds
        rows.append(("append_seconds", "How long a write of 4 KiB to the data root took", append))
        rows.append(("sync_seconds", "How long it took until that write was on disk", sync))
    for name, meaning, value in rows:
        yield GaugeMetricFamily(f"breakglass_{name}", meaning, value)
    status = GaugeMetricFamily(
        "breakglass_vital_sign_status", "Vital signs: 0 ok, 1 unknown, 2 warn, 3 bad", labels=("sign",)
    )
    value_of = GaugeMetricFamily(
        "breakglass_vital_sign_value", "The numbers that decide the vital signs", labels=("sign",)
    )
    for sign in found.vitals.signs if found.vitals else ():
        status.add_metric((sign.name,), ORDER.index(sign.status))
        if sign.value is not None:
            value_of.add_metric((sign.name,), sign.value)
    yield status
    yield value_of


def _agent(found: Observed, state: SessionState) -> str:
    """Return the label for a session's agent: its name if it is configured, so that a log cannot add labels."""
    return state.agent if state.agent in found.agents else "other"


def _age(ts: str, now: str) -> float:
    try:
        return max(0.0, (datetime.fromisoformat(now) - datetime.fromisoformat(ts)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
