"""Recorded runs of the real program, and what our dialogue makes of them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from breakglass import agents
from breakglass.agents import Exit, TurnInput
from breakglass.agents.claude.dialogue import Dialogue
from breakglass.events import KINDS, Draft, decode, dumps, encode

HERE = Path(__file__).parent
CAPTURES = HERE / "captures"
GOLDEN = HERE / "golden"

ANSWERS: dict[str, dict[str, Any]] = {
    "80_ctl_allow": {"allow": True},
    "81_ctl_deny_no_initialize": {"allow": False, "message": "not today"},
    "222_ask_choice": {"allow": True, "message": "Blue\nTwo"},
    "223_ask_subagent": {"allow": True},
    "224_ask_denied": {"allow": False, "message": "not today"},
}
"""What a person answered to the run's question. In the other runs nobody did."""


class Run(NamedTuple):
    """One recorded run."""

    name: str
    task: TurnInput
    end: Exit
    stdout: bytes
    stdin: bytes | None


class Played(NamedTuple):
    """What came of a run."""

    drafts: list[Draft]
    dialogue: Dialogue
    written: bytes


def load() -> dict[str, Run]:
    """Return all recorded runs by name."""
    runs = json.loads((CAPTURES / "runs.json").read_text())
    return {name: _run(name, run) for name, run in runs.items()}


def play(run: Run, chunks: Iterable[bytes]) -> Played:
    """Return what a new dialogue makes of `chunks`, its questions answered as they were in the run."""
    dialogue = Dialogue(run.task)
    talk: agents.Dialogue = dialogue  # that it is one is for mypy to see
    drafts, written = talk.begin(), talk.open()
    for chunk in chunks:
        new = talk.translate(chunk)
        for kind, fields in new:
            if kind == "permission" and run.name in ANSWERS:
                assert talk.answer(fields["request"], **ANSWERS[run.name])
        drafts += new
        written += talk.reply()
    drafts += talk.close(run.end)
    return Played(drafts, dialogue, written)


def told(played: Played) -> str:
    """Return the events of a run as lines, each stretch of deltas as one, and how it was judged."""
    lines = [dumps([kind, fields]) for kind, fields in joined(played.drafts)]
    judged = {"failed": played.dialogue.failed, "start_over": played.dialogue.start_over}
    return "\n".join([*lines, dumps(judged)]) + "\n"


def joined(drafts: list[Draft]) -> list[Draft]:
    """Return `drafts` with deltas, and pieces of a tool's output, that follow each other joined."""
    result: list[Draft] = []
    for kind, fields in drafts:
        last, before = result[-1] if result else ("", {})
        same = last == kind and all(before.get(key) == fields.get(key) for key in ("parent", "tool_id"))
        if same and kind == "delta":
            before["text"] += fields["text"]
        elif same and kind == "tool_result":
            result[-1] = (kind, {**before, **fields, "output": before["output"] + fields["output"]})
        else:
            result.append((kind, dict(fields)))
    return result


def check(draft: Draft) -> bytes:
    """Return the event line that a runner makes of `draft`. Fails if it is no event, or a needlessly long one."""
    kind, fields = draft
    own = {**fields, "turn": 1}
    if kind == "permission":
        own["expires"] = "2026-11-23T00:00:00.000Z"
    assert set(own) >= set(KINDS[kind].required)
    line = encode(1, "2026-11-23T00:00:00.000Z", kind, own)
    assert line.count(b"\n") == 1
    assert len(line) < 1.2 * (1 << 20), f"a {kind} of {len(line)} bytes"
    assert decode(line, 1)["kind"] == kind
    return line


def _run(name: str, run: dict[str, Any]) -> Run:
    argv = run["argv"]
    resumed = [argv[at + 1] for at, word in enumerate(argv) if word == "--resume"]
    task = TurnInput(
        prompt=argv[-1],
        command=("claude",),
        session=resumed[0] if resumed else None,
        session_cost=run.get("spent", 0.0),
        ask="--input-format" in argv,
    )
    end = Exit(run["code"], run.get("stderr", ""), cancelled=run.get("cancelled", False))
    stdin = CAPTURES / f"{name}.stdin.jsonl"
    return Run(
        name,
        task,
        end,
        (CAPTURES / f"{name}.stdout.jsonl").read_bytes(),
        stdin.read_bytes() if stdin.exists() else None,
    )


def main() -> None:
    """Write the golden files anew. Look at each difference before it is committed."""
    GOLDEN.mkdir(exist_ok=True)
    for run in load().values():
        (GOLDEN / f"{run.name}.jsonl").write_text(told(play(run, [run.stdout])), newline="\n")


if __name__ == "__main__":
    main()
