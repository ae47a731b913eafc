"""Recorded runs of real ACP agents (tests/live/record_acp.py makes them), and what our dialogue makes of them.

`python -m tests.agents.acp_recorded` writes the golden files anew.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from breakglass.agents import Exit, TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from breakglass.events import KINDS, Draft, decode, dumps, encode

HERE = Path(__file__).parent
CAPTURES = HERE / "acp_captures"
GOLDEN = HERE / "acp_golden"


class Run(NamedTuple):
    """One recorded run."""

    name: str
    task: TurnInput
    end: Exit
    answer: dict[str, Any] | None
    """What a person answered to each question."""
    interrupt_at: str
    """The kind of event at which the turn was cancelled."""
    stdout: bytes
    stdin: bytes | None
    """What we wrote; None where that was another client."""


class Played(NamedTuple):
    """What came of a run."""

    drafts: list[Draft]
    dialogue: Dialogue
    written: bytes


def load() -> dict[str, Run]:
    """Return all recorded runs by name."""
    runs = json.loads((CAPTURES / "runs.json").read_text())
    return {name: _run(name, run) for name, run in runs.items()} | _laboratory()


def _laboratory() -> dict[str, Run]:
    """Return the five prompts of one process that another client had with claude-agent-acp, as five runs."""
    said = lines((CAPTURES / "lab_claude.stdout.jsonl").read_bytes())
    ends = [
        at + 1 for at, line in enumerate(said) if re.match(rb'\{"jsonrpc":"2.0","id":[3-8],"(re|er)', line)
    ]
    task = TurnInput("", ("agent",), ask=True, cwd="/srv/proj", turn=7)
    runs = {}
    for number, start, end in zip(range(4, 9), ends, ends[1:], strict=False):
        last = said[end - 1].replace(b'"id":%d' % number, b'"id":4', 1)
        stdout = b"".join([*said[: ends[0]], *said[start : end - 1], last])
        answer, interrupt_at = _LABORATORY.get(number, (None, ""))
        ended = Exit(0, cancelled=bool(interrupt_at), duration_ms=1000)
        runs[f"lab_{number}"] = Run(f"lab_{number}", task, ended, answer, interrupt_at, stdout, None)
    return runs


_LABORATORY: dict[int, tuple[dict[str, Any] | None, str]] = {
    5: ({"allow": True}, ""),
    6: (None, "delta"),
    8: (None, "permission"),
}
"""A prompt's number, to the answer and the cancellation that came."""


def _run(name: str, run: dict[str, Any]) -> Run:
    task = TurnInput(
        run["prompt"],
        ("agent",),
        model=run.get("model"),
        session=run.get("session"),
        session_cost=run.get("spent", 0.0),
        ask=run.get("ask", False),
        cwd="/srv/proj",
        turn=7,
    )
    interrupt_at = run.get("interrupt_at", "")
    end = Exit(run["code"], cancelled=bool(interrupt_at), duration_ms=1000)
    stdout = (CAPTURES / f"{name}.stdout.jsonl").read_bytes()
    stdin = (CAPTURES / f"{name}.stdin.jsonl").read_bytes()
    return Run(name, task, end, run.get("answer"), interrupt_at, stdout, stdin)


def play(run: Run, chunks: Iterable[bytes]) -> Played:
    """Return what a new dialogue makes of `chunks`, with the answers and the cancellation of the run."""
    dialogue = Dialogue(run.task)
    drafts, written, cancelled = dialogue.begin(), dialogue.open(), False
    for chunk in chunks:
        for draft in dialogue.translate(chunk):
            drafts.append(draft)
            if draft[0] == "permission" and run.answer:
                assert dialogue.answer(draft[1]["request"], **run.answer)
            if draft[0] == run.interrupt_at and not cancelled:
                cancelled = True
                written += dialogue.interrupt()
        written += dialogue.reply()
    drafts += dialogue.close(run.end)
    return Played(drafts, dialogue, written)


def lines(data: bytes) -> list[bytes]:
    """Return the lines of `data`, with their newlines."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def told(played: Played) -> str:
    """Return the events of a run as lines, each stretch of deltas as one, and how it was judged."""
    judged = {"failed": played.dialogue.failed, "finished": played.dialogue.finished}
    return (
        "\n".join([*(dumps([kind, fields]) for kind, fields in joined(played.drafts)), dumps(judged)]) + "\n"
    )


def joined(drafts: list[Draft]) -> list[Draft]:
    """Return `drafts` with deltas that follow each other joined."""
    result: list[Draft] = []
    for kind, fields in drafts:
        last, before = result[-1] if result else ("", {})
        if kind == last == "delta" and before.get("parent") == fields.get("parent"):
            before["text"] += fields["text"]
        else:
            result.append((kind, dict(fields)))
    return result


def check(draft: Draft) -> None:
    """Fail if a runner could not record `draft`, or only as a needlessly long line."""
    kind, fields = draft
    own = {**fields, "turn": 1, **({"expires": "2026-11-23T00:00:00.000Z"} if kind == "permission" else {})}
    assert set(own) >= set(KINDS[kind].required)
    line = encode(1, "2026-11-23T00:00:00.000Z", kind, own)
    assert line.count(b"\n") == 1
    assert len(line) < 1.2 * (1 << 20), f"a {kind} of {len(line)} bytes"
    assert decode(line, 1)["kind"] == kind


def main() -> None:
    """Write the golden files anew. Look at each difference before it is committed."""
    GOLDEN.mkdir(exist_ok=True)
    for run in load().values():
        (GOLDEN / f"{run.name}.jsonl").write_text(told(play(run, [run.stdout])), newline="\n")


if __name__ == "__main__":
    main()
