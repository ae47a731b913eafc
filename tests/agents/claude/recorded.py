"""Recorded runs of the real Claude Code CLI, and the events that our dialogue makes of them.

`python -m tests.agents.claude.recorded` writes the golden files again. Look at each difference before you commit it.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from breakglass import agents
from breakglass.agents import Exit, TurnInput
from breakglass.agents.claude.dialogue import Dialogue
from breakglass.events import Draft, dumps
from tests.agents.drafts import joined

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
"""How a user answered the question of a run. In the other runs no question was answered."""


class Run(NamedTuple):
    """One recorded run."""

    name: str
    turn_input: TurnInput
    end: Exit
    stdout: bytes
    stdin: bytes | None


class Played(NamedTuple):
    """The result of a run."""

    drafts: list[Draft]
    dialogue: agents.Dialogue
    written: bytes


def load() -> dict[str, Run]:
    """Return all recorded runs by name."""
    runs = json.loads((CAPTURES / "runs.json").read_text())
    return {name: _run(name, run) for name, run in runs.items()}


def play(run: Run, chunks: Iterable[bytes]) -> Played:
    """Return what a new dialogue makes of `chunks`. Its questions are answered as they were in the run."""
    dialogue: agents.Dialogue = Dialogue(run.turn_input)  # mypy checks that the class follows the protocol
    drafts, written = dialogue.begin(), dialogue.open()
    for chunk in chunks:
        new = dialogue.translate(chunk)
        for kind, fields in new:
            if kind == "permission" and run.name in ANSWERS:
                assert dialogue.answer(fields["request"], **ANSWERS[run.name])
        drafts += new
        written += dialogue.reply()
    drafts += dialogue.close(run.end)
    return Played(drafts, dialogue, written)


def report(played: Played) -> str:
    """Return the events of a run as lines, with consecutive deltas joined, and whether it failed."""
    lines = [dumps([kind, fields]) for kind, fields in joined(played.drafts)]
    outcome = {"failed": played.dialogue.failed, "start_over": played.dialogue.start_over}
    return "\n".join([*lines, dumps(outcome)]) + "\n"


def _run(name: str, run: dict[str, Any]) -> Run:
    argv = run["argv"]
    resumed = [argv[at + 1] for at, word in enumerate(argv) if word == "--resume"]
    turn_input = TurnInput(
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
        turn_input,
        end,
        (CAPTURES / f"{name}.stdout.jsonl").read_bytes(),
        stdin.read_bytes() if stdin.exists() else None,
    )


def main() -> None:
    """Write the golden files again."""
    GOLDEN.mkdir(exist_ok=True)
    for run in load().values():
        (GOLDEN / f"{run.name}.jsonl").write_text(report(play(run, [run.stdout])), newline="\n")


if __name__ == "__main__":
    main()
