"""Any agent that speaks the Agent Client Protocol (agentclientprotocol.com)."""

from breakglass.agents import About

ABOUT = About(
    environment=("ANTHROPIC_*", "CLAUDE_*", "AWS_*", "GOOGLE_*", "OPENAI_*", "GEMINI_*"),
    instructions="prompt",
    logs_in_by_protocol=True,
    choice_tools=frozenset(
        {"AskUserQuestion", "Question"}
    ),  # claude-agent-acp keeps the names of Claude Code's tools
)
