"""Who may come in: the token, the cookies that stand for it, and the brake on guessing.

Owns `token`, `token.readonly` and `logins.jsonl` in the data root; the functions work on those files
alone, so the command line needs no server and several servers agree without speaking to each other.
Knows nothing of HTTP but the form of a cookie. Of a secret, only its SHA-256 stays in memory.
"""

import errno
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec

from breakglass.errors import BadConfig, CannotRecord

SHORTEST_TOKEN = 32
"""Characters. A shorter one could be guessed (claudecodeui, CVE-2026-31975: a default secret)."""

LIFETIME = 30 * 86_400
"""Seconds a login lasts."""

_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{SHORTEST_TOKEN},512}}")  # what RFC 6750 lets a header carry
_NAME = re.compile(r"[\w.@+-][\w .@+-]{0,63}")
_FILES = {True: "token", False: "token.readonly"}
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


# --- the token ----------------------------------------------------------------------------------


def check_token(token: str, name: str) -> str:
    """Return `token` if it may be one. Raises BadConfig, which names the setting and never the value."""
    if not _TOKEN.fullmatch(token):
        raise BadConfig(
            f"{name} is no token ({len(token)} characters): expected {SHORTEST_TOKEN} to 512 of "
            "A-Z a-z 0-9 . _ ~ + / = -. Leave it out, and one is made."
        )
    return token


def open_token(root: Path, *, may_act: bool = True) -> str:
    """Return the token kept in the data root, made now where there is none.

    Raises BadConfig for a file that is no token, is a link, or that others may read, and CannotRecord
    where it cannot be kept.
    """
    path = root / _FILES[may_act]
    try:
        token = _read_secret(path)
    except FileNotFoundError:
        _write_secret(path, secrets.token_urlsafe(32), os.link)
        token = _read_secret(path)  # of two that make one at a time the first wins
    return check_token(token, str(path))


def rotate_token(root: Path, *, may_act: bool = True) -> str:
    """Return a new token, kept in place of the old. Logins and streams of the old one end within 15 s."""
    token = secrets.token_urlsafe(32)
    _write_secret(root / _FILES[may_act], token, os.replace)
    return token


def _read_secret(path: Path) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadConfig(f"{path} cannot be read as a token: {error.strerror}") from error
    with open(fd, "rb") as file:
        state = os.fstat(fd)
        if state.st_mode & 0o077 or state.st_uid not in (0, os.geteuid()):
            raise BadConfig(f"{path} may be read by others: `chmod 600` it, and rotate the token")
        return file.read(1024).decode("ascii", "replace").removesuffix("\n")


def _write_secret(path: Path, token: str, put: Callable[[Path, Path], None]) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(token.encode() + b"\n")
            file.flush()
            os.fsync(fd)
        put(fresh, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise CannotRecord(f"the token cannot be kept in {path}: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)


# --- logins -------------------------------------------------------------------------------------


class Login(msgspec.Struct, frozen=True, tag_field="kind", tag="login"):
    """A cookie that was given out: a line of logins.jsonl."""

    id: str
    by: str
    may_act: bool
    digest: str
    """SHA-256 of the cookie, in hex."""
    token: str
    """Which token opened it: the SHA-256 of that token's SHA-256. Another token, and the login is over."""
    since: int
    expires: int
    address: str
    agent: str
    """The browser's word for itself."""


class _Revoked(msgspec.Struct, frozen=True, tag_field="kind", tag="revoked"):
    id: str
    at: int


_ROW = msgspec.json.Decoder(Login | _Revoked)
_Logins = dict[str, Login]


def _fold(data: bytes, before: _Logins) -> _Logins:
    """Return the logins, by digest, after the lines of `data`. A line that is none is passed over."""
    logins = dict(before)
    for line in data.split(b"\n"):
        try:
            row = _ROW.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(row, Login):
            logins[row.digest] = row
        else:
            logins = {digest: login for digest, login in logins.items() if login.id != row.id}
    return logins


def _append(path: Path, data: bytes) -> None:
    """Append whole lines, on disk when this returns. Raises OSError, and then nothing was appended."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "rb+", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file.fileno()).st_size
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        data = b"\n" + data if torn else data
        if file.write(data) != len(data):
            os.ftruncate(file.fileno(), size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(file.fileno())


_T = TypeVar("_T")


class _Watched(Generic[_T]):
    """What a file says, read again when the file is another or has changed; `missing` where there is none."""

    def __init__(self, path: Path, parse: Callable[[bytes], _T], missing: _T):
        self._path = path
        self._parse = parse
        self._missing = missing
        self._value = missing
        self._mark: tuple[int, int, int] | None = None

    def __call__(self) -> _T:
        try:
            state = os.stat(self._path, follow_symlinks=False)  # 1.5 us on 2026-11-23
            mark = (state.st_ino, state.st_size, state.st_mtime_ns)
            if mark != self._mark:
                with open(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                    self._value = self._parse(file.read())
                self._mark = mark
        except OSError:
            self._value, self._mark = self._missing, None
        return self._value


# --- the check ----------------------------------------------------------------------------------


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
        if os.path.lexists(root / _FILES[False]):
            open_token(root, may_act=False)
        self._fixed = None if token is None else _sha256(token.encode())
        self._tokens = {
            may_act: _Watched(root / name, _token_digest, b"") for may_act, name in _FILES.items()
        }
        self._path = root / "logins.jsonl"
        self._written: _Watched[_Logins] = _Watched(self._path, lambda data: _fold(data, {}), {})
        self._unwritten = b""
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

    def log_in(self, token: str, *, address: str, agent: str = "", name: str = "") -> str | None:
        """Return a new cookie's value, or None for a wrong token.

        `name` is who it says it is, for `by`; one that is no name is passed over. The login is kept in
        memory where it cannot be written: on a full disk people must still get in.
        """
        found = self._by_token(_sha256(token.encode(errors="surrogateescape")))
        if found is None:
            return None
        cookie = secrets.token_urlsafe(32)
        since = int(self._now())
        login = Login(
            id=secrets.token_hex(4),
            by=name if _NAME.fullmatch(name) else found.name,
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

    def revoke(self, login_id: str) -> bool:
        """End a login; return whether there was one. It is over here at once, elsewhere within 15 s.

        Raises CannotRecord where that cannot be written: then it is over for this process only.
        """
        if login_id not in {login.id for login in self._logins().values()}:
            return False
        if not self._record(_Revoked(login_id, int(self._now()))):
            raise CannotRecord(f"{self._path} cannot be written: the login holds again after a restart")
        return True

    def _record(self, row: Login | _Revoked) -> bool:
        self._unwritten += msgspec.json.encode(row) + b"\n"
        try:
            _append(self._path, self._unwritten)
        except OSError:
            return False
        self._unwritten = b""
        return True

    def _logins(self) -> _Logins:
        written = self._written()
        return _fold(self._unwritten, written) if self._unwritten else written

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
    return _sha256(token) if _TOKEN.fullmatch(token.decode("latin-1")) else b""


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
