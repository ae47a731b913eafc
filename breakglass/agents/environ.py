"""The environment of an agent and of our own other processes, so that no secret of the server leaks. Pure.

Other processes of the same user can read the environment of each program, the agent included. Only the server and the
runner hide theirs.
"""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from breakglass.agents import PROTOCOLS, about

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
"""Variables that every agent gets if the server has them."""
_NEVER = frozenset({"BREAKGLASS_TOKEN", "BREAKGLASS_TURN"})
"""Variables that a helper does not get: a secret that it does not need, and the mark of a turn."""


def environment(
    server: Mapping[str, str], protocol: str, pass_env: Collection[str], env: Mapping[str, str]
) -> dict[str, str]:
    """Return an agent's environment: the variables of `server` that are allowed or named in `pass_env`, then `env`.

    A variable that begins with BREAKGLASS_ never passes, even if the settings name it.
    """
    # The settings refuse an unknown protocol. A runner that gets one anyway reports it in the log.
    needed = about(protocol).environment if protocol in PROTOCOLS else ()
    patterns = (*ALLOWED, *needed, *pass_env)
    passed = {
        key: value for key, value in server.items() if any(fnmatchcase(key, pattern) for pattern in patterns)
    }
    return {key: value for key, value in {**passed, **env}.items() if not key.startswith("BREAKGLASS_")}


def helper_environment(server: Mapping[str, str], also: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of a program that helps the server: what an agent would get, our settings, and `also`."""
    ours = {key for key in server if key.startswith("BREAKGLASS_")} - _NEVER
    named = {key: server[key] for key in ours.union(also) if key in server}
    return {**environment(server, "shell", (), {}), **named}
