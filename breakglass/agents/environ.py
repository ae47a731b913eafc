"""The agent's environment: an allow-list of ours, so that no secret of the server's reaches it. Pure."""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

ALLOWED = (
    *(
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LC_*",
        "TERM",
        "TZ",
        "TMPDIR",
        "XDG_*",
        "SSH_AUTH_SOCK",
    ),
    *(
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    ),
)
"""What every agent gets where the server has it."""

NEEDED: dict[str, tuple[str, ...]] = {
    "claude": ("ANTHROPIC_*", "CLAUDE_*", "AWS_*", "GOOGLE_*"),
    "acp": ("ANTHROPIC_*", "CLAUDE_*", "AWS_*", "GOOGLE_*", "OPENAI_*", "GEMINI_*"),
}
"""What a protocol's agents are known to need besides."""


def environment(
    ours: Mapping[str, str], protocol: str, pass_env: Collection[str], env: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of an agent: what of `ours` is allowed or named in `pass_env`, then `env`.

    Nothing that begins with BREAKGLASS_ passes, whoever names it.
    """
    patterns = (*ALLOWED, *NEEDED.get(protocol, ()), *pass_env)
    passed = {
        key: value for key, value in ours.items() if any(fnmatchcase(key, pattern) for pattern in patterns)
    }
    return {key: value for key, value in {**passed, **env}.items() if not key.startswith("BREAKGLASS_")}
