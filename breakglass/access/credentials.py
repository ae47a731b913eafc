"""Who may come in: the token, the cookies that stand for it, and the brake on guessing.

Asks web/tokens.py and web/logins.py, and keeps of any secret only its SHA-256. Knows nothing of HTTP but the
form of a cookie.
"""

import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from breakglass.access.logins import Login, Logins, Revoked, Watched, append, fold
from breakglass.access.tokens import FILES, TOKEN, check_token, open_token
from breakglass.errors import CannotRecord

LIFETIME = 30 * 86_400
"""Seconds a login lasts."""

_OWNERS = {True: "owner", False: "watcher"}


@dataclass(frozen=True, slots=True)
class Credential:
    """Somebody who was let in."""

    name: str
    """For `by` in events and in the access log."""
    may_act: bool
    """False for somebody who watches: every request that would change something is refused."""
    kind: Literal["token", "cookie", "proxy"]
    key: bytes = field(repr=False)
    """The SHA-256 of what was shown; for `proxy`, of the token and the name."""


def csrf(credential: Credential) -> str:
    """Return what every plain form of the page carries in a field of its own. Another site cannot know it."""
    return hmac.digest(credential.key, b"breakglass form", "sha256").hex()[:32]


def csrf_matches(credential: Credential, given: str) -> bool:
    """Return whether a plain form may act. A bearer token needs no field: no browser adds one by itself."""
    expected = csrf(credential).encode()
    return credential.kind == "token" or hmac.compare_digest(expected, given.encode(errors="replace"))


