"""How the relay, and commands for other hosts, are set: the table `[relay]`. Pure."""

import base64
import re
from dataclasses import dataclass
from typing import Literal, cast

from breakglass.errors import BadConfig
from breakglass.settings import expected, parse_own_path, parse_text, setting

COMMANDS = ("none", "answers", "all")
_URL = re.compile(r"(tls|wss|nats|ws)://(\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/?")
_LOOPBACK = re.compile(r"127\.[0-9.]+|localhost|\[::1\]")


def check_url(key: str, url: str) -> str:
    """Return the address of an engine, or the addresses of its three servers with commas between them.

    Raises BadConfig for a bad one, and for one without TLS beyond loopback.
    """
    urls, schemes = url.split(","), set()
    for each in urls:
        match = _URL.fullmatch(each)
        if match is None:
            raise BadConfig(
                f"{key}: expected an address such as tls://hub.example.com:4222, got {each[:100]!r}"
            )
        if match[1] in ("nats", "ws") and not _LOOPBACK.fullmatch(match[2]):
            raise BadConfig(
                f"{key}: {each} is not encrypted; beyond this machine only tls:// and wss:// are used"
            )
        schemes.add(match[1])
    if len(urls) not in (1, 3) or len({*urls}) != len(urls) or len(schemes) != 1:
        raise BadConfig(f"{key}: expected one address, or three different ones that begin alike")
    return url


def fingerprint(word: str) -> str:
    """Return the SHA-256 fingerprint of an ssh public key in base 64, as ssh-keygen shows it; "" for another word."""
    import hashlib  # it delays every command, and most machines have no relay

    try:
        data = base64.b64decode(word, validate=True) if word.startswith("AAAA") else b""
    except ValueError:
        data = b""
    shown = base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"SHA256:{shown}" if data else ""


def parse_url(name: str, value: object) -> str:
    """Return the address of an engine, or of its three servers."""
    return check_url(name, parse_text(name, value))


def parse_commands(name: str, value: object) -> Literal["none", "answers", "all"]:
    """Return which commands are accepted."""
    if value not in COMMANDS:
        raise expected(name, value, '"none", "answers" or "all"')
    return cast(Literal["none", "answers", "all"], value)


def parse_rate(name: str, value: object) -> int:
    """Return bytes a second, 0 for no limit."""
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise expected(name, value, "a whole number of bytes, 0 for no limit")
    return value


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """The table `[relay]`."""

    url: str | None = setting(
        None,
        parse_url,
        "the address of the hub's engine, tls://… or wss://…; of three servers with commas between them",
        default_words="as in the credentials",
    )
    host: str | None = setting(
        None,
        parse_text,
        "the name under which this host is enrolled; the relay refuses credentials of another one",
        default_words="as in the credentials",
    )
    credentials: str | None = setting(
        None,
        parse_own_path,
        "the file that `breakglass enroll` on the hub printed, mode 600",
        default_words="relay.creds in the data root",
    )
    commands: Literal["none", "answers", "all"] = setting(
        "none",
        parse_commands,
        "which signed commands of other machines are done: none, answers to questions, or all",
    )
    signers: str | None = setting(
        None,
        parse_own_path,
        "the keys that may sign commands, as in the section ALLOWED SIGNERS of ssh-keygen(1)",
        default_words="allowed_signers in the data root",
    )
    rate_bytes: int = setting(0, parse_rate, "the most bytes a second that the relay ships, 0 for no limit")
    identity: str | None = setting(
        None,
        parse_own_path,
        "the ssh key that signs commands for other hosts; a public key if ssh-agent has the private one",
        default_words="~/.ssh/id_ed25519",
    )
    page_identity: str | None = setting(
        None,
        parse_own_path,
        "the ssh key of this hub, without a passphrase: with it the page acts on each host that lists it",
        default_words="none: the page shows the command to paste",
    )
