"""Credentials: the tokens, the login cookies that replace them, and the users that a trusted proxy names.

Keeps only the SHA-256 of any secret. Must not know HTTP.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from breakglass.access import logins
from breakglass.access.login_codes import use_code
from breakglass.access.logins import Login, LoginFile, Renewed
from breakglass.access.throttle import Throttle
from breakglass.access.tokens import TOKEN_FILES, is_private, open_token
from breakglass.access.watched_file import WatchedFile
from breakglass.errors import BadConfig, ReadOnly
from breakglass.kinds import ANSWERERS
from breakglass.settings import parse_token

LOGIN_SECONDS = 30 * 86_400
"""How long a login lasts at most."""

PLAIN_SECONDS = 12 * 3600
"""How long a login over plain HTTP lasts without use: its cookie goes to every port of the host, and to the network."""

RENEWAL_SECONDS = 3600
"""How often a login in use is renewed."""

_TOKEN_NAMES = {True: "owner", False: "watcher"}
"""The name of a token's credential. The key is whether the token allows changes."""
_OWN_NAMES = ANSWERERS.union(_TOKEN_NAMES.values())
"""The names in `by` that have a meaning of their own."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A valid token, cookie or proxy user."""

    name: str
    """The `by` of events and of the access log."""
    may_act: bool
    """False for a read-only token and its logins: every request that changes something is refused."""
    kind: Literal["token", "cookie", "proxy"]
    key: bytes = field(repr=False)
    """SHA-256 of the token or cookie; for `proxy`, an HMAC of the user's name under the token's SHA-256."""
    csrf: str = field(default="", repr=False)
    """SHA-256 of the CSRF token that the page chose at the login, in hex. "": it follows from `key`."""


def csrf_token(credential: Credential) -> str:
    """Return the value of the hidden field of every plain form. Another site cannot know it.

    "" if the page chose the token and keeps it in its storage. Then a program on another port of the host, which gets
    the cookie too, cannot read it from a page.
    """
    return "" if credential.csrf else hmac.digest(credential.key, b"breakglass form", "sha256").hex()[:32]


def csrf_matches(credential: Credential, given: str) -> bool:
    """Return whether a form with that field may act. A bearer token needs no field: no browser adds it by itself."""
    secret = given.encode(errors="replace")
    if credential.csrf:
        return hmac.compare_digest(credential.csrf, _sha256(secret).hex())
    return credential.kind == "token" or hmac.compare_digest(csrf_token(credential).encode(), secret)


def find_cookie(credential: Credential, cookies: Iterable[bytes]) -> bytes | None:
    """Return the cookie that gave a credential."""
    return next((cookie for cookie in cookies if _sha256(cookie) == credential.key), None)


