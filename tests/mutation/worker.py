"""Runs tests again and again, each time in a fork of this process, which has imported the slow packages already.

It must be process 1 of a PID namespace: it kills every other process after each run. A mutant can signal the wrong
processes, and it reaches only those of the namespace.

Each line of standard input is a JSON list: a time limit in seconds, then the arguments of pytest. Each line of
standard output says what came out: `passed`, `failed` or `timeout`.
"""

import contextlib
import json
import os
import select
import signal
import sys
import traceback

import _hypothesis_pytestplugin
import hypothesis
import pytest
import pytest_asyncio.plugin

PLUGINS = (_hypothesis_pytestplugin, pytest_asyncio.plugin)
"""The plugins that the tests of the heart need. Others take seconds to import."""


def main() -> None:
    assert os.getpid() == 1, "this process must be the first of a PID namespace"
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    print("ready", hypothesis.__version__, flush=True)
    for line in sys.stdin:
        seconds, *arguments = json.loads(line)
        print(run(seconds, arguments), flush=True)


def run(seconds: float, arguments: list[str]) -> str:
    """Run pytest in a fork, for at most so many seconds. No process is left."""
    pid = os.fork()
    if not pid:
        _run_tests(arguments)
    pidfd = os.pidfd_open(pid)
    is_in_time = bool(select.select([pidfd], [], [], seconds)[0])
    os.close(pidfd)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # every process of the namespace except this one
    status = os.waitpid(pid, 0)[1]
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    if not is_in_time:
        return "timeout"
    return "failed" if status else "passed"


def _run_tests(arguments: list[str]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for fd, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(fd, target)
    os.setsid()
    sys.path.insert(0, os.getcwd())
    try:
        code = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *arguments], PLUGINS))
    except BaseException:  # noqa: BLE001 — a mutant may raise anything
        traceback.print_exc()
        code = 3
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
