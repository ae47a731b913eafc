"""Runs probes at the same time, each in a thread with a limit.

A thread that hangs cannot be ended. So a probe that still hangs from an earlier measurement is not started again: its
sign is `unknown` at once. At most one thread for each probe can hang.
"""

import subprocess
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from datetime import UTC, datetime

from breakglass.vitals import Sign, Vitals, unknown
from breakglass.vitals.probes import PROBE_SECONDS, PROBES, Place, Probe

_begun: dict[str, tuple[float, Future[Sign]]] = {}
"""When each probe began last, on the monotonic clock, and its sign."""
_lock = threading.Lock()


def measure(place: Place, more: Iterable[Probe] = (), seconds: float = PROBE_SECONDS) -> Vitals:
    """Return all vital signs. Takes at most `seconds`: a probe that has not finished by then is `unknown`."""
    signs = run_probes((*PROBES, *more), place, seconds)
    return Vitals(datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), signs)


def run_probes(probes: Iterable[Probe], place: Place, seconds: float = PROBE_SECONDS) -> tuple[Sign, ...]:
    """Return the signs of these probes, in their order. Takes at most `seconds`."""
    deadline = time.monotonic() + seconds
    begun = [(probe, _begin(probe, place)) for probe in probes]
    return tuple(_result(probe, future, deadline, seconds) for probe, future in begun)


def _begin(probe: Probe, place: Place) -> Future[Sign]:
    """Start a probe in a thread, or return the one that has not finished, or whose sign is still new enough."""
    with _lock:
        at, earlier = _begun.get(probe.name, (0.0, None))
        if earlier and (not earlier.done() or time.monotonic() - at < probe.keep_seconds):
            return earlier
        future: Future[Sign] = Future()
        _begun[probe.name] = (time.monotonic(), future)
    try:
        threading.Thread(
            target=_run, args=(probe, place, future), name=f"probe {probe.name}", daemon=True
        ).start()
    except RuntimeError as error:  # no thread is free
        future.set_result(unknown(probe.name, probe.label, str(error)))
    return future


def _run(probe: Probe, place: Place, future: Future[Sign]) -> None:
    try:
        future.set_result(probe.run(place))
    except subprocess.TimeoutExpired:
        future.set_result(unknown(probe.name, probe.label, f"no answer within {PROBE_SECONDS:g} s"))
    except Exception as error:  # noqa: BLE001 — the other signs must be shown all the same
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        future.set_result(unknown(probe.name, probe.label, why))


def _result(probe: Probe, future: Future[Sign], deadline: float, seconds: float) -> Sign:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return unknown(probe.name, probe.label, f"no answer within {seconds:g} s")
