"""The check of the notifications: whether they can be sent, and whether the last ones were."""

import importlib.util
import os
from pathlib import Path

from breakglass.access.tokens import is_private
from breakglass.config import Config
from breakglass.doctor.files import NOT_HERE
from breakglass.notify import Notify
from breakglass.store import untold
from breakglass.text import one_line
from breakglass.vitals import Sign
from breakglass.vitals.probes import Place

LABEL = "Notifications"
_TEST = "correct it; then: breakglass notify --test"


def notifications(config: Config, place: Place) -> Sign:
    """Whether each destination has an address, and took the last notification. Asks no other machine."""
    if not config.notify:
        return Sign("notifications", LABEL, "ok", NOT_HERE)
    if importlib.util.find_spec("apprise") is None:
        advice = "do: pip install 'breakglass[notify]'"
        return Sign(
            "notifications", LABEL, "bad", "none can be sent: apprise is not installed", advice=advice
        )
    for each in config.notify:
        if text := _problem(each, config):
            return Sign("notifications", LABEL, "bad", f"{each.name}: {text}", advice=_TEST)
    results = untold.results(config.data)
    for name in ("", *(each.name for each in config.notify)):
        if error := results.get(name, {}).get("error"):
            text = f"{name or 'the process that sends'}: {one_line(str(error), 200)}"
            return Sign("notifications", LABEL, "bad", text, advice=_TEST)
    untested = [each.name for each in config.notify if each.name not in results]
    if untested:
        text = f"{', '.join(untested)} has never told anything"
        return Sign("notifications", LABEL, "warn", text, advice="do: breakglass notify --test")
    return Sign("notifications", LABEL, "ok", f"{len(config.notify)} set, and the last ones were sent")


def _problem(notify: Notify, config: Config) -> str:
    """Return why the address cannot be read, "" if it can. Never a part of the address."""
    if notify.url_env:
        return "" if config.environ.get(notify.url_env) else f"the variable {notify.url_env} is not set"
    if notify.url_file:
        path = Path(notify.url_file).expanduser()
        try:
            status = os.stat(path)
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
        return "" if is_private(status) else f"others may read {path}"
    return ""
