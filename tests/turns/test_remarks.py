"""The reason of a refusal: an agent whose protocol has no place for it does not get it, and the log says so."""

import sys
from pathlib import Path

from breakglass.config.agents import AgentConfig
from breakglass.store import sessions
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt
from tests.help.turns import make_config, wait_for_end
from tests.help.waiting import wait_until

ROOT = Path(__file__).parents[2]


def test_an_acp_agent_gets_no_remark_and_the_log_says_so(root: Path) -> None:
    command = (sys.executable, "-m", "tests.agents.acp.library_agent")
    agent = AgentConfig("lib", "acp", command, permissions="ask", env={"PYTHONPATH": str(ROOT)})
    config = make_config(root, agent)
    told = []
    for remark in ("use the replica", None):
        session = sessions.create(root, "lib")
        turn = submit_prompt(config, session, "ask", by="ann").id
        wait_until(lambda of=session: bool(of.state().asking), "the question")  # type: ignore[misc]
        request = session.state().asking[0].request
        answer_question(session, request, allow=False, by="ann", message=remark)
        events = wait_for_end(session, turn)
        told.append([event["text"] for event in events if event["kind"] == "notice"])
    assert told == [
        [
            "The agent does not get this remark: its protocol has no place for one. Repeat it in your next prompt."
        ],
        [],
    ]
