"""The guard's rules: functions of the settings and a request. Each returns a `Refusal`, or None.

Pure. The tables at the end give the order. docs/security.md names the attack behind each rule.
"""

import re
from collections.abc import Callable

from breakglass.access.credentials import Credential, csrf_matches
from breakglass.settings import ORIGIN
from breakglass.web.guard.request import FILES, HEALTH, SAFE_METHODS, Refusal, Request
from breakglass.web.guard.settings import LOOPBACK_NAMES, GuardSettings

Rule = Callable[[GuardSettings, Request], Refusal | None]

METHODS = SAFE_METHODS | {"POST", "PATCH", "DELETE"}
VERSIONS = frozenset({"1.0", "1.1", "2"})
READ_ONLY_MAY_POST = frozenset({"/logout"})
READ_ONLY_LOGIN_MAY_CHANGE = frozenset({"/api/push"})
"""Paths that change only the login itself: its browser is told what it may read."""

# If one of these is sent twice, a proxy and this server may each use a different value.
SINGLE_FIELDS = frozenset(
    b"host content-length transfer-encoding content-type authorization origin "
    b"sec-fetch-site sec-fetch-mode sec-fetch-dest".split()
)

_JSON = re.compile(rb'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,15}")
_TARGET = re.compile(rb"(?:/(?:[A-Za-z0-9_.~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?")
_ENCODED_SLASH = re.compile(rb"%(?:2f|5c)", re.IGNORECASE)
_NEVER_IN_PATH = re.compile("[\x00-\x1f\x7f-\x9f\\\\\u2028\u2029\ufffd]|/\\.\\.?(?:/|$)")
_USER = re.compile(rb"[A-Za-z0-9_.@+-]{1,64}")
_NAVIGATION = {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}


# --- for every caller, before its credential is read --------------------------------------------


def refuse_other_protocols(settings: GuardSettings, request: Request) -> Refusal | None:
    """HTTP/2 only if TLS negotiated it: HTTP/2 in clear text (h2c) bypasses what a proxy in front decides."""
    if request.version not in VERSIONS or (request.version == "2" and request.scheme != "https"):
        return Refusal(400, "This server speaks HTTP/1.1, and HTTP/2 over TLS.")
    return None


def refuse_other_methods(settings: GuardSettings, request: Request) -> Refusal | None:
    if request.method not in METHODS:
        allow = ", ".join(sorted(METHODS)).encode()
        return Refusal(405, f"Allowed methods: {allow.decode()}.", ((b"allow", allow),))
    return None


def refuse_repeated_fields(settings: GuardSettings, request: Request) -> Refusal | None:
    trusted = {settings.user_header} if settings.is_proxy(request.peer) else set()
    if request.repeated and (both := request.repeated & (SINGLE_FIELDS | trusted)):
        return Refusal(400, f"The header field {min(both, key=str)!r} was sent twice.")
    return None


def refuse_unclear_lengths(settings: GuardSettings, request: Request) -> Refusal | None:
    """One valid length or none, and none with GET: bytes beyond the length would be read as the next request."""
    length = request.fields.get(b"content-length")
    coding = request.fields.get(b"transfer-encoding")
    if length is not None and coding is not None:
        return Refusal(400, "Content-Length and Transfer-Encoding were both sent.")
    if coding is not None and (coding.lower() != b"chunked" or request.version == "1.0"):
        return Refusal(400, "Transfer-Encoding can be `chunked` in HTTP/1.1, nothing else.")
    if length is not None and not _LENGTH.fullmatch(length):
        return Refusal(400, "Content-Length is not a number.")
    if request.method in SAFE_METHODS and (coding is not None or int(length or 0)):
        return Refusal(400, f"A {request.method} request has no body here.")
    return None


def refuse_upgrades(settings: GuardSettings, request: Request) -> Refusal | None:
    if b"upgrade" in request.fields:
        return Refusal(400, "This server does not switch protocols: neither to WebSocket nor to h2c.")
    return None


def refuse_unclear_paths(settings: GuardSettings, request: Request) -> Refusal | None:
    """A path must have one meaning only. The absolute form is refused: its host would be a second one."""
    raw = request.raw_path
    is_plain = _TARGET.fullmatch(raw) and not (b"%" in raw and _ENCODED_SLASH.search(raw))
    if not is_plain or not request.path.startswith("/") or _NEVER_IN_PATH.search(request.path):
        return Refusal(400, "The path is malformed.")
    return None


def refuse_unknown_hosts(settings: GuardSettings, request: Request) -> Refusal | None:
    """Against DNS rebinding: a page of evil.example whose name now resolves to us still sends its own Host.

    A monitor may know this server by any name. /health is the same for every caller, so it needs no Host.
    """
    if request.path == HEALTH:
        return None
    if not request.fields.get(b"host"):
        return Refusal(400, "The header field Host is missing.")
    if not own_origin(settings, request):
        return Refusal(421, _advice_on_host(opened_origin(settings, request)))
    return None


def opened_origin(settings: GuardSettings, request: Request) -> str:
    """Return the origin that a client opened, as the setting `origins` spells it; "" for a malformed Host.

    Only for advice: the proxy's word, and the fields that browsers send over https and to loopback only, decide
    between http and https, and any client can send them.
    """
    host = request.fields.get(b"host", b"").decode("latin-1").lower()
    match = ORIGIN.fullmatch(f"http://{host}")
    if match is None:
        return ""
    scheme = request.fields.get(b"x-forwarded-proto", b"").decode("latin-1").lower()
    if scheme not in ("http", "https"):
        is_secure_context = b"sec-fetch-mode" in request.fields and match[2] not in LOOPBACK_NAMES
        scheme = "https" if is_secure_context else settings.scheme
    return f"{scheme}://{host}"


def _advice_on_host(origin: str) -> str:
    opened = f"for {origin}" if origin else "for that host name"
    return (
        f"This server does not answer {opened}. Add the address that you open to the setting `origins` and restart "
        f'the server: `origins = ["{origin or "https://ops.example.com"}"]`, or the variable BREAKGLASS_ORIGINS. '
        "For a tunnel it is enough to give both ends the same port."
    )


def own_origin(settings: GuardSettings, request: Request) -> bytes:
    """Return the one origin whose pages may act through this request, b"" for an unknown Host."""
    host = request.fields.get(b"host", b"").lower()
    origin = settings.origin_by_host.get(host, b"")
    if not origin and settings.is_bound_to_all and host == request.local_host:
        return settings.scheme.encode() + b"://" + host
    return origin


def refuse_other_sites(settings: GuardSettings, request: Request) -> Refusal | None:
    """Other sites must not act or read here through a browser. Links are allowed: a link carries no cookie."""
    site = request.fields.get(b"sec-fetch-site")
    origin = request.fields.get(b"origin")
    # A browser that is set to `no-referrer` sends `Origin: null` with our own plain form (Fetch, section 3.1).
    own_origins = (None, own_origin(settings, request), b"null" if site == b"same-origin" else None)
    is_link = request.method == "GET" and not request.is_api and _NAVIGATION.items() <= request.fields.items()
    if origin not in own_origins or not (site in (None, b"same-origin", b"none") or is_link):
        return Refusal(403, "The request comes from another site.")
    return None


def refuse_malformed_users(settings: GuardSettings, request: Request) -> Refusal | None:
    user = proxy_user(settings, request)
    if user and not _USER.fullmatch(user):
        return Refusal(400, "The user name that the proxy sent is malformed.")
    return None


def proxy_user(settings: GuardSettings, request: Request) -> bytes:
    """Return the user that a listed proxy named, else b"". From any other peer the header is ignored."""
    if not settings.is_proxy(request.peer):
        return b""
    return request.fields.get(settings.user_header or b"", b"")


def client_address(settings: GuardSettings, request: Request) -> str:
    """Return the client's address: the peer, or the address that a listed proxy gives."""
    if settings.address_header is None or not settings.is_proxy(request.peer):
        return request.peer
    last = request.fields.get(settings.address_header, b"").rpartition(b",")[2].strip()
    return last.decode("latin-1")[:45] or request.peer


# --- for callers with a credential --------------------------------------------------------------


def refuse_read_only(settings: GuardSettings, request: Request, credential: Credential) -> Refusal | None:
    if credential.may_act or request.method in SAFE_METHODS or request.path in READ_ONLY_MAY_POST:
        return None
    if request.path in READ_ONLY_LOGIN_MAY_CHANGE and credential.kind == "cookie":
        return None
    return Refusal(403, "This login is read-only.")


def refuse_writes_to_copies(
    settings: GuardSettings, request: Request, credential: Credential
) -> Refusal | None:
    """Only the host itself adds to its sessions."""
    if not request.host or request.method in SAFE_METHODS:
        return None
    return Refusal(403, f"this data root is read-only: it is the copy of host {request.host}")


def refuse_unproven_pages(
    settings: GuardSettings, request: Request, credential: Credential
) -> Refusal | None:
    """A browser adds a cookie, and a proxy a user, to any request. So it must prove that our page sent it."""
    if credential.kind == "token" or request.method in SAFE_METHODS or b"origin" in request.fields:
        return None  # `refuse_other_sites` has checked Origin
    if request.fields.get(b"sec-fetch-site") == b"same-origin":
        return None
    return Refusal(403, "Neither Origin nor Sec-Fetch-Site was sent. Scripts must use the token.")


def refuse_other_pages(settings: GuardSettings, request: Request, credential: Credential) -> Refusal | None:
    """A program on another port of this host gets the cookie, but not what our page keeps in its storage.

    Plain forms have the CSRF token in their body. The route checks it there.
    """
    if not credential.csrf or request.method in SAFE_METHODS or not request.is_api:
        return None
    if csrf_matches(credential, request.fields.get(b"x-csrf-token", b"").decode("latin-1")):
        return None
    return Refusal(
        403, "The header X-CSRF-Token does not belong to this login. Log in again. Scripts use the token."
    )


# --- for the body -------------------------------------------------------------------------------


def refuse_other_media_types(settings: GuardSettings, request: Request) -> Refusal | None:
    """On `/api`, accept only what no form can send: JSON, or no body without a type (`curl -X POST`).

    Files are a form. `refuse_other_sites` and `refuse_unproven_pages` refuse that of another site.
    """
    if not request.is_api or request.method in SAFE_METHODS:
        return None
    if request.path.endswith(FILES):
        return None if request.has_files else Refusal(415, "Expected Content-Type: multipart/form-data.")
    media_type = request.fields.get(b"content-type")
    has_no_length = request.fields.get(b"content-length", b"0") == b"0"
    is_empty = has_no_length and b"transfer-encoding" not in request.fields
    if _JSON.fullmatch(media_type) if media_type is not None else is_empty:
        return None
    return Refusal(415, "Expected Content-Type: application/json.")


def refuse_declared_size(settings: GuardSettings, request: Request) -> Refusal | None:
    return refuse_size(settings, request, int(request.fields.get(b"content-length", 0)))


def refuse_size(settings: GuardSettings, request: Request, size: int) -> Refusal | None:
    """Return the refusal of a body of that many bytes, declared or received; None if it is allowed."""
    if size and request.method in SAFE_METHODS:
        return Refusal(400, f"A {request.method} request has no body here.")
    limit = settings.max_body(request.path, has_files=request.has_files)
    if size > limit:
        return Refusal(413, f"The body is larger than {limit} bytes.")
    return None


FOR_EVERY_CALLER: tuple[Rule, ...] = (
    refuse_other_protocols,
    refuse_other_methods,
    refuse_repeated_fields,
    refuse_unclear_lengths,
    refuse_upgrades,
    refuse_unclear_paths,
    refuse_unknown_hosts,
    refuse_other_sites,
    refuse_malformed_users,
)
FOR_CREDENTIALS = (refuse_read_only, refuse_writes_to_copies, refuse_unproven_pages, refuse_other_pages)
FOR_BODIES: tuple[Rule, ...] = (refuse_other_media_types, refuse_declared_size)


def check(settings: GuardSettings, request: Request) -> Refusal | None:
    """Return why no caller may send this request; None if that depends on the caller."""
    return next(filter(None, (rule(settings, request) for rule in FOR_EVERY_CALLER)), None)


def admit(settings: GuardSettings, request: Request, credential: Credential | None) -> Refusal | None:
    """Return why this caller may not send a request that `check` allowed; None if it may."""
    if credential is None and not request.is_public:
        return refuse_anonymous(settings, request)
    if credential is not None and not request.is_public:
        found = (rule(settings, request, credential) for rule in FOR_CREDENTIALS)
        if refusal := next(filter(None, found), None):
            return refusal
    return next(filter(None, (rule(settings, request) for rule in FOR_BODIES)), None)


def refuse_anonymous(settings: GuardSettings, request: Request) -> Refusal:
    """Return the refusal of an anonymous caller: the API says what to send, a page redirects to the login."""
    if request.is_api:
        return Refusal(
            401, "Send the token: `Authorization: Bearer TOKEN`.", ((b"www-authenticate", b"Bearer"),)
        )
    return Refusal(303, "Log in first.", ((b"location", f"{settings.prefix}/login".encode()),))
