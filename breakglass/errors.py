"""The exception tree. Callers react to each class in a different way. The text is one line that says what to do.

    BreakglassError            any error below
    ├── BadInput               the request is wrong; nothing was changed
    │   ├── Malformed          the request cannot be parsed
    │   ├── TooLarge           the request is too large
    │   └── BadConfig          a setting, or a value that a setting also takes, is wrong
    ├── Forbidden              the request did not come from our own page
    ├── NotFound               the session or event does not exist
    ├── Conflict               not possible now, perhaps later
    │   ├── TurnRunning        a turn is already running
    │   └── OverBudget         the day's budget is spent; a confirmed prompt is accepted
    ├── EngineLost             the engine of the relays does not answer; try again
    ├── WrongSequence          another message came into the stream first; ask again
    ├── Fenced                 another relay with our credentials has taken over; stop
    ├── StreamFull             the engine stores no more of this host; make room, then start again
    ├── HostAway               another host does not answer; nothing was done there
    ├── HostRefused            another host refused a signed command; nothing was done there
    ├── OutcomeUnknown         another host did not say whether it did a signed command
    ├── EngineRefused          the engine refuses us, or is too old; change the credentials or the engine
    └── CannotRecord           the disk refused; nothing was done
        ├── ReadOnly           the data root or the session can only be read; nothing was done
        ├── LogLocked          another process keeps the log locked; nothing was done
        └── Degraded           the disk failed (EIO); the log accepts no more events

Only web/app.py maps them to HTTP statuses, and only cli/__init__.py to exit statuses. A failure of an agent is an
event, not an exception.
"""


class BreakglassError(Exception):
    """Something failed. The text says what was done, what was expected and what happened."""


class BadInput(BreakglassError):
    """The request is wrong. Nothing was changed."""


class Malformed(BadInput):
    """The request cannot be parsed. Nothing was changed."""


class TooLarge(BadInput):
    """The request is larger than the limit. Nothing was changed."""


class BadConfig(BadInput):
    """A setting has a bad value, or a request names a bad agent or model. The text names the key, the value and what
    was expected."""


class Forbidden(BreakglassError):
    """The request may come from another site, without the intention of the user. Nothing was changed."""


class NotFound(BreakglassError):
    """The named session or event does not exist."""


class Conflict(BreakglassError):
    """The request is correct, but not possible in the present state. Nothing was changed."""


class TurnRunning(Conflict):
    """A turn is already running in this session."""


class OverBudget(Conflict):
    """The budget of the day is spent. The same prompt is accepted with a confirmation. Nothing was changed."""


class EngineLost(BreakglassError):
    """The engine of the relays cannot be reached or does not answer. Nothing is lost: try again."""


class WrongSequence(BreakglassError):
    """Another message came into the stream first. The sender must ask again where the stream is."""


class Fenced(BreakglassError):
    """Another relay with the same credentials has taken over. The text names its machine."""


class StreamFull(BreakglassError):
    """The engine stores no more of this host."""


class EngineRefused(BreakglassError):
    """The engine refuses the credentials, or is too old to be safe."""


class HostAway(BreakglassError):
    """Another host does not answer. Nothing was done there."""


class HostRefused(BreakglassError):
    """Another host refused a signed command. The text is its reason. Nothing was done there."""


class OutcomeUnknown(BreakglassError):
    """A signed command was sent, and its host gave no valid answer. The same command with the same key is safe."""


class CannotRecord(BreakglassError):
    """An event could not be written, so the action that it records was not done."""


class ReadOnly(CannotRecord):
    """The data root or the session can only be read. Nothing was changed. The text names the reason."""


class LogLocked(CannotRecord):
    """Another process keeps the log locked. Nothing was changed. The text names that process if it is known."""


class Degraded(CannotRecord):
    """The disk reported an I/O error. Earlier writes may be lost too."""
