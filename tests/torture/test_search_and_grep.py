"""A search of 10 GB of logs finds the lines that GNU grep finds, by a table of hostile words, in flat memory.

`SEARCH_GB` sets another size. The logs are hard links to one file, so the table reads memory and no disk.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from breakglass.events import dumps
from tests.cli.program import COMMAND, Data

pytestmark = pytest.mark.torture

SIZE = int(float(os.environ.get("SEARCH_GB", "10")) * 1e9)
LOG_SIZE = 32_000_000
EVERY = 20_000
"""One line of so many has hostile words."""
MAX_RSS_KB = 100_000
RATIO = 9.0
"""Times of CPU that a search may take more than `grep`, which knows neither events nor the case of other letters."""
HOSTILE = 'said "no space"\nGrüße cafe\u0301 a.*b[0-9]+$ C:\\x 😀 nul\0 <b> %s'
FORMS = {
    "grüße": ["grüße", r"gr\u00fc\u00dfe"],
    "GRÜSSE": ["grüße", r"gr\u00fc\u00dfe"],
    "café": ["cafe\u0301", r"cafe\u0301"],
    ".*b[0-9]+$": [".*b[0-9]+$"],
    '"space" <b>': ["<b>"],
    r"c:\x": [r"c:\\x"],
    "😀": ["😀", r"\ud83d\ude00"],
    "%S": ["%s"],
    "nowhere-at-all": ["nowhere-at-all"],
}
"""What a user writes, and how JSON may write it."""


def write_log(path: Path) -> None:
    with path.open("wb") as log:
        number = 0
        while log.tell() < LOG_SIZE:
            number += 1
            text = HOSTILE if number % EVERY == 0 else f"{number:09d} and the quick brown fox {'jumps ' * 20}"
            event = {"id": number, "ts": "2026-11-23T01:02:03.004Z", "kind": "text", "turn": 2, "text": text}
            escaped = number % (2 * EVERY) == 0
            line = json.dumps(event, separators=(",", ":")) if escaped else dumps(event)
            log.write(line.encode() + b"\n")


def run(words: list[str], env: dict[str, str] | None = None) -> tuple[bytes, float, int]:
    """Run a program. Return its output, the CPU seconds of all its processes, and the memory of the largest in KB."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, env=env)
    assert process.stdout
    with process.stdout:
        out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return out, used.ru_utime + used.ru_stime, used.ru_maxrss


def test_a_search_finds_the_lines_of_grep_in_flat_memory(tmp_path: Path) -> None:
    data = Data(tmp_path)
    first = data.log(data.new())
    write_log(first)
    for number in range(1, max(1, SIZE // LOG_SIZE)):
        copy = data.root / "sessions" / f"{number:08d}-1111-4111-8111-111111111111"
        copy.mkdir(mode=0o700)
        os.link(first, copy / first.name)
    logs = sorted(str(each) for each in (data.root / "sessions").glob("*/events.jsonl"))
    env = {**os.environ, **data.env, "LC_ALL": "C.UTF-8"}
    ours_in_all = greps_in_all = longest = 0.0
    different = []
    peak = 0
    for words, forms in FORMS.items():
        patterns = [option for form in forms for option in ("-e", form)]
        begun = time.monotonic()
        out, greps, _ = run(["grep", "-HniF", *patterns, *logs], env)
        waited, begun = time.monotonic() - begun, time.monotonic()
        by_grep = sorted(tuple(each.split(b":", 2)[:2]) for each in out.splitlines())
        out, ours, memory = run([*COMMAND, "grep", "--json", words], env)
        found = map(json.loads, out.splitlines())
        by_us = sorted((str(data.log(hit["session"])).encode(), str(hit["line"]).encode()) for hit in found)
        took = time.monotonic() - begun
        print(
            f"{words!r}: {len(by_us)} hits, grep {len(by_grep)}; {ours:.1f} s CPU and {took:.1f} s, "
            f"grep {greps:.1f} and {waited:.1f}; {memory} KB",
            flush=True,
        )
        if by_us != by_grep:
            different.append(words)
        longest, peak = max(longest, took), max(peak, memory)
        ours_in_all, greps_in_all = ours_in_all + ours, greps_in_all + greps
    print(
        f"{SIZE / 1e9:g} GB: {ours_in_all / greps_in_all:.2f} times the CPU time of grep; "
        f"{longest:.1f} s at most; {peak} KB"
    )
    assert not different
    assert peak < MAX_RSS_KB
    assert ours_in_all < RATIO * greps_in_all
