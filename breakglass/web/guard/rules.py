"""The rules of the door: pure functions of the settings and a request, None or a `Refusal` each.

Their order is the order of the tables at the end. docs/security.md tells which attack each is for.
"""

import re
from collections.abc import Callable

from breakglass.access.credentials import Credential
from breakglass.web.guard.request import SAFE, Door, Refusal, Request

Rule = Callable[[Door, Request], Refusal | None]

METHODS = SAFE | {"POST", "PATCH", "DELETE"}
VERSIONS = frozenset({"1.0", "1.1", "2"})
WATCHERS_MAY_POST = frozenset({"/logout"})

# Two of these, and two parsers in a row may each believe another one.
SINGLE = frozenset(
    b"host content-length transfer-encoding content-type authorization origin "
    b"sec-fetch-site sec-fetch-mode sec-fetch-dest".split()
)

_JSON = re.compile(rb'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,15}")
_TARGET = re.compile(rb"(?:/(?:[A-Za-z0-9_.~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?")
_ENCODED_SLASH = re.compile(rb"%(?:2f|5c)", re.IGNORECASE)
_NEVER_IN_PATH = re.compile("[\x00-\x1f\x7f-\x9f\\\\\u2028\u2029\ufffd]|/\\.\\.?(?:/|$)")
_USER = re.compile(rb"[A-Za-z0-9_.@+-]{1,64}")
_DOCUMENT = {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}


# --- rules: before anybody is asked who it is ---------------------------------------------------


def protocol(door: Door, request: Request) -> Refusal | None:
    """HTTP/2 only where TLS has negotiated it: clear-text h2c tunnels past what a proxy decides."""
    if request.version not in VERSIONS or (request.version == "2" and request.scheme != "https"):
        return Refusal(400, "This is spoken here: HTTP/1.1, and HTTP/2 over TLS.")
    return None


def method(door: Door, request: Request) -> Refusal | None:
    if request.method not in METHODS:
        allow = ", ".join(sorted(METHODS)).encode()
        return Refusal(405, f"Allowed are {allow.decode()}.", ((b"allow", allow),))
    return None


def repeated(door: Door, request: Request) -> Refusal | None:
    trusted = {door.user_header} if request.peer in door.proxies else set()
    if request.twice and (both := request.twice & (SINGLE | trusted)):
        return Refusal(400, f"The header field {min(both, key=str)!r} was sent twice.")
    return None


def lengths(door: Door, request: Request) -> Refusal | None:
    """One clear length or none, and none where no body belongs: what is left over would be a request."""
    length = request.fields.get(b"content-length")
    coding = request.fields.get(b"transfer-encoding")
    if length is not None and coding is not None:
        return Refusal(400, "Content-Length and Transfer-Encoding were both sent.")
    if coding is not None and (coding.lower() != b"chunked" or request.version == "1.0"):
        return Refusal(400, "Transfer-Encoding can be `chunked` in HTTP/1.1, nothing else.")
    if length is not None and not _LENGTH.fullmatch(length):
        return Refusal(400, "Content-Length is not a number.")
    if request.method in SAFE and (coding is not None or int(length or 0)):
        return Refusal(400, f"A {request.method} has no body here.")
    return None


def upgrade(door: Door, request: Request) -> Refusal | None:
    if b"upgrade" in request.fields:
        return Refusal(400, "No protocol is changed to here: neither WebSocket nor h2c.")
    return None


def target(door: Door, request: Request) -> Refusal | None:
    """A path that means one thing only. Not the absolute form: the host in it would be a second one."""
    raw = request.raw_path
    plain = _TARGET.fullmatch(raw) and not (b"%" in raw and _ENCODED_SLASH.search(raw))
    if not plain or not request.path.startswith("/") or _NEVER_IN_PATH.search(request.path):
        return Refusal(400, "The path is malformed.")
    return None


_MISDIRECTED = (
    "This server does not go by that name and port. Where you reach it through a tunnel or a proxy, give both ends "
    'the same port, or name the address you open in its settings: origins = ["http://127.0.0.1:8399"] '
    "(BREAKGLASS_ORIGINS)."
)


def host(door: Door, request: Request) -> Refusal | None:
    """Against DNS rebinding: a page of evil.example that came to resolve to us still says evil.example."""
    if not request.fields.get(b"host"):
        return Refusal(400, "The header field Host is missing.")
    if not own_origin(door, request):
        return Refusal(421, _MISDIRECTED)
    return None


def own_origin(door: Door, request: Request) -> bytes:
    """Return the one origin whose pages may act through this request, b"" for a Host that is none of ours."""
    name = request.fields[b"host"].lower()
    found = door.sites.get(name, b"")
    return (
        door.scheme.encode() + b"://" + name
        if not found and door.any_address and name == request.local
        else found
    )


def provenance(door: Door, request: Request) -> Refusal | None:
    """No other site acts or reads through a browser here. It may link here: then no cookie comes along."""
    site = request.fields.get(b"sec-fetch-site")
    origin = request.fields.get(b"origin")
    # Under `Referrer-Policy: no-referrer` a plain form of our own page says `Origin: null` (Fetch, 3.1).
    ours = (None, own_origin(door, request), b"null" if site == b"same-origin" else None)
    link = request.method == "GET" and not request.is_api and _DOCUMENT.items() <= request.fields.items()
    if origin not in ours or not (site in (None, b"same-origin", b"none") or link):
        return Refusal(403, "The request comes from another site.")
    return None


def user(door: Door, request: Request) -> Refusal | None:
    named = proxy_user(door, request)
    return (
        Refusal(400, "The proxy's user has a malformed name.")
        if named and not _USER.fullmatch(named)
        else None
    )


def proxy_user(door: Door, request: Request) -> bytes:
    """Return the user whom a listed proxy has named, else b"": from anybody else the header says nothing."""
    return request.fields.get(door.user_header or b"", b"") if request.peer in door.proxies else b""


def client_address(door: Door, request: Request) -> str:
    """Return where the request comes from: the peer, or who a listed proxy says stood before it."""
    if door.address_header is None or request.peer not in door.proxies:
        return request.peer
    said = request.fields.get(door.address_header, b"").rpartition(b",")[2].strip()
    return said.decode("latin-1")[:45] or request.peer


# --- rules: once it is known who it is ----------------------------------------------------------


def watching(door: Door, request: Request, credential: Credential) -> Refusal | None:
    if credential.may_act or request.method in SAFE or request.path in WATCHERS_MAY_POST:
        return None
    return Refusal(403, "This login may watch, and not act.")


def deliberate(door: Door, request: Request, credential: Credential) -> Refusal | None:
    """What a browser or a proxy adds by itself shows no intent: the page it comes from must be ours."""
    if credential.kind == "token" or request.method in SAFE or b"origin" in request.fields:
        return None  # an origin that came along was looked at by `provenance`
    if request.fields.get(b"sec-fetch-site") == b"same-origin":
        return None
    return Refusal(
        403, "Neither Origin nor Sec-Fetch-Site says where this comes from. Scripts use the token."
    )


# --- rules: what may be sent along --------------------------------------------------------------


def media_type(door: Door, request: Request) -> Refusal | None:
    """On `/api` only what no form can send. No body and no type at all (`curl -X POST`) is no form either."""
    if not request.is_api or request.method in SAFE:
        return None
    kind = request.fields.get(b"content-type")
    empty = request.fields.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in request.fields
    if _JSON.fullmatch(kind) if kind is not None else empty:
        return None
    return Refusal(415, "Expected Content-Type: application/json.")


def declared(door: Door, request: Request) -> Refusal | None:
    return too_large(request, int(request.fields.get(b"content-length", 0)))


def too_large(request: Request, size: int) -> Refusal | None:
    """Return the refusal of a body of that many bytes, declared or received."""
    if size and request.method in SAFE:
        return Refusal(400, f"A {request.method} has no body here.")
    return (
        Refusal(413, f"The body is larger than {request.max_body} bytes.")
        if size > request.max_body
        else None
    )


BEFORE = (protocol, method, repeated, lengths, upgrade, target, host, provenance, user)
KNOWN = (watching, deliberate)
AFTER = (media_type, declared)


def check(door: Door, request: Request) -> Refusal | None:
    """Return why nobody at all may send this request, None where it depends on who it is."""
    return next(filter(None, (rule(door, request) for rule in BEFORE)), None)


def admit(door: Door, request: Request, credential: Credential | None) -> Refusal | None:
    """Return why this caller may not send a request that `check` passed, None where it may."""
    if credential is None and not request.is_open:
        return stranger(door, request)
    known = (rule(door, request, credential) for rule in KNOWN) if credential and not request.is_open else ()
    return next(filter(None, (*known, *(rule(door, request) for rule in AFTER))), None)


def stranger(door: Door, request: Request) -> Refusal:
    """Return what somebody without a credential is told: a program what to send, a person where to go."""
    if request.is_api:
        return Refusal(
            401, "Send the token: `Authorization: Bearer TOKEN`.", ((b"www-authenticate", b"Bearer"),)
        )
    return Refusal(303, "Log in first.", ((b"location", f"{door.prefix}/login".encode()),))
