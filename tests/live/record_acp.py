"""Records the real ACP agents for tests/agents: `python -m tests.live.record_acp [NAME ...]`.

The recordings are rewritten: paths, the port of the fake model, and the list of an agent's commands, which is long
and useless here. Look at each difference before you commit it.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from breakglass.agents import Dialogue as AnyDialogue
from breakglass.agents import TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from breakglass.events import Draft
from tests.help import programs
from tests.help.fake_model import FakeModel
from tests.live.agents import Agent, base_environment, claude_agent_acp, opencode
from tests.live.drive import AgentRun, React, run_dialogue

CAPTURES = Path(__file__).parent.parent / "agents" / "acp" / "captures"


class Script(NamedTuple):
    """One run to record."""

    prompt: str
    """{bash} stands for the agent's name of that tool, {path} for a file to write."""
    after: str = ""
    """The run whose session it continues."""
    session: str | None = None
    model: str | None = None
    ask: bool = False
    answer: dict[str, Any] | None = None
    """How a user answers each question."""
    interrupt_at: str = ""
    """The kind of event at which it is cancelled."""
    without_resume: bool = False
    """Whether to hide from our dialogue that the agent can resume a session, so that it loads the session."""
    environ: dict[str, str] = {}  # noqa: RUF012 — never changed


RUN = '[[text Running.]][[tool {bash} {{"command":"echo made > made && cat made","description":"Make it"}}]]'
CLAUDE_FILES = (
    '[[text I write.]][[tool Write {{"file_path":"{path}","content":"one\\ntwo\\n"}}]]'
    '[[then]][[tool Edit {{"file_path":"{path}","old_string":"two","new_string":"three"}}]][[then]][[text Done.]]'
)
OPENCODE_FILES = (
    '[[text I write.]][[tool write {{"filePath":"{path}","content":"one\\ntwo\\n"}}]]'
    '[[then]][[tool edit {{"filePath":"{path}","oldString":"two","newString":"three"}}]][[then]][[text Done.]]'
)
SUBAGENT = (
    '[[tool {task} {{"description":"sub","subagent_type":"{kind}",'
    '"prompt":"[[text sub speaks]][[tool {bash} {{\\"command\\":\\"echo sub\\",\\"description\\":\\"Say it\\"}}]]"}}]]'
)
BOTH = {
    "text": Script("[[think Hm.]][[text Hello in several small chunks.]]"),
    "resumed": Script("and before?", after="text"),
    "loaded": Script("and before?", after="ran", without_resume=True),
    "ran": Script(RUN),
    "failed": Script('[[tool {bash} {{"command":"echo no; exit 3","description":"Fail"}}]]'),
    "allowed": Script(RUN, ask=True, answer={"allow": True}),
    "refused": Script(RUN, ask=True, answer={"allow": False}),
    "cancelled_asking": Script(RUN, ask=True, interrupt_at="permission"),
    "cancelled_streaming": Script("[[text Streaming.]][[hold]]", interrupt_at="delta"),
    "cancelled_running": Script(
        '[[tool {bash} {{"command":"python3 -c \'import time; time.sleep(60)\'","description":"Wait"}}]]',
        interrupt_at="tool",
    ),
    "error_400": Script("[[err 400 invalid_request_error]]"),
    "error_401": Script("[[err 401 authentication_error]]"),
    "forgotten": Script("hello", session="11111111-1111-4111-8111-111111111111"),
    "no_such_model": Script("hello", model="nonsense"),
    "unicode": Script("[[uni]]"),
}
CLAUDE = BOTH | {
    "model": Script("[[text As a haiku.]]", model="haiku"),
    "files": Script(CLAUDE_FILES),
    "subagent": Script(SUBAGENT.replace("{task}", "Agent").replace("{kind}", "general-purpose")),
    "not_logged_in": Script("hello", environ={"ANTHROPIC_API_KEY": ""}),
    "root": Script(RUN, environ={"IS_SANDBOX": ""}),
}
OPENCODE = BOTH | {
    "model": Script("[[text As a haiku.]]", model="anthropic/claude-haiku-4-5"),
    "files": Script(OPENCODE_FILES),
    "subagent": Script(SUBAGENT.replace("{task}", "task").replace("{kind}", "general")),
    "refusal": Script("[[refuse]]"),
}


