"""The exception tree. Each class is a different *reaction*; its text is one line a person can act on.

    BreakglassError            anything below; the command line prints it and exits 1
    ├── BadInput               the request is wrong, nothing was changed      HTTP 422, exit 2
    │   ├── Malformed          it cannot even be read                         HTTP 400
    │   ├── TooLarge           more than is taken                             HTTP 413
    │   └── BadConfig          a setting is wrong; the program does not start
    ├── Forbidden              it did not come from our own page              HTTP 403
    ├── NotFound               no such session, or no such question           HTTP 404
    ├── Conflict               the moment is wrong; it may work later         HTTP 409
    │   └── TurnRunning        a turn runs already                            exit 3
    └── CannotRecord           the disk refused; nothing was acknowledged     HTTP 507
        └── Degraded           the disk failed (EIO); the log takes no more

HTTP statuses are mapped in web/app.py, exit codes in cli/__init__.py, nowhere else. An agent's failure is an
*event*, not an exception.
"""


class BreakglassError(Exception):
    """Something failed, and the text says what was done, what was expected and what came."""


class BadInput(BreakglassError):
    """The request cannot be served as it is. Nothing was changed."""


class Malformed(BadInput):
    """The request cannot be read as what it should be. Nothing was changed."""


class TooLarge(BadInput):
    """The request is larger than is ever taken. Nothing was changed."""


class BadConfig(BadInput):
    """A setting has a bad value: the text names the key, the value and what was expected."""


class Forbidden(BreakglassError):
    """The request may be sound, but it is not clear that whoever is logged in meant it. Nothing was changed."""


class NotFound(BreakglassError):
    """What was named does not exist here."""


class Conflict(BreakglassError):
    """The request is sound but the moment is not. Nothing was changed."""


class TurnRunning(Conflict):
    """A turn is running in this session already."""


class CannotRecord(BreakglassError):
    """An event could not be written, so what it would have recorded was not done."""


class Degraded(CannotRecord):
    """The disk reported an I/O error: what was written before cannot be trusted to be there."""
