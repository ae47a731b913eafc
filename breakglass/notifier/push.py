"""Sends notifications to a browser. Only this module imports pywebpush, which takes a second to import."""

import re
import socket
import time
from urllib.parse import urlsplit

from breakglass.access import subscriptions
from breakglass.access.logins import Login
from breakglass.access.push_key import read_push_key
from breakglass.config import Config
from breakglass.errors import BadConfig, CannotRecord
from breakglass.notify.message import Message
from breakglass.notify.push import is_allowed, payload

MISSING = "pywebpush is not installed; do: pip install 'breakglass[notify]'"
GONE = "the browser takes no notifications any more; its subscription was deleted"
KEEP_SECONDS = 86_400
"""How long the push service keeps a notification for a device that is off."""
TIMEOUT_SECONDS = 10.0


class PushService:
    """The push service of one browser, ready to take notifications."""

    def __init__(self, config: Config, login: Login) -> None:
        """Raise BadConfig if nothing can be sent to it."""
        try:
            import pywebpush
            import requests
        except ImportError as error:
            raise BadConfig(MISSING) from error
        try:
            self._key = read_push_key(config.data)
        except FileNotFoundError as error:
            raise BadConfig(
                "the file push-key was deleted: turn notifications off and on in the browser"
            ) from error
        assert login.push
        if not is_allowed(login.push.endpoint, config.push_services):
            raise BadConfig("its push service is not known, and not in push_services")
        self._pywebpush, self._requests = pywebpush, requests
        self._config, self._login, self._push = config, login, login.push

    def send(self, message: Message, path: str) -> str:
        """Send a notification, encrypted for the browser. Return as `Service.send`. Drop a browser that is gone."""
        status = self._post(payload(message, path))
        if status in (404, 410):  # RFC 8030, section 7.3
            try:
                subscriptions.drop(self._config.data, self._login, int(time.time()))
            except CannotRecord:
                pass  # the next notification tries again
            return GONE
        if status == 0:
            return "it could not be reached, or did not answer in time"
        return "" if status in (200, 201, 202) else f"HTTP {status}"

    def _post(self, data: bytes) -> int:
        """Return the status of the response, 0 without one."""
        try:
            response = self._pywebpush.webpush(
                {
                    "endpoint": self._push.endpoint,
                    "keys": {"p256dh": self._push.p256dh, "auth": self._push.auth},
                },
                data,
                self._key.private,
                {"sub": self._contact()},
                timeout=TIMEOUT_SECONDS,
                ttl=KEEP_SECONDS,
                headers={"Urgency": "high"},
                requests_session=self._session(),
            )
            return int(response.status_code)
        except self._pywebpush.WebPushException as error:  # its text has the address
            return error.status_code or 0
        except self._requests.RequestException as error:  # TooManyRedirects has the response
            return error.response.status_code if error.response is not None else 0
        except ValueError:
            return 0

    def _session(self) -> object:
        """Return a session that follows no redirect: it could lead to any address."""
        session = self._requests.Session()
        session.max_redirects = 0
        return session

    def _contact(self) -> str:
        """Return the contact that a push service gets (RFC 8292, section 2.1).

        Push services refuse a host name without a dot.
        """
        public = [each for each in self._config.origins if each.startswith("https://")]
        name = urlsplit(public[0]).hostname or "" if public else socket.gethostname().lower()
        name = re.sub("[^a-z0-9.-]", "-", name)
        return f"mailto:root@{name if '.' in name else f'{name}.local'}"
