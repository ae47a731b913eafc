"""An ACP agent made with the PyPI client library. It does what the real agents do not do.

Run as `python -m tests.agents.acp.library_agent`. The prompt names a method below. The agent answers in prose, and
requests files and terminals although none are offered.
"""

import asyncio
from typing import Any

import acp
from acp.schema import PermissionOption, ToolCallUpdate

from tests.agents.acp import EARLIER


class Scripted:
    """The agent. Its methods are those of `acp.Agent`."""

    def __init__(self) -> None:
        self._client: Any = None
        self._cancelled = asyncio.Event()
        self._prompt: list[str] = []

    def on_connect(self, client: Any) -> None:
        self._client = client

    async def initialize(self, protocol_version: int, **_: Any) -> acp.InitializeResponse:
        offered = acp.schema.AgentCapabilities(load_session=True)
        return acp.InitializeResponse(protocol_version=protocol_version, agent_capabilities=offered)

    async def new_session(self, cwd: str, **_: Any) -> acp.NewSessionResponse:
        return acp.NewSessionResponse(session_id="fresh")

    async def load_session(self, session_id: str, **_: Any) -> acp.LoadSessionResponse:
        if session_id not in (EARLIER, "fresh"):
            raise acp.RequestError.resource_not_found(session_id)
        await self._client.session_update(session_id, acp.update_user_message_text("an old prompt"))
        await self._client.session_update(session_id, acp.update_agent_message_text("an old answer"))
        return acp.LoadSessionResponse()

    async def prompt(self, prompt: list[Any], session_id: str, **_: Any) -> acp.PromptResponse:
        self._prompt = [block.text for block in prompt]
        answer = await getattr(self, f"_{prompt[-1].text.split()[-1]}")(session_id)
        if answer is None:
            return acp.PromptResponse(stop_reason="cancelled")
        await self._client.session_update(session_id, acp.update_agent_message_text(answer))
        return acp.PromptResponse(stop_reason="end_turn")

    async def cancel(self, session_id: str, **_: Any) -> None:
        self._cancelled.set()

    # --- what a prompt can name ---

    async def _repeat(self, session_id: str) -> str:
        return "\n---\n".join(self._prompt)

    async def _read(self, session_id: str) -> str:
        try:
            await self._client.read_text_file(path="/etc/passwd", session_id=session_id)
        except acp.RequestError as error:
            return f"refused: {error.code}"
        return "it was read"

    async def _terminal(self, session_id: str) -> str:
        try:
            await self._client.create_terminal(command="id", session_id=session_id)
        except acp.RequestError as error:
            return f"refused: {error.code}"
        return "it ran"

    async def _ask(self, session_id: str) -> str:
        options = [
            PermissionOption(option_id="1", name="Yes", kind="allow_once"),
            PermissionOption(option_id="2", name="Always", kind="allow_always"),
            PermissionOption(option_id="3", name="No", kind="reject_once"),
        ]
        call = ToolCallUpdate(tool_call_id="t", title="Remove it", raw_input={"path": "/x"})
        answer = await self._client.request_permission(session_id=session_id, tool_call=call, options=options)
        return f"answered: {answer.outcome.option_id}"

    async def _plan(self, session_id: str) -> str:
        entries = [acp.plan_entry("first", status="in_progress"), acp.plan_entry("second")]
        await self._client.session_update(session_id, acp.update_plan(entries))
        return "planned"

    async def _edit(self, session_id: str) -> str:
        changed = acp.tool_diff_content("/x", "new", "old")
        call = acp.start_tool_call("t", "Edit x", kind="edit", content=[changed])
        await self._client.session_update(session_id, call)
        await self._client.session_update(session_id, acp.update_tool_call("t", status="completed"))
        return "edited"

    async def _wait(self, session_id: str) -> None:
        await self._client.session_update(session_id, acp.update_agent_message_text("waiting"))
        await self._cancelled.wait()


if __name__ == "__main__":
    asyncio.run(acp.run_agent(Scripted()))  # type: ignore[arg-type]  # it has only the methods that are called here
