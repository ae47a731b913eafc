"""The check of the notifications: whether they can be sent, and whether the last ones were."""

import importlib.util
import os
from pathlib import Path

from breakglass.access.tokens import is_private
from breakglass.config import Config
from breakglass.doctor.files import NOT_HERE
from breakglass.errors import BadConfig
from breakglass.notify import Notify
from breakglass.store import untold
from breakglass.text import one_line
from breakglass.vitals import Sign
from breakglass.vitals.probes import Place

LABEL = "Notifications"
_TEST = "correct it; then: breakglass notify --test"


def notifications(config: Config, place: Place) -> Sign:
    """Whether each destination has an address, and took the last notification. Asks no other machine."""
    from breakglass.access.subscriptions import Subscribers  # slow to import

    services = [each for each in config.notify if not each.push]
    browsers = [f"push[{each.id}]" for each in Subscribers(config.data).all()]
    names = [*(each.name for each in services), *browsers]
    if not names:
        return Sign("notifications", LABEL, "ok", NOT_HERE)
    for package, needed in (("apprise", services), ("pywebpush", browsers)):
        if needed and importlib.util.find_spec(package) is None:
            text, advice = (
                f"some cannot be sent: {package} is not installed",
                "do: pip install 'breakglass[notify]'",
            )
            return Sign("notifications", LABEL, "bad", text, advice=advice)
    if browsers and (text := _problem_of_key(config.data)):
        return Sign(
            "notifications", LABEL, "bad", text, advice="turn notifications off and on in each browser"
        )
    for each in services:
        if text := _problem(each, config):
            return Sign("notifications", LABEL, "bad", f"{each.name}: {text}", advice=_TEST)
    results = untold.results(config.data)
    for name in ("", *names):
        if error := results.get(name, {}).get("error"):
            text = f"{name or 'the process that sends'}: {one_line(str(error), 200)}"
            return Sign("notifications", LABEL, "bad", text, advice=_TEST)
    untested = [name for name in names if name not in results]
    if untested:
        text = f"{', '.join(untested)} has never told anything"
        return Sign("notifications", LABEL, "warn", text, advice="do: breakglass notify --test")
    return Sign("notifications", LABEL, "ok", f"{len(names)} set, and the last ones were sent")


def _problem_of_key(data: Path) -> str:
    """Return why no browser can be told, "" if they can."""
    from breakglass.access.push_key import read_push_key  # slow to import

    try:
        read_push_key(data)
    except FileNotFoundError:
        return "the file push-key was deleted, and the browsers' subscriptions need it"
    except BadConfig as error:
        return str(error)
    return ""


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
