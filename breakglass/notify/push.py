"""Web Push: which addresses may get a notification, and what is sent to them. Pure.

A browser names the address at its push service, and this machine sends there. A client could name any address that this
machine reaches. So only those of known services are accepted, and those of the setting `push_services`.
"""

import base64
import binascii
import json
import re
from collections.abc import Collection

from breakglass.errors import BadConfig, BadInput
from breakglass.notify import Notify
from breakglass.notify.message import Message
from breakglass.settings import expected, parse_origins

SERVICES = (
    "fcm.googleapis.com",
    "jmt17.google.com",
    "push.services.mozilla.com",
    "push.apple.com",
    "notify.windows.com",
)
"""The hosts of the push services of Chrome, Firefox, Safari and Edge. Each stands for the hosts below it too."""
_ENDPOINT = re.compile(r"(https?)://([a-z0-9.-]{1,253})(:[0-9]{1,5})?/[!-~]*")
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")
MAX_ENDPOINT = 2000
MAX_PAYLOAD = 3900
"""Bytes of a notification: a push service takes 4,096 after the encryption (RFC 8030, section 7.2)."""
KEY_BYTES, AUTH_BYTES = 65, 16


def parse_push_services(name: str, value: object) -> tuple[str, ...]:
    """Return the origins of push services. Only on the loopback interface one may be without TLS."""
    origins = parse_origins(name, value)
    for origin in origins:
        if not origin.startswith("https://") and not _LOOPBACK.fullmatch(origin):
            raise expected(name, origin, "https://NAME or https://NAME:PORT")
    return origins


def settings_of(notify: Collection[Notify]) -> Notify:
    """Return the settings for browsers: the `[[notify]]` with `push`, else the defaults."""
    return next((each for each in notify if each.push), Notify(-1, push=True))


def check_single(notify: Collection[Notify]) -> None:
    """Raise BadConfig for a second table with `push`: each browser would be told twice."""
    if len(found := [each.name for each in notify if each.push]) > 1:
        raise BadConfig(f"{found[1]}.push: {found[0]} has it already")


def check_subscription(endpoint: str, p256dh: str, auth: str, services: Collection[str]) -> None:
    """Raise BadInput unless these are the address and keys of a browser. `services`: origins of more services."""
    if not is_allowed(endpoint, services):
        raise BadInput(
            "endpoint: expected an address of a known push service; if this browser uses another one, add its origin "
            "to the setting push_services"
        )
    key = _decoded("keys.p256dh", p256dh, KEY_BYTES)
    if key[0] != 4:
        raise BadInput("keys.p256dh: expected an uncompressed point of the curve P-256")
    _decoded("keys.auth", auth, AUTH_BYTES)


def is_allowed(endpoint: str, services: Collection[str]) -> bool:
    """Return whether a notification may be sent to an address."""
    match = _ENDPOINT.fullmatch(endpoint) if len(endpoint) <= MAX_ENDPOINT else None
    if match is None or "\\" in endpoint or "#" in endpoint:
        return False
    scheme, host, port = match[1], match[2], match[3] or ""
    if f"{scheme}://{host}{port}" in services:
        return True
    return scheme == "https" and not port and any(f".{host}".endswith(f".{known}") for known in SERVICES)


def host_of(endpoint: str) -> str:
    """Return the host of an address, which names the service. The rest of the address is a secret."""
    match = _ENDPOINT.fullmatch(endpoint)
    return match[2] if match else "?"


def _decoded(name: str, text: str, size: int) -> bytes:
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != size:
        raise BadInput(f"{name}: expected {size} bytes in base64url")
    return found


def payload(message: Message, path: str) -> bytes:
    """Return what the page's service worker gets, before it is encrypted. `path`: which page a tap opens."""
    body = message.body
    while True:
        fields = {"title": message.title, "body": body, "path": path}
        data = json.dumps(fields, ensure_ascii=False).encode(errors="replace")
        if len(data) <= MAX_PAYLOAD or not body:
            return data
        body = body[: len(body) * 9 // 10]