class Access:
    """The credentials of one data root. Cheap to ask: two `stat` calls, so streams ask while they live."""

    def __init__(
        self,
        root: Path,
        *,
        token: str | None = None,
        lifetime: int = LIFETIME,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        """`token` is the setting BREAKGLASS_TOKEN. Raises BadConfig and CannotRecord as `open_token` does."""
        if token is None:
            open_token(root)
        else:
            check_token(token, "BREAKGLASS_TOKEN")
        if os.path.lexists(root / FILES[False]):
            open_token(root, may_act=False)
        self._fixed = None if token is None else _sha256(token.encode())
        self._tokens = {may_act: Watched(root / name, _token_digest, b"") for may_act, name in FILES.items()}
        self._path = root / "logins.jsonl"
        self._written: Watched[Logins] = Watched(self._path, lambda data: fold(data, {}), {})
        self._unwritten = b""
        self._recording = threading.Lock()
        self._lifetime = lifetime
        self._now = now
        self.throttle = Throttle(monotonic)

    def identify(self, bearer: bytes | None, cookies: Iterable[bytes]) -> Credential | None:
        """Return who shows these, None for nobody. A bearer token decides alone; of cookies any will do."""
        if bearer is not None:
            return self._by_token(_sha256(bearer))
        return next(filter(None, (self._by_cookie(_sha256(cookie)) for cookie in cookies)), None)

    def proxied(self, name: str) -> Credential:
        """Return the credential of a user whom a trusted proxy has named."""
        key = hmac.digest(self._digest(may_act=True), name.encode(), "sha256")
        return Credential(name, may_act=True, kind="proxy", key=key)

    def still_valid(self, credential: Credential) -> bool:
        """Return whether the same secret would be let in now. False after rotation, revocation, expiry."""
        if credential.kind == "proxy":
            return True
        known = self._by_token if credential.kind == "token" else self._by_cookie
        return known(credential.key) is not None

    def log_in(self, token: str, *, address: str, agent: str = "") -> str | None:
        """Return a new cookie's value, or None for a wrong token.

        The login is kept in memory where it cannot be written: on a full disk people must still get in.
        """
        found = self._by_token(_sha256(token.encode(errors="replace")))
        if found is None:
            return None
        cookie = secrets.token_urlsafe(32)
        since = int(self._now())
        login = Login(
            id=secrets.token_hex(4),
            by=found.name,
            may_act=found.may_act,
            digest=_sha256(cookie.encode()).hex(),
            token=self._generation(may_act=found.may_act),
            since=since,
            expires=since + self._lifetime,
            address=address,
            agent=agent[:200],
        )
        self._record(login)
        return cookie

    def log_out(self, credential: Credential) -> None:
        """End the login that a cookie stands for. Raises CannotRecord as `revoke` does."""
        if credential.kind == "cookie" and (login := self._logins().get(credential.key.hex())):
            self.revoke(login.id)

    def logins(self) -> list[Login]:
        """Return the logins that hold now, the latest first."""
        return [login for login in reversed(self._logins().values()) if self._holds(login)]

    def void_logins(self) -> list[Login]:
        """Return the logins, the latest first, that have not run out and came by a token that is not the token here."""
        return [
            login
            for login in reversed(self._logins().values())
            if login.expires > self._now() and not self._holds(login)
        ]

    def revoke(self, login_id: str) -> bool:
        """End a login; return whether there was one. It is over here at once, elsewhere within 15 s.

        Raises CannotRecord where that cannot be written: then it is over for this process only.
        """
        if login_id not in {login.id for login in self._logins().values()}:
            return False
        if not self._record(Revoked(login_id, int(self._now()))):
            raise CannotRecord(f"{self._path} cannot be written: the login holds again after a restart")
        return True

    def _record(self, row: Login | Revoked) -> bool:
        with self._recording:  # logins come from several threads
            self._unwritten += msgspec.json.encode(row) + b"\n"
            try:
                append(self._path, self._unwritten)
            except OSError:
                return False
            self._unwritten = b""
            return True

    def _logins(self) -> Logins:
        written = self._written()
        return fold(self._unwritten, written) if self._unwritten else written

    def _holds(self, login: Login) -> bool:
        return login.expires > self._now() and login.token == self._generation(may_act=login.may_act)

    def _by_cookie(self, digest: bytes) -> Credential | None:
        # Looked up by digest: what its timing could tell is about digests, and those open nothing.
        login = self._logins().get(digest.hex())
        if login is None or not self._holds(login):
            return None
        return Credential(login.by, login.may_act, "cookie", digest)

    def _by_token(self, digest: bytes) -> Credential | None:
        for may_act in (True, False):
            if hmac.compare_digest(digest, self._digest(may_act=may_act)):
                return Credential(_OWNERS[may_act], may_act, "token", digest)
        return None

    def _digest(self, *, may_act: bool) -> bytes:
        return self._fixed if may_act and self._fixed else self._tokens[may_act]()

    def _generation(self, *, may_act: bool) -> str:
        return _sha256(self._digest(may_act=may_act)).hex()


def _sha256(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _token_digest(data: bytes) -> bytes:
    token = data.removesuffix(b"\n")
    return _sha256(token) if TOKEN.fullmatch(token.decode("latin-1")) else b""


class Throttle:
    """The brake on guessing. It slows the wrong ones only: the right token is looked at first, always."""

    WRONG = 10
    """Wrong tokens in a minute that are answered as such, from one address."""
    MINUTE = 60.0
    ADDRESSES = 1024
    """Addresses remembered, the latest ones: a flood of addresses costs no memory."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wrong(self, address: str) -> int:
        """Count a wrong token. Return the seconds it must wait (answer 429), 0 while it need not (401)."""
        now = self._monotonic()
        began, count = self._wrong.pop(address, (now, 0))
        if now - began >= self.MINUTE:
            began, count = now, 0
        self._wrong[address] = (began, count + 1)
        if len(self._wrong) > self.ADDRESSES:
            self._wrong.popitem(last=False)
        return 0 if count < self.WRONG else int(began + self.MINUTE - now) + 1


# --- cookies ------------------------------------------------------------------------------------


def cookie_name(origin: str) -> str:
    """Return the name of the cookie at an origin. It has the port in it: cookies do not tell ports apart."""
    scheme, _, host = origin.partition("://")
    port = re.search(r":(\d+)$", host)
    return ("__Host-" if scheme == "https" else "") + "breakglass" + (f"-{port[1]}" if port else "")


def set_cookie(origin: str, value: str, *, seconds: int = LIFETIME) -> str:
    """Return the Set-Cookie header that logs in; with an empty `value` and 0 `seconds`, out."""
    secure = "; Secure" if origin.startswith("https:") else ""
    name = cookie_name(origin)
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def cookies_named(name: str, header: bytes) -> list[bytes]:
    """Return the values of the cookies of that name, at most 4: other programs of the host may set some."""
    pairs = (pair.strip().partition(b"=") for pair in header.split(b";"))
    return [value for key, _, value in pairs if key == name.encode()][:4]
