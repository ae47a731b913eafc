"""Checks of this machine's clock, and of the other machines that it must reach."""

import ctypes
import os
import socket
import time
from collections.abc import Callable

from breakglass.config import Config
from breakglass.targets import Target
from breakglass.vitals import Sign, unknown
from breakglass.vitals.probes import Place

_NOT_SYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""
_EARLIEST = 1_735_689_600
"""2025-01-01. A clock before the release of this program is wrong."""
CONNECT_SECONDS = 5.0
"""How long a target may take to answer."""


def clock(config: Config, place: Place, now: Callable[[], float] = time.time) -> Sign:
    """Whether the time is right enough for TLS, for logins and for the order of events."""
    seconds = now()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    advice = "do: timedatectl set-ntp true, or install chrony"
    if seconds < _EARLIEST:
        return Sign(
            "clock_set", "Clock", "bad", f"{shown} is wrong: TLS connections will fail", advice=advice
        )
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))  # modes 0: only read
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if state == _NOT_SYNCHRONISED:
        return Sign("clock_set", "Clock", "warn", f"{shown}, not synchronised", advice=advice)
    return Sign("clock_set", "Clock", "ok", f"{shown}, synchronised")


def target(target: Target, place: Place) -> Sign:
    """Whether the SSH server of a target answers. One behind another machine is not asked."""
    name, label = f"target_{target.name}", f"Target {target.name}"
    if target.proxy_jump:
        return unknown(name, label, f"it is behind {target.proxy_jump}")._replace(
            advice=f"try: ssh -J {target.proxy_jump} {target.ssh} true"
        )
    host, port = _address(target.ssh)
    advice = f"try: ssh {target.ssh} true; then correct [targets.{target.name}] ssh, or start sshd there"
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as connection:
            banner = connection.recv(64)
    except OSError as error:
        why = error.strerror or str(error) or "no answer"
        return Sign(name, label, "bad", f"{host} port {port}: {why}", advice=advice)
    if not banner.startswith(b"SSH-"):
        return Sign(name, label, "bad", f"{host} port {port} is no SSH server", advice=advice)
    return Sign(name, label, "ok", f"{host} port {port} answers")


def _address(destination: str) -> tuple[str, int]:
    """Return host and port of `user@host`, `user@host:port` or `user@[host]:port`."""
    host = destination.rpartition("@")[2]
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
        return host, int(port.removeprefix(":") or 22)
    host, _, port = host.partition(":")
    return host, int(port or 22)
