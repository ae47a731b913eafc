"""The servers under test, one class each."""

from tests.bench.adapters.others import Bare, DurableStreams, InMemory, Nchan, NginxFile, SseStarlette
from tests.bench.adapters.ours import TOKEN, Ours, OursSmall, OursWithTwoWorkers
from tests.bench.adapters.server import Server, running

__all__ = ["ALL", "TOKEN", "Ours", "OursSmall", "Server", "running"]

ALL: dict[str, type[Server]] = {
    "ours": Ours,
    "ours2": OursWithTwoWorkers,
    "small": OursSmall,
    "bare": Bare,
    "memory": InMemory,
    "sse-starlette": SseStarlette,
    "nginx": NginxFile,
    "nchan": Nchan,
    "durable": DurableStreams,
}
"""Servers by their names on the command line."""
