"""The exception tree. Callers react to each class in a different way. The text is one line that says what to do.

    BreakglassError            any error below; the command line prints it and exits 1
    ├── BadInput               the request is wrong; nothing was changed      HTTP 422, exit 2
    │   ├── Malformed          the request cannot be parsed                   HTTP 400
    │   ├── TooLarge           the request is too large                       HTTP 413
    │   └── BadConfig          a setting is wrong; the program does not start
    ├── Forbidden              the request did not come from our own page     HTTP 403
    ├── NotFound               the session or question does not exist         HTTP 404
    ├── Conflict               not possible now, perhaps later                HTTP 409
    │   └── TurnRunning        a turn is already running                      exit 3
    └── CannotRecord           the disk refused; nothing was done             HTTP 507
        └── Degraded           the disk failed (EIO); the log accepts no more events

Only web/app.py maps them to HTTP statuses, and only cli/__init__.py to exit codes. A failure of an agent is an
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
    """A setting has a bad value. The text names the key, the value and what was expected."""


class Forbidden(BreakglassError):
    """The request may come from another site, without the intention of the user. Nothing was changed."""


class NotFound(BreakglassError):
    """The named session or event does not exist."""


class Conflict(BreakglassError):
    """The request is correct, but not possible in the present state. Nothing was changed."""


class TurnRunning(Conflict):
    """A turn is already running in this session."""


class CannotRecord(BreakglassError):
    """An event could not be written, so the action that it records was not done."""


class Degraded(CannotRecord):
    """The disk reported an I/O error. Earlier writes may be lost too."""
