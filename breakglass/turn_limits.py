"""The limits of a turn besides its time. They are constants and not settings: no user has needed other values."""

from typing import NamedTuple

MAX_PROMPT = 256 << 10
"""Maximum bytes of UTF-8 of a prompt."""


class TurnLimits(NamedTuple):
    """What an agent may do in one turn, and how long the runner waits for it to end. Tests use smaller values."""

    output: int = 256 << 20
    """Bytes that an agent may print."""
    silent: float = 60.0
    """Seconds that an agent may run after it closed its output."""
    replay_quiet: float = 0.3
    """Seconds without output after which a reopened session is taken to have replayed its past."""
    replay: float = 10.0
    """Seconds after which the prompt is sent although the session still replays."""
    quiet: float = 2.0
    """Seconds without output after the final answer until the agent must exit."""
    settle: float = 10.0
    """Seconds after the final answer until the agent must exit although it still prints."""
    exit: float = 5.0
    """Seconds that it has to exit after its input was closed."""
    linger: float = 2.0
    """Seconds after the agent's exit for which its remaining processes may hold its output open."""
    interrupt: float = 5.0
    """Seconds that an agent has to end after SIGINT."""
    terminate: float = 2.0
    """Seconds that it has to end after SIGTERM."""
    kill: float = 5.0
    """Seconds that it has to end after SIGKILL. Only a process in uninterruptible sleep needs them."""
