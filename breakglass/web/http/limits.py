"""The limits on connections (time, number, memory, descriptors), and Hypercorn's configuration for them."""

import resource
from dataclasses import dataclass
from pathlib import Path

from hypercorn.config import Config

from breakglass.errors import BadConfig
from breakglass.store import memory
from breakglass.trusted_path import check_trusted
from breakglass.web.http.stalls import STALL_SECONDS

MAX_HEAD = 16 << 10
"""Bytes of a request's head."""
MEMORY_OF_SERVER = 72 << 20
"""Bytes that the server needs without any connection."""
MEMORY_PER_CONNECTION = 32 << 10
"""Bytes for each client that is attached and reads."""
MAX_DESCRIPTORS = 16384


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may take, and how many there may be."""

    head_seconds: float = 5
    """From connecting, or from the last response, to a complete head. Also for the TLS handshake."""
    stall_seconds: float = STALL_SECONDS
    """How long a client may take nothing while data waits for it."""
    grace_seconds: float = 3
    """How long running responses may go on once the server stops."""
    connections: int = 8192
    """In total; fewer if descriptors or memory allow fewer."""
    connections_per_address: int = 2048


DEFAULT_LIMITS = ConnectionLimits()


class ServerConfig(Config):
    """Hypercorn's configuration with one more setting."""

    stall_seconds: float = STALL_SECONDS


def configure(
    certfile: Path | None = None, keyfile: Path | None = None, *, limits: ConnectionLimits = DEFAULT_LIMITS
) -> ServerConfig:
    """Return Hypercorn's configuration. Raises BadConfig for a certificate or a key that cannot be used."""
    config = ServerConfig()
    config.stall_seconds = limits.stall_seconds
    config.keep_alive_timeout = config.ssl_handshake_timeout = limits.head_seconds
    config.h11_max_incomplete_size = MAX_HEAD
    config.h2_max_header_list_size = MAX_HEAD
    config.include_server_header = False
    config.loglevel = "WARNING"
    if certfile is not None and keyfile is not None:
        config.certfile, config.keyfile = str(certfile), str(keyfile)
        try:
            _check_key(keyfile)
            config.create_ssl_context()
        except OSError as error:  # ssl.SSLError is a subclass
            raise BadConfig(
                f"tls: {certfile} and {keyfile} are no certificate with its key: {error}"
            ) from error
    return config


def _check_key(file: Path) -> None:
    try:
        check_trusted(file, is_secret=True)
    except BadConfig as error:
        raise BadConfig(f"tls_key: {file}: {error}") from error


def raise_descriptor_limit() -> None:
    """Raise this process's soft limit on descriptors to its hard limit, 16,384 at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def max_connections() -> int:
    """Return how many connections may be open.

    Descriptors are reserved for logs, locks and turns, and memory is reserved for the server.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft - min(512, soft // 2)
    return min(descriptors, max(16, (memory.limit() - MEMORY_OF_SERVER) // MEMORY_PER_CONNECTION))