def main() -> None:
    """Record all runs, or those with a name that begins with one of the arguments."""
    CAPTURES.mkdir(exist_ok=True)
    index = CAPTURES / "runs.json"
    runs = json.loads(index.read_text()) if index.exists() else {}
    with FakeModel() as model, tempfile.TemporaryDirectory() as folder:
        for agent, scripts in ((claude_agent_acp(), CLAUDE), (opencode(model), OPENCODE)):
            home = Path(folder, agent.name)
            (home / "work").mkdir(parents=True)
            for name in _in_order(scripts):
                full = f"{agent.name.split('-')[0]}_{name}"
                if full.startswith(tuple(sys.argv[1:]) or ""):
                    runs[full] = _record(full, scripts[name], agent, model, home, runs)
                    index.write_text(json.dumps(runs, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _in_order(scripts: dict[str, Script]) -> list[str]:
    return sorted(scripts, key=lambda name: (bool(scripts[name].after), name))


def _record(
    name: str, script: Script, agent: Agent, model: FakeModel, home: Path, runs: dict[str, Any]
) -> dict[str, Any]:
    before = runs[f"{name.split('_')[0]}_{script.after}"] if script.after else {}
    prompt = (
        script.prompt.format(bash=agent.bash, path=home / "work" / f"{name}.txt")
        if "{" in script.prompt
        else script.prompt
    )
    turn_input = TurnInput(
        prompt,
        agent.command,
        model=script.model,
        session=before.get("opened", script.session),
        session_cost=before.get("total", 0.0),
        ask=script.ask,
        cwd=str(home / "work"),
        turn=7,
    )
    environ = (
        base_environment(model, home) | agent.environ | (agent.asking if script.ask else {}) | script.environ
    )
    environ = {key: value for key, value in environ.items() if value}
    edit = _without_resume if script.without_resume else bytes
    talk = run_dialogue(Dialogue(turn_input), environ, home / "work", _reacting(script), edit)
    rewrite = _rewriter(home, model)
    (CAPTURES / f"{name}.stdout.jsonl").write_bytes(rewrite(talk.stdout))
    (CAPTURES / f"{name}.stdin.jsonl").write_bytes(rewrite(talk.stdin))
    print(f"{name}: {len(talk.stdout)} bytes, {talk.end.duration_ms} ms, {[kind for kind, _ in talk.drafts]}")
    return _described(script, turn_input, talk, rewrite)


def _described(
    script: Script, turn_input: TurnInput, talk: AgentRun, rewrite: Callable[[bytes], bytes]
) -> dict[str, Any]:
    opened = [fields["session_id"] for _, fields in talk.of("session")]
    known = {
        "prompt": rewrite(turn_input.prompt.encode()).decode(),
        "model": turn_input.model,
        "session": turn_input.session,
        "spent": turn_input.session_cost,
        "ask": turn_input.ask,
        "answer": script.answer,
        "interrupt_at": script.interrupt_at,
        "code": talk.end.code,
        "opened": opened[0] if opened else None,
        "total": turn_input.session_cost
        + sum(fields.get("cost_usd", 0.0) for _, fields in talk.of("result")),
    }
    return {key: value for key, value in known.items() if value not in (None, "", False, 0.0)} | {
        "code": talk.end.code
    }


def _reacting(script: Script) -> React:
    def react(dialogue: AnyDialogue, draft: Draft) -> bool:
        kind, fields = draft
        if kind == "permission" and script.answer:
            assert dialogue.answer(fields["request"], **script.answer)
        return kind == script.interrupt_at

    return react


def _without_resume(line: bytes) -> bytes:
    return line.replace(b',"resume":{}', b"")


def _rewriter(home: Path, model: FakeModel) -> Callable[[bytes], bytes]:
    changes = {
        str(programs.cache()): "/lab",
        str(home / "work"): "/srv/proj",
        str(home): "/home/u",
        str(home).replace("/", "-"): "-home-u",
        model.url: "http://127.0.0.1:PORT",
        model.url.removeprefix("http://"): "127.0.0.1:PORT",
    }

    def rewrite(data: bytes) -> bytes:
        for real, shown in changes.items():
            data = data.replace(real.encode(), shown.encode())
            data = data.replace(real.removeprefix("/").encode(), shown.removeprefix("/").encode())
        return b"".join(_shortened(line) for line in re.findall(rb"[^\n]*\n|[^\n]+", data))

    return rewrite


def _shortened(line: bytes) -> bytes:
    if b'"available_commands_update"' not in line:
        return line
    message = json.loads(line)
    message["params"]["update"]["availableCommands"] = []
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


if __name__ == "__main__":
    main()
