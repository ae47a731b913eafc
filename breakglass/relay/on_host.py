"""Sends a signed command to another host, and returns its answer.

A command is never stored. So if the host cannot be reached now, nothing is done, now or later.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from breakglass.errors import BadInput, EngineLost, HostAway, HostRefused, NotFound, OutcomeUnknown
from breakglass.relay import credentials, order, signing
from breakglass.relay import engine as engines
from breakglass.relay.credentials import Credentials
from breakglass.relay.engine import Engine
from breakglass.relay.enroll import Hub
from breakglass.relay.order import Order
from breakglass.relay.remote import HELLO
from breakglass.store import hosts
from breakglass.text import one_line

HELLO_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""How long a command may take on the host. A stop may have to kill processes first."""


def find_credentials(data: Path, host: str) -> Credentials:
    """Return the credentials for a host: an operator's own, or those of the hub. Raises NotFound and BadConfig."""
    own = data / hosts.DIRECTORY / f"{hosts.check_name(host)}.creds"
    operator = data / credentials.OPERATOR_FILE
    for path in (own, operator):
        if path.exists():
            return credentials.read(path)
    for each in Hub(data).hub_credentials():
        if each.host == host:
            return each
    raise NotFound(
        f"host {host} is not enrolled in {data.absolute()}, and there is no {operator.absolute()};"
        " on the hub: breakglass enroll NAME --operator"
    )


def send(found: Credentials, wanted: Order, identity: str) -> dict[str, Any]:
    """Sign a command, send it, and return what its host has done. The nonce is filled in.

    Raises HostAway, HostRefused, OutcomeUnknown, EngineRefused and BadInput. Only OutcomeUnknown means that the
    host may have done it.
    """
    return asyncio.run(_send(found, wanted, identity))


async def _send(found: Credentials, wanted: Order, identity: str) -> dict[str, Any]:
    try:
        engine = await engines.connect(found, "breakglass --on")
    except EngineLost as error:
        raise HostAway(f"{error}; nothing was done") from error
    try:
        subjects = f"{engines.COMMANDS}{wanted.host}." if found.operator else engines.COMMANDS
        signed = wanted._replace(nonce=await _ask_for_nonce(engine, subjects, wanted))
        text = signed.text()
        namespace = signing.namespace(wanted.verb, wanted.host)
        message = order.pack(text, await asyncio.to_thread(signing.sign, text, namespace, identity))
        if len(message) > order.MAX_BYTES:
            raise BadInput(f"the command is longer than {order.MAX_BYTES >> 10} KiB")
        return await _deliver(engine, subjects, wanted, message)
    finally:
        await engine.close()


async def _ask_for_nonce(engine: Engine, subjects: str, wanted: Order) -> str:
    away = HostAway(f"host {wanted.host} does not answer; nothing was done")
    try:
        answer = await engine.request(f"{subjects}{HELLO}", b"", HELLO_SECONDS)
    except EngineLost as error:
        raise away from error
    if answer is None:
        raise HostAway(f"the relay of host {wanted.host} is not connected; nothing was done")
    found = _read(answer)
    verbs = found.get("verbs")
    if not isinstance(verbs, list) or wanted.verb not in verbs:
        raise HostRefused(
            f"{wanted.host} does not accept {wanted.verb}: its setting relay.commands forbids it"
        )
    return str(found.get("nonce"))


async def _deliver(engine: Engine, subjects: str, wanted: Order, message: bytes) -> dict[str, Any]:
    try:
        answer = await engine.request(f"{subjects}{wanted.verb}", message, ANSWER_SECONDS)
    except EngineLost as error:
        again = (
            "look before you repeat it: it stops the turn that runs then"
            if wanted.verb == "cancel"
            else f"the same again with --key {wanted.key} is safe"
        )
        raise OutcomeUnknown(f"host {wanted.host} did not say whether it was done; {again}") from error
    if answer is None:
        raise HostAway(f"the relay of host {wanted.host} is no longer connected; nothing was done")
    found = _read(answer)
    if isinstance(found.get("error"), str):
        raise HostRefused(f"{wanted.host}: {one_line(found['error'], 1000)}")
    done = found.get("done")
    if not isinstance(done, dict):
        raise OutcomeUnknown(f"host {wanted.host} sent no valid answer, so it may have been done")
    return done


def _read(answer: bytes) -> dict[str, Any]:
    """Return an answer. A host or hub that was taken over can send anything."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}
