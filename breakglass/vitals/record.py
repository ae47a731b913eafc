"""Records the vital signs in a session's log when a prompt arrives, without delaying the prompt."""

import contextlib
import threading

from breakglass.config import Config
from breakglass.errors import BreakglassError
from breakglass.store.sessions import Session
from breakglass.vitals.measure import measure
from breakglass.vitals.probes import Place


def record_later(config: Config, session: Session) -> None:
    """Measure in a thread, and append a `vitals` event. A command ends only after that, within seconds.

    The agents are left out: asking them about their login takes longer than all other signs.
    """
    if not config.vitals:
        return
    with contextlib.suppress(RuntimeError):  # no thread is free: the prompt counts more
        threading.Thread(target=_record, args=(config, session), name="vitals").start()


def _record(config: Config, session: Session) -> None:
    signs = measure(Place(config.data, config.environ)).by_name()
    with contextlib.suppress(BreakglassError, OSError), session.open_log() as opened:
        opened.append("vitals", signs=signs)
