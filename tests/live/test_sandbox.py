"""The real Claude Code in the sandbox, with the fake model: it works there, and it does not get out."""

import os
from pathlib import Path

from tests.live.real import Real, bash


def test_claude_code_works_in_the_sandbox_and_reaches_nothing_else(
    real: Real, claude: str, home: Path
) -> None:
    kept = home / ".claude"
    kept.mkdir()
    program = Path(claude)
    real.set_agent(
        sandbox="bwrap",
        env={**real.config.agents["claude"].env, "HOME": str(home)},
        readable=(str(program.parent), str(program.resolve().parent)),
        writable=("~/.claude",),
    )
    if os.geteuid() == 0:  # the agent is then nobody
        os.chown(kept, 65534, 65534)
    (real.config.data / "secret").write_text("of the server")
    first = real.run(bash(f"echo made > made; cat made; ls {real.config.data}; echo x > /etc/x; id -u"))
    assert first.status == "ok"
    output = str(first.only("tool_result", "output"))
    assert output.splitlines()[:2] == ["made", "workspaces"]
    assert (
        "read-only file system" in output.lower()
    )  # Claude Code prefers zsh, which words it differently from bash
    assert output.splitlines()[-1] != "0"
    assert (real.workspace / "made").read_text() == "made\n"
    second = real.run("and before?")
    assert second.of("error") == []
    assert second.only("session", "session_id") == first.only("session", "session_id")
