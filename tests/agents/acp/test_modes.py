"""Which mode of an agent a turn gets."""

import pytest

from breakglass.agents.acp.modes import Choice, Mode, Offer, choose, fallback

CODEX = [
    Mode("read-only", "Read-only Requires approval to edit files and access the internet."),
    Mode("workspace-write", "Workspace access Edit files; ask before writing outside the workspace."),
    Mode("agent", "Auto review Only ask for actions detected as potentially unsafe"),
    Mode("agent-full-access", "Full access Unrestricted access to the internet and any file"),
]
GEMINI = [
    Mode("default", "Default Prompts for approval"),
    Mode("autoEdit", "Auto Edit Auto-approves edit tools"),
    Mode("yolo", "YOLO Auto-approves all tools"),
    Mode("plan", "Plan Read-only mode"),
]
QWEN = [Mode(each, "") for each in ("auto", "plan", "default", "auto-edit", "yolo")]
ZED_CLAUDE = [
    Mode("default", "Default Standard behavior, prompts for dangerous operations"),
    Mode("acceptEdits", "Accept Edits Auto-accept file edit operations"),
    Mode("plan", "Plan Mode Planning mode, no actual tool execution"),
    Mode("dontAsk", "Don't Ask Don't prompt for permissions, deny if not pre-approved"),
]
KILO = [Mode("code", "Code"), Mode("ask", "Ask Answers without making changes"), Mode("plan", "Plan")]
NEW = [
    Mode("careful", "Asks before each tool"),
    Mode("free", "Runs everything without asking"),
    Mode("x", ""),
]


@pytest.mark.parametrize(
    ("modes", "current", "agent", "acting", "asking"),
    [
        (CODEX, "agent", "@agentclientprotocol/codex-acp", "agent-full-access", "read-only"),
        (CODEX, "agent", "another", "agent-full-access", "read-only"),
        (CODEX, "agent-full-access", "codex-acp", "", "read-only"),
        (GEMINI, "default", "gemini-cli", "yolo", ""),
        (QWEN, "auto", "qwen-code", "yolo", "default"),
        (ZED_CLAUDE, "plan", "@zed-industries/claude-code-acp", "default", "default"),
        (ZED_CLAUDE, "dontAsk", "another", "default", "default"),
        (KILO, "code", "Kilo", "", ""),
        (KILO, "ask", "Kilo", "code", ""),
        ([Mode("build", ""), Mode("plan", "")], "build", "OpenCode", "", ""),
        (
            [Mode("https://example.org/modes#autopilot", "")],
            "",
            "copilot",
            "https://example.org/modes#autopilot",
            "",
        ),
        (NEW, "x", "another", "free", "careful"),
        ([], "", "another", "", ""),
    ],
)
def test_a_mode_is_chosen_by_what_it_means_at_the_agent(
    modes: list[Mode], current: str, agent: str, acting: str, asking: str
) -> None:
    offer = Offer(current, modes, "")
    assert choose(offer, agent, ask=False).mode == acting
    assert choose(offer, agent, ask=True).mode == asking


@pytest.mark.parametrize("current", ["agent", "auto", "build"])
def test_a_turn_that_need_not_ask_never_gets_a_weaker_mode(current: str) -> None:
    offer = Offer(current, [Mode("read-only", "Requires approval to edit"), Mode(current, "")], "")
    chosen = choose(offer, "another", ask=False)
    assert chosen == Choice("", chosen.notice)
    assert f'It stays in its mode "{current}"' in chosen.notice


def test_a_mode_that_asks_needs_no_notice_because_every_question_gets_permission() -> None:
    assert choose(Offer("default", ZED_CLAUDE, ""), "another", ask=False) == Choice("")


def test_an_agent_without_a_mode_that_is_known_to_ask_stays_and_the_user_is_told() -> None:
    offer = Offer("x", [Mode("x", ""), Mode("ask", "Answers without making changes")], "")
    assert choose(offer, "another", ask=True).notice.startswith(
        "The agent offers no mode that is known to ask"
    )


def test_after_a_refused_mode_only_a_weaker_one_is_left() -> None:
    assert fallback(Offer("default", GEMINI, ""), "gemini-cli", "yolo") == ""
    assert fallback(Offer("plan", GEMINI, ""), "gemini-cli", "yolo") == "default"