class Access:
    """The credentials of one data root. A check costs one `stat` call for each file, so open streams repeat it."""

    def __init__(
        self,
        root: Path,
        *,
        token: str | None = None,
        read_only: Callable[[], str] = lambda: "",
        lifetime: int = LOGIN_SECONDS,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        """`token` is the setting BREAKGLASS_TOKEN. Raises BadConfig and CannotRecord as `open_token` does.

        `read_only` returns the sentence that says that the root is read-only, "" if it is not. Then no token is made,
        and logins are kept in memory.
        """
        self._read_only = read_only
        self._tokens = _Tokens(root, token, is_read_only=bool(read_only()))
        self.root = root
        self._logins = LoginFile(root / logins.FILE, read_only)
        self._lifetime = lifetime
        self._now = now
        self.throttle = Throttle(monotonic)

    def identify(self, bearer: bytes | None, cookies: Iterable[bytes]) -> Credential | None:
        """Return the credential of the bearer token or, without one, of the first valid cookie. None if invalid."""
        if bearer is not None:
            return self._by_token(_sha256(bearer))
        return next(filter(None, (self._by_cookie(_sha256(cookie)) for cookie in cookies)), None)

    def credential_of_proxy_user(self, name: str) -> Credential:
        """Return the credential of a user that a trusted proxy named. A name of ours gets `proxy:` before it."""
        key = hmac.digest(self._tokens.digest(may_act=True), name.encode(), "sha256")
        shown = f"proxy:{name}" if name.lower() in _OWN_NAMES else name
        return Credential(shown, may_act=True, kind="proxy", key=key)

    def still_valid(self, credential: Credential) -> bool:
        """Return whether the same secret is valid now: False after rotation, revocation or expiry."""
        if credential.kind == "proxy":
            return True
        find = self._by_token if credential.kind == "token" else self._by_cookie
        return find(credential.key) is not None

    def log_in(
        self, token: str, *, address: str, user_agent: str = "", csrf: str = "", idle: int = 0
    ) -> str | None:
        """Return the value of a new cookie, None for a wrong token.

        `csrf` is the CSRF token that the page chose, `idle` the seconds without use after which the login ends; 0 for
        none.
        """
        credential = self._by_token(_sha256(token.encode(errors="replace")))
        if credential is None:
            return None
        fingerprint = self._tokens.fingerprint(may_act=credential.may_act)
        return self._open_login(credential.may_act, fingerprint, address, user_agent, csrf, idle)

    def log_in_with_code(
        self, code: str, *, address: str, user_agent: str = "", csrf: str = "", idle: int = 0
    ) -> str | None:
        """Use up a one-time code and return the value of a new cookie, None for a code that opens no login.

        Raises ReadOnly in a read-only root, and CannotRecord as `use_code` does.
        """
        if message := self._read_only():
            raise ReadOnly(f"{message}; log in with the token")
        # Read before the code is used: a rotation deletes the codes first, so it ends this login or finds the code.
        fingerprints = {may_act: self._tokens.fingerprint(may_act=may_act) for may_act in (True, False)}
        may_act = use_code(self.root, code, self._now())
        # A login needs a token that can be rotated.
        if may_act is None or not self._tokens.digest(may_act=may_act):
            return None
        return self._open_login(may_act, fingerprints[may_act], address, user_agent, csrf, idle)

    def _open_login(
        self, may_act: bool, fingerprint: str, address: str, user_agent: str, csrf: str, idle: int
    ) -> str:
        cookie, since = secrets.token_urlsafe(32), int(self._now())
        login = Login(
            *(secrets.token_hex(4), _TOKEN_NAMES[may_act]),
            may_act=may_act,
            digest=_sha256(cookie.encode()).hex(),
            token=fingerprint,
            since=since,
            expires=since + (idle or self._lifetime),
            address=address,
            user_agent=user_agent[:200],
            idle=idle,
            csrf=_sha256(csrf.encode()).hex() if csrf else "",
        )
        self._logins.record(login)
        return cookie

    def seconds_to_renew(self, credential: Credential) -> int:
        """Return how long a login in use shall last from now on; 0 if it was renewed lately or ends at a fixed time."""
        login = self.login_of(credential)
        if login is None or not login.idle:
            return 0
        end = min(int(self._now()) + login.idle, login.since + self._lifetime)
        return end - int(self._now()) if end - login.expires >= RENEWAL_SECONDS else 0

    def renew(self, credential: Credential, seconds: int) -> None:
        """Let a login last that long from now on."""
        if login := self.login_of(credential):
            self._logins.record(Renewed(login.id, int(self._now()) + seconds))

    def log_out(self, credential: Credential) -> None:
        """End the login of a cookie. Raises CannotRecord as `revoke` does."""
        if login := self.login_of(credential):
            self.revoke(login.id)

    def login_of(self, credential: Credential) -> Login | None:
        """Return the login of a cookie; None for another credential."""
        return self._logins.all().get(credential.key.hex()) if credential.kind == "cookie" else None

    def logins(self) -> list[Login]:
        """Return the valid logins, the latest first."""
        return [login for login in reversed(self._logins.all().values()) if self._is_valid(login)]

    def logins_of_other_tokens(self) -> list[Login]:
        """Return the logins, latest first, that have not expired but are invalid here: another token opened them."""
        unexpired = [login for login in self._logins.all().values() if login.expires > self._now()]
        return [login for login in reversed(unexpired) if not self._is_valid(login)]

    def revoke(self, login_id: str) -> bool:
        """End a login and return whether it existed. It ends here at once, in other processes within 15 s.

        Raises CannotRecord if that cannot be written, and ReadOnly in a read-only root. Then the login has ended for
        this process only. A login that is only in this process's memory raises neither.
        """
        return self._logins.revoke(login_id, int(self._now()))

    def _is_valid(self, login: Login) -> bool:
        fingerprint = self._tokens.fingerprint(may_act=login.may_act)
        return login.expires > self._now() and login.token == fingerprint

    def _by_cookie(self, digest: bytes) -> Credential | None:
        # The time of a lookup varies, which could reveal digests. A digest alone does not give access.
        login = self._logins.all().get(digest.hex())
        if login is None or not self._is_valid(login):
            return None
        return Credential(login.by, login.may_act, "cookie", digest, login.csrf)

    def _by_token(self, digest: bytes) -> Credential | None:
        for may_act in (True, False):
            if hmac.compare_digest(digest, self._tokens.digest(may_act=may_act)):
                return Credential(_TOKEN_NAMES[may_act], may_act, "token", digest)
        return None


class _Tokens:
    """The SHA-256 of each valid token, from the setting or from its file."""

    def __init__(self, root: Path, configured: str | None, *, is_read_only: bool) -> None:
        if configured is not None:
            parse_token("BREAKGLASS_TOKEN", configured)
        _check_token_files(root, is_configured=configured is not None, is_read_only=is_read_only)
        self._configured = None if configured is None else _sha256(configured.encode())
        self._files = {
            may_act: WatchedFile(root / name, lambda data: _sha256(_strip(data)), b"", _problem_of_token)
            for may_act, name in TOKEN_FILES.items()
        }

    def digest(self, *, may_act: bool) -> bytes:
        """Return the SHA-256 of the token, b"" if there is none: no digest is equal to that."""
        if may_act and self._configured:
            return self._configured
        return self._files[may_act].read()

    def fingerprint(self, *, may_act: bool) -> str:
        """Return the fingerprint of the token, which a login keeps."""
        return logins.fingerprint(self.digest(may_act=may_act))


def _check_token_files(root: Path, *, is_configured: bool, is_read_only: bool) -> None:
    """Check the token files that are used, and make the token if it is missing and may be made. As `open_token`."""
    for may_act, name in TOKEN_FILES.items():
        is_made = may_act and not is_read_only
        is_there = os.access(root / name, os.R_OK) if is_read_only else os.path.lexists(root / name)
        if (is_made or is_there) and not (may_act and is_configured):
            open_token(root, may_act=may_act)


def _sha256(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _problem_of_token(status: os.stat_result, data: bytes) -> str:
    """Return why a token's file is refused while the server runs; "" if it is not. Without it, no digest is equal."""
    if not is_private(status):
        return "others may read it: `chmod 600` it, and rotate the token"
    try:
        parse_token("its content", _strip(data).decode("latin-1"))
    except BadConfig as error:
        return str(error)
    return ""


def _strip(data: bytes) -> bytes:
    return data.removesuffix(b"\n")
