"""Recorded runs of real ACP agents, and the events that our dialogue makes of them.

tests/live/record_acp.py records them. `python -m tests.agents.acp.recorded` writes the golden files again. Look at
each difference before you commit it.
"""

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from breakglass.agents import Exit, TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from breakglass.events import Draft, dumps
from tests.agents.drafts import joined

HERE = Path(__file__).parent
CAPTURES = HERE / "captures"
GOLDEN = HERE / "golden"


class Run(NamedTuple):
    """One recorded run."""

    name: str
    turn_input: TurnInput
    end: Exit
    answer: dict[str, Any] | None
    """How a user answered each question."""
    interrupt_at: str
    """The kind of event at which the turn was cancelled."""
    stdout: bytes
    stdin: bytes | None
    """What we wrote; None if another client wrote it, or an earlier version."""
    quiet_after: str = ""
    """What the last line before a pause of the agent holds; "" if there is no pause."""


class Played(NamedTuple):
    """The result of a run."""

    drafts: list[Draft]
    dialogue: Dialogue
    written: bytes


def load() -> dict[str, Run]:
    """Return all recorded runs by name."""
    runs = json.loads((CAPTURES / "runs.json").read_text())
    others = json.loads((CAPTURES / "other_runs.json").read_text())
    return {name: _run(name, run) for name, run in (runs | others).items()} | _other_client()


def _other_client() -> dict[str, Run]:
    """Return five runs: the prompts that another client sent to one process of claude-agent-acp."""
    said = lines((CAPTURES / "lab_claude.stdout.jsonl").read_bytes())
    ends = [
        at + 1 for at, line in enumerate(said) if re.match(rb'\{"jsonrpc":"2.0","id":[3-8],"(re|er)', line)
    ]
    turn_input = TurnInput("", ("agent",), ask=True, cwd="/srv/proj", turn=7)
    runs = {}
    for number, start, end in zip(range(4, 9), ends, ends[1:], strict=False):
        last = said[end - 1].replace(b'"id":%d' % number, b'"id":4', 1)
        stdout = b"".join([*said[: ends[0]], *said[start : end - 1], last])
        answer, interrupt_at = _OTHER_CLIENT.get(number, (None, ""))
        ended = Exit(0, cancelled=bool(interrupt_at), duration_ms=1000)
        runs[f"lab_{number}"] = Run(f"lab_{number}", turn_input, ended, answer, interrupt_at, stdout, None)
    return runs


_OTHER_CLIENT: dict[int, tuple[dict[str, Any] | None, str]] = {
    5: ({"allow": True}, ""),
    6: (None, "delta"),
    8: (None, "permission"),
}
"""The number of a prompt, to its answer and the kind of event at which it was cancelled."""


def _run(name: str, run: dict[str, Any]) -> Run:
    turn_input = TurnInput(
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
    said = CAPTURES / f"{name}.stdin.jsonl"  # missing for the other agents, of which we now ask other things
    stdin = said.read_bytes() if said.exists() else None
    if stdin and turn_input.ask:  # recorded before forms were offered
        stdin = stdin.replace(b'"terminal":false}', b'"terminal":false,"elicitation":{"form":{}}}', 1)
    loads = stdin is not None and b"session/load" in stdin
    quiet_after = run.get("quiet_after", '"id":2,"result"' if loads else "")
    return Run(name, turn_input, end, run.get("answer"), interrupt_at, stdout, stdin, quiet_after)


def play(run: Run, chunks: Iterable[bytes]) -> Played:
    """Return what a new dialogue makes of `chunks`. It gets the answers and the cancellation of the run."""
    dialogue = Dialogue(run.turn_input)
    drafts, written, cancelled = dialogue.begin(), dialogue.open(), False
    pause, fed = _pause(run), 0
    for chunk in _cut(chunks, {pause, *_questions_end(run)}):
        read = dialogue.translate(chunk)
        fed += len(chunk)
        if fed == pause:
            read += dialogue.after_quiet()
        for draft in read:
            drafts.append(draft)
            if draft[0] == "permission" and run.answer:
                assert dialogue.answer(draft[1]["request"], **run.answer)
            if draft[0] == run.interrupt_at and not cancelled:
                cancelled = True
                written += dialogue.interrupt()
        written += dialogue.reply()
    drafts += dialogue.close(run.end)
    return Played(drafts, dialogue, written)


def _pause(run: Run) -> int:
    """Return where in the output the agent paused until it got a prompt; 0 if it did not."""
    found = run.stdout.find(run.quiet_after.encode()) if run.quiet_after else -1
    return run.stdout.index(b"\n", found) + 1 if found >= 0 else 0


def _questions_end(run: Run) -> list[int]:
    """Return where the agent asked in the output and waited for the answer."""
    return (
        [match.end() for match in re.finditer(rb".*request_permission.*\n", run.stdout)] if run.answer else []
    )


def _cut(chunks: Iterable[bytes], offsets: Iterable[int]) -> Iterable[bytes]:
    """Return the chunks, cut at each of `offsets` in all of them."""
    start = 0
    for chunk in chunks:
        inner = sorted(each - start for each in offsets if start < each < start + len(chunk))
        yield from (chunk[a:b] for a, b in pairwise([0, *inner, len(chunk)]))
        start += len(chunk)


def lines(data: bytes) -> list[bytes]:
    """Return the lines of `data`, with their newlines."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def report(played: Played) -> str:
    """Return the events of a run as lines, with consecutive deltas joined, and whether it failed."""
    outcome = {"failed": played.dialogue.failed, "finished": played.dialogue.finished}
    return (
        "\n".join([*(dumps([kind, fields]) for kind, fields in joined(played.drafts)), dumps(outcome)]) + "\n"
    )


def main() -> None:
    """Write the golden files again."""
    GOLDEN.mkdir(exist_ok=True)
    for run in load().values():
        (GOLDEN / f"{run.name}.jsonl").write_text(report(play(run, [run.stdout])), newline="\n")


if __name__ == "__main__":
    main()
